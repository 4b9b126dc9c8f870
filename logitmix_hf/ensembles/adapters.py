"""Classifiers that are LoRA adapters over one network: the network once, an adapter and a head for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from logitmix_hf.ensembles.config import EnsembleConfig
from logitmix_hf.ensembles.lora import FOLDER, adapted, adapter_of, may_mix, member_name, switched, use
from logitmix_hf.ensembles.lora import save_adapter as save_one
from logitmix_hf.ensembles.model import LogitmixEnsembleForSequenceClassification, taken
from logitmix_hf.models.heads import find_heads
from logitmix_hf.models.unwrap import logits_of


class AdapterEnsembleConfig(EnsembleConfig):
    """Which adapters answer together over which network.

    Args:
        member_configs: the network's configuration as a dictionary, one for all.
        adapters: the configuration of each member's adapter, as peft has it.
        base_model: the network's name on the Hub, where it has one.
        average, kwargs: as of :class:`EnsembleConfig`.
    """

    model_type = "logitmix_adapters"

    def __init__(
        self,
        member_configs: Sequence[dict[str, Any]] = (),
        average: str = "logits",
        adapters: Sequence[Mapping[str, Any]] = (),
        base_model: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.adapters = [dict(one) for one in adapters]
        self.base_model = base_model
        super().__init__(member_configs, average, **kwargs)

    @property
    def size(self) -> int:
        """How many classifiers answer together."""
        return len(self.adapters)


class LogitmixAdaptersForSequenceClassification(LogitmixEnsembleForSequenceClassification):
    """Several text classifiers that differ by a LoRA adapter and a head alone, as one.

    In evaluation all of them answer in one pass, each row entering once for each member. In training :meth:`answering`
    says which one runs.
    """

    config_class = AdapterEnsembleConfig
    config: AdapterEnsembleConfig  # type: ignore[assignment]

    def __init__(self, config: AdapterEnsembleConfig, network: Any = None) -> None:
        PreTrainedModel.__init__(self, config)
        self.network = adapted(network or self.auto_class.from_config(config.built()[0]), config.adapters)
        self._switched = switched(self.network)
        self._alone: int | None = None
        self.in_one_pass = may_mix(self._switched)
        self.post_init()

    @property
    def count(self) -> int:
        """How many members there are."""
        return self.config.size

    @property
    def classifier(self) -> PreTrainedModel:
        """The network that the adapters are in."""
        return self.network.get_base_model()

    def get_input_embeddings(self) -> nn.Module:
        """The network's."""
        return self.classifier.get_input_embeddings()

    @contextmanager
    def answering(self, number: int) -> Iterator[None]:
        """Within: the model is this member alone, and gives its logits."""
        self._alone = number
        use(self._switched, member_name(number))
        try:
            yield
        finally:
            self._alone = None

    def own_heads(self) -> dict[str, nn.Module]:
        """The last linear layers of all members by their dotted names; see :func:`logitmix_hf.models.heads.find_heads`."""
        names = {member_name(number) for number in range(self.count)}
        found = find_heads(self.classifier, copies=True)
        return {
            f"network.base_model.model.{name}": head for name, head in found.items() if adapter_of(f"{name}.") in names
        }

    def member_parameters(self) -> list[list[nn.Parameter]]:
        """What each member has of its own."""
        parts: dict[str | None, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            parts.setdefault(adapter_of(name), []).append(parameter)
        return [parts[member_name(number)] for number in range(self.count)]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> Any:
        """The average of the members' logits; of one member alone (:meth:`answering`) what it says."""
        if self._alone is None:
            return super().forward(input_ids, attention_mask, token_type_ids, labels, return_dict)
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids, **others}
        return self.network(**taken(self.classifier, inputs))

    def _each(self, inputs: dict[str, Any]) -> Tensor:
        inputs = taken(self.classifier, inputs)
        # All in one pass in evaluation alone, as peft has it. A graph is made of several: in one, the rows of each member
        # would be a constant.
        apart = self.training or not self.in_one_pass or self.count == 1 or torch.compiler.is_compiling()
        if not apart:
            rows = len(next(iter(inputs.values())))
            names = [member_name(number) for number in range(self.count) for _ in range(rows)]
            repeated = {name: torch.cat([value] * self.count) for name, value in inputs.items()}
            logits = logits_of(self.network(**repeated, adapter_names=names))
            return logits.float().unflatten(0, (self.count, rows)).transpose(0, 1)
        each = []
        for number in range(self.count):
            use(self._switched, member_name(number))
            each.append(logits_of(self.network(**inputs)).float())
        return torch.stack(each, 1)

    def save_adapter(self, number: int, folder: Path) -> None:
        """Write one member as ``PeftModel.from_pretrained`` reads it over the same network."""
        save_one(self.network, number, self.config.adapters[number], folder, self.config.base_model)

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:  # type: ignore[override]
        """As every model, and beside it each member as peft keeps it, in ``adapters/``."""
        super().save_pretrained(save_directory, **options)
        if options.get("is_main_process", True):
            for number in range(self.count):
                self.save_adapter(number, Path(save_directory) / FOLDER / member_name(number))

    def merged(self) -> PreTrainedModel:
        """The classifier of a lone member, its adapter added into the weights; this model is used up."""
        use(self._switched, member_name(0))
        made: Any = self.network.merge_and_unload(adapter_names=[member_name(0)])
        made.config = self.classifier.config
        return made


def over_one_network(
    network: PreTrainedModel,
    adapters: Sequence[Mapping[str, Any]],
    average: str = "logits",
    base_model: str | None = None,
) -> LogitmixAdaptersForSequenceClassification:
    """A model of several adapters over this network, which is taken over, not copied.

    Args:
        network: a text classifier with its head.
        adapters: configurations, as :func:`logitmix_hf.ensembles.lora.lora_config` makes them.
        average: ``"logits"`` or ``"probs"``.
        base_model: the network's name on the Hub.
    """
    config: Any = AdapterEnsembleConfig.of([network.config], average)
    config.adapters, config.base_model = [dict(one) for one in adapters], base_model
    return LogitmixAdaptersForSequenceClassification(config, network)
