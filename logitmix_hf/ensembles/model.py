"""Models whose answer is the average of several models' answers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)
from transformers.utils.generic import ModelOutput

from logitmix_hf.ensembles.config import EnsembleConfig
from logitmix_hf.errors import UserError
from logitmix_hf.models.unwrap import logits_of
from logitmix_hf.targets import REGRESSION, mean_loss
from logitmix_hf.vision.networks.members import ensemble


@dataclass
class EnsembleOutput(ModelOutput):
    """``logits`` (B, C) of all together, ``member_logits`` (B, N, C) of each, ``loss`` scalar or None."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    member_logits: Tensor | None = None


class _Ensemble(PreTrainedModel):
    """N classifiers that are asked one after the other, and their average."""

    config_class = EnsembleConfig
    config: EnsembleConfig
    base_model_prefix = ""
    accepts_loss_kwargs = False
    auto_class: Any

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__(config)
        self.members = nn.ModuleList([self.auto_class.from_config(one) for one in config.built()])
        self.post_init()

    @property
    def ensemble_members(self) -> list[PreTrainedModel]:
        """The single classifiers."""
        return list(self.members)  # type: ignore[arg-type]

    def _init_weights(self, module: nn.Module) -> None:
        """Members have initialised themselves."""

    def forward(self, *, labels: Tensor | None = None, return_dict: bool | None = None, **inputs: Any) -> Any:
        """The average of the members' logits.

        Args:
            labels: as every classifier takes them.
            inputs: of the members, by name; what a member has no use for (``token_type_ids`` of DistilBERT) it is not given.

        Returns:
            ``EnsembleOutput``, or a tuple.
        """
        each = self._each(inputs)
        logits = ensemble(each, self.config.average, self.config.problem_type)
        problem = self.config.problem_type or (REGRESSION if logits.shape[1] == 1 else None)
        loss = None if labels is None else mean_loss(logits, labels, problem)
        several = each if each.shape[1] > 1 else None
        output = EnsembleOutput(loss=loss, logits=logits, member_logits=several)  # type: ignore[arg-type]
        return output.to_tuple() if return_dict is False else output

    def _each(self, inputs: dict[str, Any]) -> Tensor:
        """(B, N, C) what every member says."""
        said = [
            logits_of(member(**taken(member, self._seen(inputs, number)))).float()
            for number, member in enumerate(self.members)
        ]
        return torch.stack(said, 1)

    def _seen(self, inputs: dict[str, Any], number: int) -> dict[str, Any]:
        """The inputs as this member was trained on them."""
        return inputs


class LogitmixEnsembleForSequenceClassification(_Ensemble):
    """Several text classifiers with one tokenizer as one."""

    main_input_name = "input_ids"
    auto_class = AutoModelForSequenceClassification

    def get_input_embeddings(self) -> nn.Module:
        """The first member's: all read one vocabulary."""
        return self.ensemble_members[0].get_input_embeddings()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> Any:
        """See :class:`_Ensemble`; ``input_ids``, ``attention_mask``, ``token_type_ids`` are (B, L)."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        return super().forward(labels=labels, return_dict=return_dict, **inputs)


class LogitmixEnsembleForImageClassification(_Ensemble):
    """Several image classifiers that see the same pixels as one."""

    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]
    auto_class = AutoModelForImageClassification

    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> Any:
        """See :class:`_Ensemble`; ``pixel_values`` is (B, C, H, W)."""
        return super().forward(labels=labels, return_dict=return_dict, pixel_values=pixel_values)

    def _seen(self, inputs: dict[str, Any], number: int) -> dict[str, Any]:
        scales, pixels = self.config.pixel_scales, inputs["pixel_values"]
        if scales is None:
            return inputs
        # A processor of grey images repeats its numbers for three channels; grey tensors have one.
        factor, term = (pixels.new_tensor(part[: pixels.shape[1]])[:, None, None] for part in scales[number])
        return {**inputs, "pixel_values": pixels * factor + term}


def check_single(config: Any, name: str) -> None:
    """Require one classifier, which can be trained.

    Raises:
        UserError: for an ensemble, the list of whose members would pass for the stages of a network.
    """
    if isinstance(config, EnsembleConfig):
        raise UserError(
            f"{name} is an ensemble of {config.size} classifiers, which are trained each for itself: train its"
            " members, and join them by logitmix ensemble."
        )


def join_models(models: Sequence[PreTrainedModel], average: str = "logits") -> _Ensemble:
    """One model of several, all for texts or all for images; their weights are taken over, not copied.

    Args:
        models: with the same classes in the same order, their temperatures taken out.
        average: ``"logits"`` or ``"probs"``.
    """
    image = getattr(models[0], "main_input_name", "input_ids") == "pixel_values"
    kind = LogitmixEnsembleForImageClassification if image else LogitmixEnsembleForSequenceClassification
    made = kind(EnsembleConfig.of([model.config for model in models], average))
    made.members = nn.ModuleList(models)
    return made.eval()


def taken(member: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of the inputs that a classifier takes."""
    names = inspect.signature(member.forward).parameters
    return {name: value for name, value in inputs.items() if value is not None and name in names}
