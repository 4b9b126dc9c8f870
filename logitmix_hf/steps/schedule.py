"""When a step mixes, and with how much of the loss: mix_start, mix_end, and the schedules of the authors' code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from logitmix_hf.arguments import MixArguments
from logitmix_hf.steps.step import Where


def whole_loss_share(schedule: str, done: float, epochs: float, milestones: Sequence[float] = ()) -> float:
    """The share of steps that take the whole loss, in [0, 1] (the LogitMix authors' ``--warmup_mode``).

    Args:
        schedule: ``"none"``: 1. ``"step"``: 0 in the first ``floor(epochs / 10)`` epochs, then 1. ``"grad"``: within each
            stage of the learning rate a ramp from 0 to 1 that is full at 70 % of the stage; in the first it begins at
            20 %.
        done: the share of training that is behind, in [0, 1].
        epochs: of the whole training.
        milestones: shares of training at which the learning rate drops; without any the training is one stage.
    """
    if schedule == "none":
        return 1.0
    if schedule == "step":
        # Half of a thousandth of an epoch: done * epochs is rounded, and an epoch's first step belongs to it.
        return 0.0 if done * epochs + 5e-4 < int(epochs / 10) else 1.0
    bounds = [0.0, *milestones, 1.0]
    stage = sum(done >= bound for bound in milestones)
    begin, end = bounds[stage], bounds[stage + 1]
    within = (done - begin) / (end - begin) if end > begin else 1.0
    low = 0.2 if stage == 0 else 0.0
    return min(max((within - low) / (0.7 - low), 0.0), 1.0)


def mix_at(mix: MixArguments, where: Where, uniform: float) -> MixArguments | None:
    """What a step mixes and how it weighs it; None where it trains on clean rows alone.

    Args:
        mix: of the step's mixer, filled.
        where: how much of training is behind, of how many epochs, with which milestones.
        uniform: a draw from [0, 1): a step outside the share of the whole loss takes L_mix alone, unless that share is 0.
    """
    done = where.share_done + 1e-9  # a share is a quotient of steps, as rounded
    if not mix.mixes or done < mix.mix_start or (mix.mix_end < 1 and done >= mix.mix_end):
        return None
    share = whole_loss_share(mix.mix_schedule, where.share_done, where.epochs, where.milestones)
    if share == 0:
        return None
    return mix if uniform < share else replace(mix, w_mix=1.0, w_cls=0.0, w_sim=0.0, w_agree=0.0)
