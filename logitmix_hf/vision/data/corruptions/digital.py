"""What cameras and files do: x (B, H, W, C) float32 in [0, 1] in, the same out; not yet clipped."""

from __future__ import annotations

import io

import numpy as np

from logitmix_hf.vision.data.corruptions.linear import box, separable
from logitmix_hf.vision.data.corruptions.randomness import RowDraws


def brightness(x: np.ndarray, amount: float, draws: RowDraws) -> np.ndarray:
    """So much more of V in HSV: with hue and saturation as they are, all channels grow by one factor."""
    value = x.max(3, keepdims=True)
    lighter = np.clip(value + np.float32(amount), 0, 1)
    return np.where(value > 0, x * (lighter / np.maximum(value, 1e-6)), lighter)


def saturate(x: np.ndarray, strength: tuple[float, float], draws: RowDraws) -> np.ndarray:
    """S in HSV times a factor, and so much more. Grey has the hue of red there; an image without colours has none to change."""
    factor, more = strength
    if x.shape[3] == 1:
        return x
    value, low = x.max(3, keepdims=True), x.min(3, keepdims=True)
    span = value - low
    saturation = span / np.maximum(value, 1e-6)
    # how far each channel falls from V, from 0 to 1
    depth = np.where(span > 0, (value - x) / np.maximum(span, 1e-6), np.array([0, 1, 1], np.float32))
    return value * (1 - np.clip(saturation * factor + more, 0, 1) * depth)


def contrast(x: np.ndarray, factor: float, draws: RowDraws) -> np.ndarray:
    """So much of the distance of each channel from its mean."""
    mean = x.mean((1, 2), keepdims=True)
    return (x - mean) * np.float32(factor) + mean


def pixelate(x: np.ndarray, share: float, draws: RowDraws) -> np.ndarray:
    """Down to this share of the side and up again, by boxes."""
    height, width = x.shape[1:3]
    few = [max(1, int(side * share)) for side in (height, width)]
    small = separable(x, box(height, few[0]), box(width, few[1]))
    return separable(np.rint(small * 255) / np.float32(255), box(few[0], height), box(few[1], width))


def jpeg_compression(x: np.ndarray, quality: int, draws: RowDraws) -> np.ndarray:
    """Through a JPEG file of this quality."""
    from PIL import Image

    pixels, out = np.rint(x * 255).astype(np.uint8), np.empty_like(x)
    for row, one in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(one[..., 0] if one.shape[2] == 1 else one).save(file, "JPEG", quality=quality)
        out[row] = np.asarray(Image.open(file), np.float32).reshape(one.shape)
    return out / 255


def elastic_transform(x: np.ndarray, strength: tuple[float, float, float], draws: RowDraws) -> np.ndarray:
    """Three corners of the middle moved by up to a jitter, then every pixel by smooth noise: its size, its smoothness and the
    jitter in units of the image's side."""
    from scipy.ndimage import gaussian_filter

    rows, height, width, _ = x.shape
    size, smooth, jitter = (one * height for one in strength)
    middle, square = np.array([height // 2, width // 2], np.float32), min(height, width) // 3
    corners = middle + square * np.array([[1, 1], [-1, 1], [-1, -1]], np.float32)
    moved = corners + draws.uniform(3, 2, low=-jitter, high=jitter)
    whole = np.concatenate([moved, np.ones((rows, 3, 1), np.float32)], 2)
    back = np.linalg.solve(whole.astype(np.float64), np.broadcast_to(corners, (rows, 3, 2)))  # of where, from where
    down, across = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    grid = np.stack([down, across, np.ones_like(down)], -1).astype(np.float64)
    x = sample(x, (grid.reshape(-1, 3) @ back).reshape(rows, height, width, 2), "mirror")
    if size == 0:
        return x
    noise = draws.uniform(height, width, 2, low=-1, high=1)
    noise = gaussian_filter(noise, (0, smooth, smooth, 0), mode="reflect", truncate=3) * size
    return sample(x, grid[..., :2] + noise, "reflect")


def sample(x: np.ndarray, places: np.ndarray, edge: str) -> np.ndarray:
    """Linear interpolation at places (B, H, W, 2), down and across in pixels; beyond the edge the image goes on as its
    mirror, with the outermost pixel once ("mirror") or twice ("reflect")."""
    rows, height, width, channels = x.shape
    first = np.floor(places).astype(np.int64)
    part = (places - first).astype(np.float32)
    flat, start = x.reshape(-1, channels), np.arange(rows)[:, None, None] * (height * width)

    def at(place: np.ndarray, side: int) -> np.ndarray:
        if edge == "mirror":
            return np.abs((place + side - 1) % max(2 * side - 2, 1) - (side - 1))
        place = place % (2 * side)
        return np.minimum(place, 2 * side - 1 - place)

    out = np.zeros((rows, *places.shape[1:3], channels), np.float32)
    for down in (0, 1):
        line = start + at(first[..., 0] + down, height) * width
        for across in (0, 1):
            weight = (part[..., 0] if down else 1 - part[..., 0]) * (part[..., 1] if across else 1 - part[..., 1])
            out += flat[line + at(first[..., 1] + across, width)] * weight[..., None]
    return out
