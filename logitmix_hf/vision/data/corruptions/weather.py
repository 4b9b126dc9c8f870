"""Weather: x (B, H, W, C) float32 in [0, 1] in, the same out; not yet clipped."""

from __future__ import annotations

import numpy as np

from logitmix_hf.vision.data.corruptions.blur import streak
from logitmix_hf.vision.data.corruptions.linear import gaussian, separable, zoom
from logitmix_hf.vision.data.corruptions.randomness import RowDraws


def grey_of(x: np.ndarray) -> np.ndarray:
    """(B, H, W, 1) luma."""
    return x if x.shape[3] == 1 else x @ np.array([[0.299], [0.587], [0.114]], np.float32)


def snow(x: np.ndarray, strength: tuple[float, ...], draws: RowDraws) -> np.ndarray:
    """Flakes: normal noise (mean, deviation), enlarged, cut below a threshold, blurred along a falling line; over an image that
    keeps a share of itself and takes the rest from its brightened grey."""
    mean, deviation, factor, threshold, radius, sigma, keep = strength
    layer = (mean + deviation * draws.normal(*x.shape[1:3], 1)).astype(np.float32)
    layer = separable(layer, zoom(x.shape[1], factor), zoom(x.shape[2], factor))
    layer = np.where(layer < threshold, 0, np.clip(layer, 0, 1)).astype(np.float32)
    layer = streak(layer, (radius, sigma), draws.uniform(low=-135, high=-45))
    faded = keep * x + (1 - keep) * np.maximum(x, grey_of(x) * 1.5 + 0.5)
    return faded + layer + layer[:, ::-1, ::-1]


def plasma(height: int, width: int, decay: float, draws: RowDraws) -> np.ndarray:
    """(B, height, width) float32, each from 0 to 1: fractal noise by diamonds and squares on a torus, each finer level
    ``decay`` times weaker."""
    side = 1 << max(1, (max(height, width) - 1).bit_length())
    rows = draws.uniform(side, side, low=-1, high=1)  # the disturbance of each point, at the scale of its level
    made, step, scale = np.zeros_like(rows), side, 1.0
    while step > 1:
        half = step // 2
        corner = made[:, ::step, ::step]
        square = corner + np.roll(corner, -1, 1)
        made[:, half::step, half::step] = (square + np.roll(square, -1, 2)) / 4 + scale * rows[
            :, half::step, half::step
        ]
        middle = made[:, half::step, half::step]
        right = corner + np.roll(corner, -1, 2) + middle + np.roll(middle, 1, 1)
        below = corner + np.roll(corner, -1, 1) + middle + np.roll(middle, 1, 2)
        made[:, ::step, half::step] = right / 4 + scale * rows[:, ::step, half::step]
        made[:, half::step, ::step] = below / 4 + scale * rows[:, half::step, ::step]
        step, scale = half, scale / decay
    made = made[:, :height, :width]
    low, high = made.min((1, 2), keepdims=True), made.max((1, 2), keepdims=True)
    return (made - low) / np.maximum(high - low, 1e-6)


def fog(x: np.ndarray, strength: tuple[float, float], draws: RowDraws) -> np.ndarray:
    """So much fractal noise, darkened as a whole so that the lightest pixel stays as light as it was."""
    amount, decay = strength
    lightest = x.max((1, 2, 3), keepdims=True)
    return (
        (x + np.float32(amount) * plasma(x.shape[1], x.shape[2], decay, draws)[..., None])
        * lightest
        / (lightest + amount)
    )


_ICE = np.array([0.86, 0.95, 1.0], np.float32)


def frost(x: np.ndarray, strength: tuple[float, float], draws: RowDraws) -> np.ndarray:
    """So much of the image and so much of ice. The benchmark's ice is cut from photographs whose origin nobody documents;
    here it is needles: the ridges of fractal noise, at two scales."""
    own, ice = strength
    fine = 1 - np.abs(2 * plasma(x.shape[1], x.shape[2], 1.7, draws) - 1)
    broad = plasma(x.shape[1], x.shape[2], 2.0, draws)
    needles = np.clip(0.15 + 0.55 * fine**3 + 0.6 * broad**1.5, 0, 1)[..., None]
    return own * x + ice * needles * (_ICE if x.shape[3] == 3 else _ICE.mean())


_WATER, _MUD = (np.array(rgb, np.float32) / 255 for rgb in ((175, 238, 238), (63, 42, 20)))


def spatter(x: np.ndarray, strength: tuple[float, ...], draws: RowDraws) -> np.ndarray:
    """Drops of water, or of mud: blurred normal noise (mean, deviation, sigma) above a threshold. Water lightens by at most an
    amount, most along one side of a drop; mud covers what a blur by that many pixels leaves nearly whole."""
    mean, deviation, sigma, threshold, amount, mud = strength
    liquid = (mean + deviation * draws.normal(*x.shape[1:3], 1)).astype(np.float32)
    liquid = separable(liquid, gaussian(x.shape[1], sigma), gaussian(x.shape[2], sigma))
    if mud:
        spots = (liquid > threshold).astype(np.float32)
        cover = separable(spots, gaussian(x.shape[1], amount), gaussian(x.shape[2], amount))
        cover[cover < 0.8] = 0
        return x * (1 - cover) + _coloured(cover, _MUD, x)
    drops = np.where(liquid < threshold, 0, liquid)
    lit = drops * _lit_side(drops[..., 0] > 0)[..., None]
    most = np.maximum(lit.max((1, 2, 3), keepdims=True), 1e-6)
    return x + _coloured(lit / most * np.float32(amount), _WATER, x)


def _coloured(cover: np.ndarray, colour: np.ndarray, x: np.ndarray) -> np.ndarray:
    return cover * (colour if x.shape[3] == 3 else colour.mean())


def _lit_side(drops: np.ndarray) -> np.ndarray:
    """(B, H, W) float32 >= 0: how much the distance to the nearest edge of a drop rises towards the lower right, as the
    relief that the benchmark makes of it."""
    from scipy.ndimage import binary_erosion, convolve, distance_transform_edt, uniform_filter

    flat = np.ones((1, 3, 3), bool)
    edges = drops & np.logical_not(binary_erosion(drops, flat, border_value=1))
    # rows lie so far apart that the nearest edge is one of the same row, where it has any
    distance = distance_transform_edt(np.logical_not(edges), sampling=(1e4, 1, 1))
    distance = uniform_filter(np.minimum(distance, 20), (0, 3, 3), mode="mirror").astype(np.float32)  # type: ignore[arg-type]
    distance /= np.maximum(distance.max((1, 2), keepdims=True), 1e-6)
    relief = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)[None, ::-1, ::-1]
    found = np.clip(convolve(distance, relief, mode="mirror"), 0, 1)
    return uniform_filter(found, (0, 3, 3), mode="mirror")  # type: ignore[arg-type]
