"""fp16, as far as a CPU can tell: autocast to float16 and a scaled loss, held against float32."""

from __future__ import annotations

import pytest
import torch
from tiny import CONFIGS, EAGER_ONLY, build

from logitmix_hf import LogitMixLoss, MixedForward, draw_plan

ROWS, LENGTH = 6, 12
SCALE = 2.0**10  # where GradScaler soon comes to rest from 2**16


def sentences() -> dict[str, torch.Tensor]:
    """Of every length, so that masks matter."""
    ids = torch.randint(5, 50, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    lengths = torch.arange(ROWS)[:, None] * 2 + 2
    mask = (torch.arange(LENGTH) < lengths).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def gradients(family: str, site: str, attention: str, half: bool) -> tuple[float, torch.Tensor]:
    model = build(CONFIGS[family], attention="eager" if family in EAGER_ONLY else "sdpa").eval()  # no dropout
    labels = torch.arange(ROWS) % model.config.num_labels
    plan = draw_plan(ROWS, 3.0, torch.Generator().manual_seed(1), per="example")
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, enabled=half)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    forward = MixedForward(model, site=site, attention=attention)  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.float16, enabled=half):
        clean, mixed = forward(sentences(), plan)
        loss = LogitMixLoss()(clean, mixed, labels, plan).loss
    assert loss.dtype == torch.float32
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("site", ["embeddings", "layer.1", "cls", "pooled"])
@pytest.mark.parametrize(
    ("family", "attention"),
    [("bert", "soft"), ("bert", "union"), ("distilbert", "soft"), ("modernbert-mean", "soft"), ("deberta-v2", "union")],
)
def test_half_precision_gives_the_gradient_of_float32_but_for_its_rounding(family, site, attention):
    exact, rounded = (gradients(family, site, attention, half) for half in (False, True))
    assert rounded[1].isfinite().all()
    assert rounded[0] == pytest.approx(exact[0], rel=1e-2)
    assert (rounded[1] - exact[1]).norm() < 0.02 * exact[1].norm()
    assert not torch.equal(rounded[1], exact[1])  # it was half precision
