"""Class weights by the counts of the rows that a trainer is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from logitmix_hf.arguments import MixArguments
from logitmix_hf.class_weights import BALANCED, weights_in_order


def balanced_by_rows(mix: MixArguments, model: nn.Module | None, train_dataset: Any) -> MixArguments:
    """``mix`` with numbers where its class weights are to be balanced and the labels of the rows are a column that can be
    read without the rest; else as it is.

    Raises:
        UserError: for a column without rows.
    """
    config = getattr(model, "config", None)
    if mix.class_weights != BALANCED or config is None:
        return mix
    names = getattr(train_dataset, "column_names", None) or ()
    column = next((name for name in ("labels", "label") if name in names), None)
    if column is None:
        return mix
    labels = np.asarray(train_dataset[column])
    if labels.dtype.kind not in "biuf" or (labels.ndim == 1 and (labels.dtype.kind == "f" or (labels < 0).any())):
        return mix  # no classes: what they are is told where the loss meets them
    classes = list(map(str, range(config.num_labels)))
    return replace(mix, class_weights=weights_in_order(BALANCED, classes, labels))
