"""An image classifier with scikit-learn's methods."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from logitmix_hf.commands.vision import SETTINGS
from logitmix_hf.errors import UserError, one_line
from logitmix_hf.estimators.base import RunEstimator, with_parameters
from logitmix_hf.modality import IMAGE
from logitmix_hf.vision.data.decode import decode


@with_parameters(SETTINGS, IMAGE)
class ImageClassifier(RunEstimator):
    """Trains or fine-tunes an image model; every flag of ``logitmix vision`` but those about files is a parameter.

    >>> classifier = ImageClassifier(model="resnet18", method="logitmix", mixer="cutmix")  # doctest: +SKIP
    >>> classifier.fit(images, labels).predict(more_images)  # doctest: +SKIP

    ``X`` is a sequence of N images: Pillow images, paths, encoded bytes, or uint8 arrays (H, W) or (H, W, channels); an
    array (N, H, W) or (N, H, W, channels) is such a sequence. One label an image.

    Parameters:
        model: a network's name (random weights), a Hub id or a folder.
        method, mixer: how examples are mixed.
        output_dir: where the run is kept; default nowhere: the fitted estimator holds all it needs.
        validation_share: given, so much of the images is held out, stratified, and judged; else ``fit`` trains on all.
        verbose: show the training's log, bars and last table.
    """

    def _write_rows(
        self, folder: Path, X: Any, y: np.ndarray, judged: tuple[Any, np.ndarray] | None, names: Sequence[str]
    ) -> dict[str, Any]:
        from datasets import ClassLabel, Dataset, Features, Image

        if y.ndim == 2:
            raise UserError(f"y has {y.shape[1]} columns; images have one label each.")
        names = sorted(set(y.tolist()))
        features = Features({"image": Image(), "label": ClassLabel(names=names)})
        (folder / "data").mkdir(parents=True)
        for split, rows in (("train", (X, y)), ("validation", judged)):
            if rows is None:
                continue
            images = [{"bytes": _encoded(image, row), "path": None} for row, image in enumerate(rows[0])]
            table = {"image": images, "label": [names.index(one) for one in rows[1]]}
            made = Dataset.from_dict(table, features=features)
            made.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
        return {"dataset": folder, "cache_dir": folder / "cache"}

    def _read_inputs(self, X: Any) -> list[Any]:
        return [
            decode(_encoded(image, row), channels=3, max_pixels=self.classifier_.max_pixels)
            for row, image in enumerate(X)
        ]


def _encoded(image: Any, row: int) -> bytes:
    """The bytes of an image file; what is none yet becomes a lossless one."""
    from PIL import Image

    if isinstance(image, bytes):
        return image
    if isinstance(image, str | os.PathLike):
        try:
            return Path(image).read_bytes()
        except OSError as problem:
            raise UserError(f"X, row {row}: {os.fspath(image)!r} cannot be read: {one_line(problem)}.") from problem
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise UserError(
                f"X, row {row}: an array must be uint8 and (H, W) or (H, W, channels), not {image.dtype} {image.shape}."
            )
        image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if not isinstance(image, Image.Image):
        kind = "missing" if image is None or image is pd.NA else f"a {type(image).__name__}"
        raise UserError(f"X, row {row} is {kind}: give Pillow images, paths, encoded bytes or uint8 arrays.")
    file = io.BytesIO()
    image.save(file, format="PNG" if image.mode in ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA") else "TIFF")
    return file.getvalue()
