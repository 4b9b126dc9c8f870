"""Which rows are held out of train, and which are kept of a split: seeded, stratified, the same everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from logitmix_hf.errors import UserError, check_number
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION

_BINS = 10


def hold_out_rows(labels: Sequence[Any], problem: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers that stay in train and row numbers held out, both ascending.

    ceil(share * N) rows are held out. Each class has the same share on both sides (scikit-learn's stratified split);
    several labels a row are stratified by their combination, values by ten quantile bins. Groups too small for that
    count as one. A class that would be left without a row in train gives its held-out rows back.

    Raises:
        UserError: for a share outside (0, 1) or too few rows.
    """
    from sklearn.model_selection import train_test_split

    check_number("validation_share", share, low=0, high=1, open_low=True)
    rows = len(labels)
    held = int(np.ceil(share * rows))
    if not 0 < held < rows:
        raise UserError(
            f"A share of {share:g} of {rows} rows leaves {rows - held} to train; give a validation file or more rows."
        )
    groups = groups_of(labels, problem, most=min(held, rows - held))
    stratify = groups if len(np.unique(groups)) > 1 else None
    train, out = map(
        np.asarray, train_test_split(np.arange(rows), test_size=held, random_state=seed, stratify=stratify)
    )
    if problem != REGRESSION:
        in_train = set().union(*(_classes(labels[row], problem) for row in train))
        lost = np.array([not _classes(labels[row], problem) <= in_train for row in out], dtype=bool)
        train, out = np.concatenate([train, out[lost]]), out[~lost]
    if len(out) == 0:
        raise UserError(f"{rows} rows with labels this rare leave none to validate on; give a validation file.")
    return np.sort(train), np.sort(out)


def _classes(label: Any, problem: str) -> set[int]:
    return set(np.flatnonzero(label).tolist()) if problem == MULTI else {label}


def groups_of(labels: Sequence[Any], problem: str, most: int) -> np.ndarray:
    """A group number for each row: at most ``most`` groups of at least two rows; too small ones share the last."""
    if problem == REGRESSION:
        ranks = np.argsort(np.argsort(np.asarray(labels), kind="stable"), kind="stable")
        groups: list[Any] = (ranks * min(_BINS, most) // len(labels)).tolist()
    else:
        groups = [tuple(label) if problem == MULTI else label for label in labels]
    # the largest first; equal ones by label, so that the order of rows decides nothing
    ordered = sorted(Counter(groups).items(), key=lambda item: (-item[1], item[0]))
    groups_alone = sum(count > 1 for _, count in ordered)
    rest = sum(count for _, count in ordered[groups_alone:])
    while groups_alone and (groups_alone + (rest > 0) > most or rest == 1):
        groups_alone -= 1
        rest += ordered[groups_alone][1]
    number = {group: min(rank, groups_alone) for rank, (group, _) in enumerate(ordered)}
    return np.array([number[group] for group in groups])


def keep_rows(rows: int, most: int | None, seed: int | None) -> np.ndarray:
    """Row numbers kept of ``rows``: with a seed the first ``most`` of a shuffle (train), without it the first
    ``most`` in order (evaluation); all, in order, when ``most`` is None or not below ``rows``."""
    if most is None or most >= rows:
        return np.arange(rows)
    if seed is None:
        return np.arange(most)
    return np.random.default_rng(seed).permutation(rows)[:most]
