"""From what is to be mixed to the step that does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from logitmix_hf.arguments import MixArguments
from logitmix_hf.ensembles import LogitmixAdaptersForSequenceClassification, check_single
from logitmix_hf.methods import METHODS
from logitmix_hf.models.unwrap import unwrap
from logitmix_hf.steps.adapters import AdapterStep
from logitmix_hf.steps.consistency import ConsistencyStep, StochasticStep
from logitmix_hf.steps.members import MemberStep
from logitmix_hf.steps.mixed import MixedStep
from logitmix_hf.steps.passes import modality_of
from logitmix_hf.steps.step import MixStep
from logitmix_hf.steps.task_loss import TaskLoss

STEPS: dict[str, Callable[[nn.Module, MixArguments, Any, TaskLoss], MixStep]] = {
    "mixed": MixedStep,
    "members": MemberStep,
    "stochastic": StochasticStep,
}
"""The steps that a row of ``METHODS`` names: (model, mix as filled, processor, loss) -> step."""


def build_step(
    model: nn.Module, mix: MixArguments | None = None, processor: Any = None, *, label_smoothing: float = 0.0
) -> MixStep:
    """The training step of a method, for the trainer and for anybody's own loop.

    Args:
        model: a classifier of texts or images, also wrapped (DDP, compiled, PEFT), or LoRA adapters over one network.
        mix: what to mix and how to weigh it; default LogitMix.
        processor: the tokenizer (mixer ``spans`` needs it) or the image processor (``puzzlemix`` reads its
            normalisation).
        label_smoothing: e in [0, 1), once, in the targets.

    Raises:
        UserError: for a site or mixer of the other modality. One that the model lacks is told at the first mixed step.

    Example:
        >>> step = build_step(model, MixArguments(mixer="cutmix", mix_start=0.5))  # doctest: +SKIP
        >>> result = step.run(model, batch, labels, Where(seed=0, step=7, share_done=0.7))  # doctest: +SKIP
        >>> result.per_example.mean().backward(); step.release()  # doctest: +SKIP
    """
    base, mix = unwrap(model), mix or MixArguments()
    several = isinstance(base, LogitmixAdaptersForSequenceClassification)
    if not several:
        check_single(getattr(base, "config", None), type(base).__name__)
    filled = mix.filled(modality_of(base, required=mix.mixes))
    network = base.classifier if several else base
    kind = ConsistencyStep if filled.jsd else STEPS[METHODS[filled.method].step]
    step = kind(network, filled, processor, TaskLoss(filled, label_smoothing))
    return AdapterStep(base, step) if several else step
