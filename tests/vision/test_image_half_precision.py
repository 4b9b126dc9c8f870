"""fp16 of images, as far as a CPU can tell: autocast to float16 and a scaled loss, held against float32."""

from __future__ import annotations

import pytest
import torch

from logitmix_hf import LogitMixLoss, draw_plan
from logitmix_hf.vision import ImageForward, build_network

SCALE = 2.0**10  # where GradScaler soon comes to rest from 2**16


def gradients(mixer: str, site: str, half: bool) -> tuple[float, torch.Tensor]:
    torch.manual_seed(0)
    model = build_network("digits", num_labels=3, image_size=16, channels=1).train()
    draw = torch.Generator().manual_seed(1)
    batch, labels = {"pixel_values": torch.randn(6, 1, 16, 16, generator=draw)}, torch.arange(6) % 3
    plan = draw_plan(6, 3.0, draw, per="example")
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, enabled=half)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    forward = ImageForward(model, mixer, site)
    with torch.autocast("cpu", torch.float16, enabled=half):
        clean, mixed, carried_out = forward(batch, plan, draw, labels=labels)
        loss = LogitMixLoss()(clean, mixed, labels, carried_out).loss
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize(("mixer", "site"), [("mixup", "input"), ("cutmix", "input"), ("mixup", "stage.2")])
def test_half_precision_gives_the_gradient_of_float32_but_for_its_rounding(mixer, site):
    exact, rounded = (gradients(mixer, site, half) for half in (False, True))
    assert rounded[1].isfinite().all()
    assert rounded[0] == pytest.approx(exact[0], rel=2e-2)
    assert (rounded[1] - exact[1]).norm() < 0.05 * exact[1].norm()
    assert not torch.equal(rounded[1], exact[1])  # it was half precision


def test_half_precision_finds_its_way_through_puzzlemix():
    """Its mask hangs on a saliency, so a rounding may move a block: the gradient is only near."""
    exact, rounded = (gradients("puzzlemix", "input", half) for half in (False, True))
    assert rounded[1].isfinite().all()
    assert torch.cosine_similarity(rounded[1], exact[1], dim=0) > 0.9
