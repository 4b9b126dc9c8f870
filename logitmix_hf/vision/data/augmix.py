"""AugMix of whole batches: chains of operations, blended with the image (Hendrycks et al., 2020, arXiv:1912.02781).

Everything random is a hash of seed, epoch, row and view, as in ``augment``; no global generator is read. In every round rows
are sorted by their operation, and each operation handles all of its rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from logitmix_hf.errors import UserError, pick
from logitmix_hf.vision.data.draws import below, draw, fractions

FORMS = {
    "original": "AugMix's own: up to 3 operations a chain, strength drawn for each",
    "mixmo": "that of MixMo's authors: up to 4, a fixed strength, inversion in place of autocontrast",
}
CHAINS = 3
_FIRST = 1000  # number of the first draw: those of crop and flip come before
_VIEW = 100  # draws that a view may take
_GEOMETRY = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = {
    "original": ("autocontrast", "equalize", "posterize", "rotate", "solarize", *_GEOMETRY[1:]),
    "mixmo": ("identity", "equalize", "posterize", "rotate", "solarize", *_GEOMETRY[1:], "invert"),
}
"""What a chain draws from. Colour, contrast, brightness and sharpness are left out: they are among the test's corruptions."""
_DEPTH = {"original": 3, "mixmo": 4}
SEVERITY = 3.0
"""Of the original: an operation's level is drawn from .1 to it, of 10."""


@dataclass(frozen=True)
class Plan:
    """What happens to each row.

    keep: (B,) the share of the chains, m; weights: (B, 3) of them, rows sum to 1. depth: (B, 3) operations of a chain.
    operations: (B, 3, D) numbers in ``OPERATIONS[form]``. levels: (B, 3, D) from 0 to 10. signs: (B, 3, D) 1 or -1.
    """

    keep: np.ndarray
    weights: np.ndarray
    depth: np.ndarray
    operations: np.ndarray
    levels: np.ndarray
    signs: np.ndarray


