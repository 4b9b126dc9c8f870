"""scikit-learn's handwritten digits: 1,797 real 8x8 images of ten classes that come with the library."""

from __future__ import annotations

from typing import Any

import numpy as np

from logitmix_hf.vision.data.draws import draw

SHARES = {"validation": 0.2, "test": 0.2}
"""Of each class; train gets the rest. The same rows on every machine, whatever the run's seed."""


def load_digits() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """(1797, 8, 8) uint8 pixels (of 0 to 16, scaled to 255), (1797,) labels, and the rows of each split, ascending.

    Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998; UCI), its test part. Within each class, rows are
    ordered by a hash of their number; the first go to validation, the next to test.
    """
    from sklearn.datasets import load_digits as load

    data: Any = load()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    labels = data.target.astype(np.int64)
    splits: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in range(10):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(draw(0, 0, rows, 0), kind="stable")]
        begin = 0
        for name, share in SHARES.items():
            end = begin + round(share * len(rows))
            splits[name].append(rows[begin:end])
            begin = end
        splits["train"].append(rows[begin:])
    return pixels, labels, {name: np.sort(np.concatenate(parts)) for name, parts in splits.items()}
