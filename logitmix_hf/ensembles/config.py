"""The configuration of several classifiers in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

SHARED = (
    *("vocab_size", "max_position_embeddings", "type_vocab_size", "pad_token_id"),
    *("image_size", "num_channels", "long_texts"),
)
"""What is said of the inputs, taken over from the first member."""


class EnsembleConfig(PreTrainedConfig):
    """Which classifiers answer together.

    Args:
        member_configs: the configuration of each member as a dictionary, with its ``model_type``.
        average: what is averaged, a name in ``logitmix_hf.evaluation.pooling.AVERAGES``.
        pixel_scales: for each member the factors and terms, a number a channel, by which the pixels as the first one's
            processor normalises them become its own; None: all are normalised alike.
        kwargs: what every configuration takes: ``num_labels``, ``id2label``, ``problem_type`` …
    """

    model_type = "logitmix_ensemble"
    # Trainer gathers every tensor of an output: what single members say is asked for by name.
    keys_to_ignore_at_inference = ["member_logits"]  # noqa: RUF012 (as transformers has it)

    def __init__(
        self,
        member_configs: Sequence[dict[str, Any]] = (),
        average: str = "logits",
        pixel_scales: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.member_configs = [dict(one) for one in member_configs]
        self.average = average
        self.pixel_scales = None if pixel_scales is None else [[list(part) for part in one] for one in pixel_scales]
        super().__init__(**kwargs)

    @property
    def size(self) -> int:
        """How many classifiers answer together."""
        return len(self.member_configs)

    def built(self) -> list[Any]:
        """The members' own configurations."""
        return [
            AutoConfig.for_model(
                str(one["model_type"]), **{key: value for key, value in one.items() if key != "model_type"}
            )
            for one in self.member_configs
        ]

    @classmethod
    def of(cls, configs: Sequence[Any], average: str) -> EnsembleConfig:
        """The configuration of these classifiers together."""
        first = configs[0]
        shared = {name: getattr(first, name) for name in SHARED if getattr(first, name, None) is not None}
        return cls(
            [config.to_dict() for config in configs],
            average,
            id2label=dict(first.id2label),
            label2id=dict(first.label2id),
            problem_type=first.problem_type,
            **shared,
        )