def draw_chains(form: str, seed: int, epoch: int, rows: np.ndarray, view: int = 0) -> Plan:
    """The plan of rows by their numbers; ``view``: which of several augmentations of one row."""
    pick(FORMS, form, "form of AugMix")
    number = iter(range(_FIRST + _VIEW * view, _FIRST + _VIEW * (view + 1)))

    def drawn(*shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        return np.stack([draw(seed, epoch, rows, next(number)) for _ in range(count)], 1).reshape(len(rows), *shape)

    depth = _DEPTH[form]
    shares = -np.log1p(-fractions(drawn(CHAINS)))  # three exponentials over their sum: Dirichlet(1, 1, 1)
    keep = fractions(drawn(1))[:, 0]  # Beta(1, 1)
    depths = 1 + below(drawn(CHAINS), depth)
    operations = below(drawn(CHAINS, depth), len(OPERATIONS[form]))
    levels = (
        0.1 + (SEVERITY - 0.1) * fractions(drawn(CHAINS, depth)) if form == "original" else np.ones(operations.shape)
    )
    signs = np.where(drawn(CHAINS, depth) >> np.uint64(63), 1.0, -1.0)
    return Plan(keep, shares / np.maximum(shares.sum(1, keepdims=True), 1e-12), depths, operations, levels, signs)


def augmix(pixels: Tensor, form: str, seed: int, epoch: int, rows: np.ndarray, view: int = 0) -> Tensor:
    """(B, H, W, C) uint8 to (B, H, W, C) float32 from 0 to 255: (1 - m) x + m sum_i w_i chain_i(x), of three chains.

    The shares sum to 1, so that it makes no difference whether images are blended before or after they are normalised.

    Args:
        rows: (B,) the number of each row in its data, another word for each of its copies.
        view: which of several augmentations of the same rows.

    Raises:
        UserError: for an unknown form.
    """
    return apply_chains(pixels, form, draw_chains(form, seed, epoch, rows, view))


def apply_chains(pixels: Tensor, form: str, plan: Plan) -> Tensor:
    """As :func:`augmix`, by a plan."""
    count, names = len(pixels), OPERATIONS[form]
    if not count:
        return pixels.float()
    images = pixels.permute(0, 3, 1, 2).contiguous()
    chains = images.repeat_interleave(CHAINS, 0)  # row 3 b + c is chain c of image b
    depth, operations = plan.depth.reshape(-1), plan.operations.reshape(count * CHAINS, -1)
    levels, signs = plan.levels.reshape(operations.shape), plan.signs.reshape(operations.shape)
    for turn in range(operations.shape[1]):
        active = np.flatnonzero(depth > turn)
        chosen = operations[active, turn]
        moved = np.isin(chosen, [names.index(name) for name in _GEOMETRY])
        groups = [(name, active[chosen == number]) for number, name in enumerate(names) if name not in _GEOMETRY]
        for name, at in groups:
            if len(at) and name != "identity":
                places = torch.from_numpy(at).to(chains.device)
                level = torch.from_numpy(levels[at, turn]).to(chains.device)
                chains[places] = _POINTWISE[name](chains[places], level, form)
        if len(at := active[moved]):
            places = torch.from_numpy(at).to(chains.device)
            kinds = [names[number] for number in operations[at, turn]]
            matrix = _matrices(kinds, levels[at, turn], signs[at, turn], chains.shape[-1], chains.shape[-2], form)
            chains[places] = warp(chains[places], matrix, "bilinear" if form == "original" else "nearest")
    shares = np.concatenate([(1 - plan.keep)[:, None], plan.keep[:, None] * plan.weights], 1).astype(np.float32)
    weight = torch.from_numpy(shares).to(images.device)
    parts = chains.view(count, CHAINS, -1)
    out = images.view(count, -1) * weight[:, :1]
    for chain in range(CHAINS):
        out = torch.addcmul(out, parts[:, chain].float(), weight[:, chain + 1 : chain + 2])
    return out.view(images.shape).permute(0, 2, 3, 1)


# --- operations: (n, C, H, W) uint8 and levels (n,) of 10 ---------------------------------------------------------------


def autocontrast(x: Tensor, level: Tensor, form: str) -> Tensor:
    """Each channel from 0 to 255; one of a single value stays."""
    flat = x.flatten(2).float()
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    wide = high > low
    scale = torch.where(wide, 255 / (high - low).clamp_min(1), 1.0)
    flat = flat.sub_(torch.where(wide, low, 0.0)).mul_(scale).add_(1e-3)  # what is whole but for rounding stays
    return flat.to(torch.uint8).view_as(x)


def equalize(x: Tensor, level: Tensor, form: str) -> Tensor:
    """Each channel with an even histogram, by Pillow's integer arithmetic."""
    count, channels = x.shape[:2]
    planes = count * channels
    values = x.reshape(planes, -1)
    place = values.long() + 256 * torch.arange(planes, device=x.device)[:, None]
    histogram = torch.bincount(place.flatten(), minlength=256 * planes).view(planes, 256)
    last = histogram.gather(1, values.amax(1, keepdim=True).long())
    step = (values.shape[1] - last) // 255
    before = histogram.cumsum(1) - histogram
    table = ((before + step // 2) // step.clamp_min(1)).clamp_(max=255)
    table = torch.where(step > 0, table, torch.arange(256, device=x.device))
    return table.to(torch.uint8).flatten()[place].view_as(x)


def posterize(x: Tensor, level: Tensor, form: str) -> Tensor:
    """The highest 4 - int(.4 level) bits of a value; MixMo: 4."""
    bits = 4 - (level * 0.4).long() if form == "original" else torch.full_like(level, 4).long()
    mask = (256 - (1 << (8 - bits))).to(torch.uint8)
    return x & mask[:, None, None, None]


def solarize(x: Tensor, level: Tensor, form: str) -> Tensor:
    """What is not below 256 - int(25.6 level) is inverted; MixMo: 25.6 (a tenth of the range, from its lower end)."""
    most = 256 - (level * 25.6).floor() if form == "original" else torch.full_like(level, 25.6)
    last = (most.ceil() - 1).to(torch.uint8)  # the largest value that stays
    return x ^ ((x > last[:, None, None, None]) * torch.tensor(255, dtype=torch.uint8, device=x.device))


def invert(x: Tensor, level: Tensor, form: str) -> Tensor:
    return 255 - x


_POINTWISE = {
    "autocontrast": autocontrast,
    "equalize": equalize,
    "posterize": posterize,
    "solarize": solarize,
    "invert": invert,
}


def _matrices(
    names: list[str], levels: np.ndarray, signs: np.ndarray, width: int, height: int, form: str
) -> np.ndarray:
    """(n, 2, 3) float64: of the place of a pixel in the result, where in the image it comes from, as Pillow has it."""
    made = np.zeros((len(names), 2, 3))
    made[:, 0, 0] = made[:, 1, 1] = 1
    kind = np.array(names)
    whole = form == "original"  # whole degrees and pixels
    degrees = np.trunc(levels * 3) if whole else np.full(len(names), 3.0)
    at, turn = kind == "rotate", -np.deg2rad(degrees * signs)
    cos, sin, x, y = np.cos(turn), np.sin(turn), width / 2, height / 2
    rotation = np.stack([cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y], 1).reshape(-1, 2, 3)
    made[at] = rotation[at]
    slope = (0.03 * levels if whole else np.full(len(names), 0.03)) * signs
    for name, row, column in (("shear_x", 0, 1), ("shear_y", 1, 0)):
        made[kind == name, row, column] = slope[kind == name]
    for name, row, side in (("translate_x", 0, width), ("translate_y", 1, height)):
        steps = (np.trunc(levels * side / 30) if whole else np.full(len(names), 0.045 * side)) * signs
        made[kind == name, row, 2] = steps[kind == name]
    return made


def warp(x: Tensor, matrix: np.ndarray, mode: str) -> Tensor:
    """(n, C, H, W) uint8, each moved by its matrix (2, 3); black where it comes from outside, and cut to whole numbers."""
    height, width = x.shape[-2:]
    m = torch.from_numpy(matrix.astype(np.float32)).to(x.device)[..., None, None]
    down = (torch.arange(height, device=x.device) + 0.5)[:, None]
    across = torch.arange(width, device=x.device) + 0.5
    at_x = m[:, 0, 0] * across + m[:, 0, 1] * down + m[:, 0, 2]
    at_y = m[:, 1, 0] * across + m[:, 1, 1] * down + m[:, 1, 2]
    inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
    # Within half a pixel of the edge the outermost pixel counts alone; beyond the edge nothing does.
    if mode == "nearest":
        place = at_y.floor().clamp_(0, height - 1) * width + at_x.floor().clamp_(0, width - 1)
        flat = place.long().flatten(1)[:, None].expand(-1, x.shape[1], -1)
        made = x.flatten(2).gather(2, flat).view_as(x)
        return made * inside[:, None]
    grid = torch.empty(*at_x.shape, 2, device=x.device)
    grid[..., 0] = at_x.clamp_(0.5, width - 0.5).mul_(2 / width).sub_(1).masked_fill_(~inside, -9.0)
    grid[..., 1] = at_y.clamp_(0.5, height - 0.5).mul_(2 / height).sub_(1)
    made = F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return made.add_(1e-3).to(torch.uint8)


def check_augmix(form: str | None, jsd: float, method: str) -> None:
    """Require the form to exist, and the consistency loss to have what it is between.

    Raises:
        UserError: naming the flag.
    """
    if form is not None:
        pick(FORMS, form, "form of AugMix")
    if not jsd:
        return
    if form != "original":
        given = "no --augmix" if form is None else f"--augmix {form}"
        raise UserError(
            f"--jsd {jsd:g} compares an image with two AugMix views of it, and {given} was given: add --augmix original, or"
            " leave --jsd out."
        )
    if method != "vanilla":
        raise UserError(
            f"--jsd {jsd:g} is a term of plain training, and --method {method} has terms of its own: take --method vanilla, or"
            " leave --jsd out."
        )
