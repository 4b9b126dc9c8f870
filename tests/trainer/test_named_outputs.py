"""What is kept of a model's outputs goes by its name, wherever among them it stands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PretrainedConfig, PreTrainedModel, TrainingArguments
from transformers.utils import ModelOutput

from logitmix_hf import MixArguments, MixTrainer
from logitmix_hf.training.judge import OUTPUTS, predictions_of


class Committee(PreTrainedModel):
    """Three members of one linear layer each; what it answers comes last, and what nobody asked for comes first."""

    config_class = PretrainedConfig
    main_input_name = "pixel_values"

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.members = torch.nn.Linear(4, 3 * 2)

    def forward(self, pixel_values: torch.Tensor) -> ModelOutput:
        each = self.members(pixel_values).unflatten(1, (3, 2))
        return ModelOutput(hidden=pixel_values * 7, member_logits=each, logits=each.mean(1))


@pytest.fixture
def trainer(tmp_path) -> MixTrainer:
    torch.manual_seed(0)
    model = Committee(PretrainedConfig(num_labels=2, problem_type="single_label_classification"))
    arguments = TrainingArguments(str(tmp_path), per_device_eval_batch_size=4, use_cpu=True, report_to="none")
    return MixTrainer(model=model, args=arguments, mix=MixArguments(method="vanilla"))


ROWS = [{"pixel_values": [float(n), 1.0, -n / 2, 0.5], "labels": n % 2} for n in range(10)]
DATA: Any = SimpleNamespace(label_names=("a", "b"), problem="single_label_classification")


@pytest.mark.parametrize("labelled", [True, False])
def test_outputs_are_found_by_name(trainer, labelled):
    rows = ROWS if labelled else [{"pixel_values": row["pixel_values"]} for row in ROWS]
    trainer.named_outputs = OUTPUTS
    made = predictions_of(trainer.predict(rows), DATA)
    inputs = torch.tensor([row["pixel_values"] for row in ROWS])
    each = trainer.model.members(inputs).unflatten(1, (3, 2)).detach().numpy()
    np.testing.assert_allclose(made.members, each, atol=1e-6)
    np.testing.assert_allclose(made.logits, each.mean(1), atol=1e-6)
    assert (made.labels is not None) == labelled


def test_a_model_without_members_has_none(trainer):
    trainer.named_outputs = ("logits", "no_such_output")
    output = trainer.predict(ROWS)
    assert output.predictions.keys() == {"logits"}
    assert predictions_of(output, DATA).members is None


def test_without_names_trainer_has_all_of_them_in_their_order(trainer):
    hidden, members, logits = trainer.predict(ROWS).predictions
    assert (hidden.shape, members.shape, logits.shape) == ((10, 4), (10, 3, 2), (10, 2))


def test_the_loss_is_the_same_by_name_and_by_place(trainer):
    by_place = trainer.evaluate(ROWS)["eval_loss"]
    trainer.named_outputs = OUTPUTS
    assert trainer.evaluate(ROWS)["eval_loss"] == by_place
