"""What one step draws: which mixer, whether at all, how much of each row. None of them tells anything of another."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from logitmix_hf import MixArguments
from logitmix_hf.steps import Where, build_step

STEPS = 600


class Pixels(nn.Module):
    """A linear classifier of squared pixels: next to no work a step."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 16, 3)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.head(pixel_values.square().flatten(1))


def drawn(**options) -> dict[str, list]:
    """By step: the mixer, whether the whole loss was taken, and the share that was drawn (None for a plain step)."""
    torch.manual_seed(0)
    model, images, labels = Pixels(), torch.randn(4, 3, 4, 4), torch.tensor([0, 1, 2, 0])
    step = build_step(model, MixArguments(mixer="mixup,cutmix", lam_correction="off", **options))
    found: dict[str, list] = {"mixer": [], "whole": [], "lam": []}
    for number in range(STEPS):
        where = Where(seed=3, step=number, share_done=0.45)
        with torch.no_grad():
            terms = step.run(model, {"pixel_values": images}, labels, where).terms
        step.release()
        found["mixer"].append(step.choose(where).mixer)
        found["whole"].append("sim" in terms)
        found["lam"].append(float(terms["lam"].mean()) if "lam" in terms else None)
    return found


def test_which_mixer_is_drawn_says_nothing_of_whether_the_step_mixes():
    found = drawn(mix_prob=0.5)
    pairs = list(zip(found["mixer"], [lam is not None for lam in found["lam"]], strict=True))
    counts = [pairs.count(pair) for pair in itertools.product(("mixup", "cutmix"), (True, False))]
    assert counts == pytest.approx([STEPS / 4] * 4, abs=43)  # four standard deviations of a binomial


@pytest.mark.parametrize("what", ["mixer", "whole"])
def test_neither_the_mixer_nor_the_schedule_says_anything_of_the_share(what):
    """At 45 % of a training by ``grad`` half of the steps take the whole loss."""
    found = drawn(mix_schedule="grad")
    first = found[what][0]
    lams: tuple[list, list] = ([], [])
    for value, lam in zip(found[what], found["lam"], strict=True):
        lams[value == first].append(lam)
    assert min(map(len, lams)) > STEPS / 2 - 49
    assert stats.ks_2samp(*lams).pvalue > 0.001


def test_a_fixed_share_is_what_every_step_mixes_by():
    assert drawn(lam=0.25)["lam"] == [0.25] * STEPS
