"""Schedules of the authors' code by hand, and when a step mixes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logitmix_hf import MixArguments
from logitmix_hf.steps import Where
from logitmix_hf.steps.schedule import mix_at, whole_loss_share

CIFAR = (0.3, 0.6, 0.8)  # 60, 120 and 160 of 200 epochs

# The authors' code, --warmup_mode grad: in a stage of the learning rate that lasts from a to b, the share rises linearly
# from the start of the ramp to 70 % of the stage; the ramp starts at a, in the first stage 20 % behind it.
GRAD = [
    (0.0, 0.0),
    (0.06, 0.0),  # 20 % of the first stage, which is 0.3 long
    (0.135, 0.5),  # 45 %: halfway from 20 to 70
    (0.21, 1.0),
    (0.2999, 1.0),
    (0.3, 0.0),  # the second stage begins anew
    (0.405, 0.5),  # 35 % of it
    (0.51, 1.0),
    (0.6, 0.0),
    (0.67, 0.5),  # the third is 0.2 long: 35 % are 0.07
    (0.74, 1.0),
    (0.8, 0.0),
    (0.87, 0.5),
    (0.95, 1.0),
    (1.0, 1.0),
]


@pytest.mark.parametrize(("done", "share"), GRAD)
def test_grad_by_hand(done, share):
    assert whole_loss_share("grad", done, 200, CIFAR) == pytest.approx(share, abs=1e-6)


def test_grad_without_milestones_is_one_stage():
    for done, share in ((0.0, 0.0), (0.2, 0.0), (0.45, 0.5), (0.6, 0.8), (0.7, 1.0), (1.0, 1.0)):
        assert whole_loss_share("grad", done, 10) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(("epochs", "first"), [(200, 20), (30, 3), (19, 1), (10, 1), (9, 0), (3, 0)])
def test_step_leaves_the_first_tenth_of_the_epochs_rounded_down(epochs, first):
    per_epoch = 391  # CIFAR by 128
    steps = epochs * per_epoch
    shares = {epoch: whole_loss_share("step", epoch * per_epoch / steps, epochs) for epoch in range(epochs)}
    assert [epoch for epoch, share in shares.items() if share == 0] == list(range(first))
    if first:  # to the step
        assert whole_loss_share("step", (first * per_epoch - 1) / steps, epochs) == 0
    assert whole_loss_share("step", first * per_epoch / steps, epochs) == 1


@given(st.sampled_from(["none", "step", "grad"]), st.floats(0, 1), st.floats(0.5, 300))
def test_a_share_is_a_share(schedule, done, epochs):
    assert 0 <= whole_loss_share(schedule, done, epochs, CIFAR) <= 1
    assert whole_loss_share("none", done, epochs, CIFAR) == 1


def mix_of(**changes) -> MixArguments:
    return MixArguments(**{"mixer": "cutmix", **changes}).filled("image")


def weights_at(mix: MixArguments, step: int, uniform: float = 0.5, steps: int = 100, milestones=()):
    got = mix_at(mix, Where(seed=0, step=step, share_done=step / steps, epochs=10, milestones=milestones), uniform)
    return None if got is None else tuple(got.weights.values())


def test_outside_the_share_a_step_takes_the_mixed_loss_alone_and_none_at_zero():
    mix = mix_of(mix_schedule="grad")
    assert weights_at(mix, 20, 0.0) is None  # share exactly 0: clean rows alone
    assert weights_at(mix, 45, 0.49) == (1, 1, 0.1, 0)
    assert weights_at(mix, 45, 0.51) == (1, 0, 0, 0)
    assert weights_at(mix, 70, 0.999999) == (1, 1, 0.1, 0)
    step = mix_of(mix_schedule="step")
    assert weights_at(step, 9) is None
    assert weights_at(step, 10, 0.999999) == (1, 1, 0.1, 0)
    halved = mix_at(mix, Where(seed=0, step=45, share_done=0.45, epochs=10), 0.9)
    assert halved is not None
    assert (halved.alpha, halved.mixer, halved.site) == (3.0, "cutmix", "input")


def test_start_and_end_are_shares_of_the_steps():
    mix = mix_of(mix_start=0.25, mix_end=0.75)
    mixing = [step for step in range(8) if weights_at(mix, step, steps=8) is not None]
    assert mixing == [2, 3, 4, 5]
    assert weights_at(mix_of(), 8, steps=8) is not None  # an end of 1 never ends, whatever the count of steps


def test_methods_that_mix_nothing_never_mix():
    assert weights_at(MixArguments(method="vanilla").filled("image"), 50) is None
