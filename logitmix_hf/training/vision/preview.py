"""``mix_preview.png``: what the network is about to see, drawn before training starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from logitmix_hf.modality import IMAGE
from logitmix_hf.plan import MixPlan, draw_plan, step_generator
from logitmix_hf.reporting.mixtures import Mixtures, mixtures_plot
from logitmix_hf.steps import build_step
from logitmix_hf.steps.members import MemberStep
from logitmix_hf.steps.passes import modality_of
from logitmix_hf.training.loaded import Loaded
from logitmix_hf.vision.mixers import MaskedPlan

SHOWN = 8
_PURPOSE = 2  # of the generator; the trainer's own draws have 0 and 1


def draw_preview(trainer: Any, loaded: Loaded, path: Path) -> Path:
    """The mixtures of :data:`SHOWN` training images by every mixer of the run, drawn into ``path``.

    The images hang on data and seed alone, so that the pictures of different mixers show the same ones; each has the
    next as its partner. Shares are drawn for each image as the run draws them. At a site inside the network there is
    nothing to see: the picture then mixes the pixels, and says so.
    """
    assert modality_of(trainer.model) == IMAGE
    split = loaded.splits["train"]
    rows = np.unique(np.linspace(0, len(split) - 1, SHOWN).astype(int)).tolist()
    batch = dict(loaded.collator([split[row] for row in rows]))
    device = next(trainer.model.parameters()).device
    labels = batch.pop("labels").to(device)
    batch = {name: value.to(device) for name, value in batch.items()}
    step: Any = build_step(trainer.model, trainer.mix, trainer.processing_class)  # mixed: it is drawn for those alone
    try:
        blocks = [_block(trainer, step.passes, loaded, mix, batch, labels) for mix in step.mixes.values()]
        if isinstance(step, MemberStep) and step.forward is not None:
            blocks.append(_members(trainer, step, loaded, batch["pixel_values"]))
    finally:
        step.remove()
    return mixtures_plot(blocks, path)


def _block(trainer: Any, passes: Any, loaded: Loaded, mix: Any, batch: dict[str, Tensor], labels: Tensor) -> Mixtures:
    generator = step_generator(trainer.args.seed, 0, purpose=_PURPOSE)
    pixels = batch["pixel_values"]
    drawn = draw_plan(len(pixels), mix.alpha, generator, per="example", lam=mix.lam)
    own = torch.arange(len(pixels))
    plan = MixPlan(torch.stack([own, own.roll(-1)], 1), drawn.shares)
    forward = passes.forwards[mix.mixer]
    mixed, carried = forward.mix_pixels(batch, plan, generator, labels)
    inside = "" if mix.site == "input" else f", mixed at {mix.site} (shown on the pixels)"
    if forward.mixer.needs_saliency and not loaded.model_record.get("pretrained"):
        inside += ", saliency of the network before training"
    mask = carried.mask if isinstance(carried, MaskedPlan) else None
    originals = _visible(pixels, loaded)
    return Mixtures(
        title=f"{mix.method}, {mix.mixer}, alpha {mix.alpha:g}{inside}",
        originals=originals,
        partners=originals[plan.sources[:, 1].numpy()],
        mixed=_visible(mixed, loaded),
        masks=None if mask is None else mask[:, 0].float().cpu().numpy(),
        shares=carried.lam.float().cpu().numpy(),
    )


def _members(trainer: Any, step: MemberStep, loaded: Loaded, pixels: Tensor) -> Mixtures:
    """What the first two members see, shown on the pixels."""
    assert step.forward is not None
    generator = step_generator(trainer.args.seed, 0, purpose=_PURPOSE)
    plan = step.draw_members(len(pixels), step.forward.map_size(pixels), generator)
    own = torch.arange(len(pixels))
    mask = F.interpolate(plan.masks, pixels.shape[2:])
    originals = _visible(pixels, loaded)
    partners = originals[own.roll(-1).numpy()]
    first = mask[:, 0].numpy()
    mix = trainer.mix
    return Mixtures(
        title=f"{mix.method}, {mix.members} members, {mix.member_mask}: maps after the first convolution (shown on the pixels)",
        originals=originals,
        partners=partners,
        mixed=first[..., None] * originals + (1 - first[..., None]) * partners,
        masks=first,
        shares=plan.lam.numpy(),
    )


def _visible(pixels: Tensor, loaded: Loaded) -> np.ndarray:
    """(N, C, H, W) normalised to (N, H, W, C) in [0, 1]."""
    data: Any = loaded.data
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    seen = pixels.detach().float().cpu().permute(0, 2, 3, 1) * std + mean
    return seen.clamp(0, 1).numpy()
