"""Pictures made on the fly, and folders and Parquet files of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """(height, width, channels) uint8; without the last axis for one channel."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return values[:, :, 0] if channels == 1 else values


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def save(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def class_folders(
    root: Path, classes: dict[str, int], size: tuple[int, int] = (8, 8), channels: int = 3, seed: int = 0
) -> Path:
    """``root/CLASS/N.png``; size is (height, width)."""
    for number, (name, count) in enumerate(classes.items()):
        for row in range(count):
            save(root / name / f"{row}.png", encoded(noise(*size, channels, seed=seed + 1000 * number + row)))
    return root


def parquet(path: Path, images: list[bytes | None], image: str = "image", **columns) -> Path:
    """A split in the Hub's layout; columns are (values, feature)."""
    from datasets import Dataset, Features
    from datasets import Image as ImageFeature

    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [None if data is None else {"bytes": data, "path": f"{row}.png"} for row, data in enumerate(images)]
    features = Features({image: ImageFeature(), **{name: feature for name, (_, feature) in columns.items()}})
    rows = Dataset.from_dict({image: cells, **{name: values for name, (values, _) in columns.items()}}, features)
    rows.to_parquet(str(path))
    return path
