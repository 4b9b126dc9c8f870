"""A device without float64 (Apple's) sees none: every part of a step that reckons on the device runs on a stand-in for it.

The stand-in is torch's own: a fake device whose tensors have shapes and types and no values. It also refuses a read by the
host, and tensors of two devices in one operation.
"""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from logitmix_hf import LogitMixLoss, MixPlan, blend, precision
from logitmix_hf.models.target_scale import TargetScale
from logitmix_hf.precision import exact, widest
from logitmix_hf.trainer.terms import TermLog
from logitmix_hf.vision import MIXERS
from logitmix_hf.vision.members.plan import member_weights

DEVICE = "cuda"  # of those that torch can feign everywhere


class WithoutFloat64(TorchDispatchMode):
    """Refuses what the device would refuse."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_iter(out):
            if isinstance(value, torch.Tensor) and value.device.type == DEVICE:
                assert value.dtype not in (torch.float64, torch.complex128), f"{func} makes float64 on the device"
        return out


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {DEVICE})
    with FakeTensorMode(allow_non_fake_inputs=True), WithoutFloat64():
        yield torch.device(DEVICE)


def plan_on(device, rows=4):
    return MixPlan(torch.zeros(rows, 2, dtype=torch.int64, device=device), torch.full((rows, 2), 0.5, device=device))


def test_the_stand_in_refuses_float64(device):
    with pytest.raises(AssertionError, match="float64 on the device"):
        torch.ones(2, device=device).double()
    assert exact(torch.ones(2, device=device)).dtype == torch.float32
    assert exact(torch.ones(2)).dtype == torch.float64


def test_the_widest_type_of_a_device():
    assert widest(torch.device("cpu")) == widest(torch.device("cuda", 1)) == torch.float64
    assert widest(torch.device("mps")) == torch.float32


@pytest.mark.parametrize("per", ["batch", "example"])
@pytest.mark.parametrize("name", [name for name, row in MIXERS.items() if not row.needs_saliency])
def test_every_mixer_but_puzzlemix_which_reckons_on_the_cpu(device, name, per):
    options = {"per": per} if "per" in MIXERS[name].options else {}
    images = torch.zeros(4, 3, 16, 16, device=device)
    mixed, carried = MIXERS[name](images, plan_on(device), torch.Generator().manual_seed(0), **options)
    assert mixed.device.type == carried.shares.device.type == DEVICE
    assert mixed.dtype == torch.float32


def test_loss_blend_terms_and_scale(device):
    plan, logits = plan_on(device), torch.zeros(4, 3, device=device)
    labels = torch.zeros(4, dtype=torch.int64)
    out = LogitMixLoss()(logits, blend(logits, plan), torch.nn.functional.one_hot(labels, 3).float().to(device), plan)
    log = TermLog(tuple(out.terms))
    log.add(out.terms, 1)
    log.add(out.terms, 2)
    assert member_weights(plan.shares, 3.0).dtype == torch.float32
    assert TargetScale(177_000.0, 40_000.0).standardise(torch.zeros(4, device=device)).dtype == torch.float32
