"""What is left of a training when one class was swapped: a model that stock pipelines read as it was trained."""

from __future__ import annotations

import warnings

import pytest
import torch
from test_trainer import Rows, no_dropout, trainer_of
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, Trainer, pipeline

from logitmix_hf import MixArguments, MixTrainer
from logitmix_hf.errors import UserError

SENTENCES = ["w6 w7 w8", "w30 w31 w32 w33"]
SEVERAL = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])


class Labelled(Rows):
    """The rows of a data set with labels of another kind."""

    def __init__(self, labels: torch.Tensor) -> None:
        super().__init__(len(labels))
        self.labels = labels


def trained(tmp_path, labels, kind=MixTrainer, **changes):
    options = {"mix": MixArguments(method="vanilla")} if kind is MixTrainer else {}
    trainer = trainer_of(tmp_path, kind=kind, **changes, **options)
    trainer.train_dataset = trainer.eval_dataset = Labelled(labels)
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("outputs", "labels", "problem"),
    [
        (3, SEVERAL.repeat(8, 1), "multi_label_classification"),
        (1, torch.linspace(-3, 3, 16), "regression"),
        (1, torch.linspace(-3, 3, 16).unsqueeze(1), "regression"),
        (3, torch.arange(16) % 3, "single_label_classification"),
        (3, (torch.arange(16) % 3).unsqueeze(1), "single_label_classification"),
    ],
)
def test_a_pipeline_gives_what_was_trained(tmp_path, tiny_model, outputs, labels, problem):
    """By hand: a sigmoid of each logit, the value itself, a softmax over the logits; and stock Trainer's word for it."""
    trainer = trained(tmp_path / "run", labels, model=no_dropout(num_labels=outputs))
    trainer.save_model(str(tmp_path / "model"))
    assert AutoConfig.from_pretrained(tmp_path / "model").problem_type == problem
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    answers = pipeline("text-classification", model=str(tmp_path / "model"), tokenizer=tokenizer, top_k=None)(SENTENCES)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in SENTENCES])
    wanted = {"multi_label_classification": logits.sigmoid(), "regression": logits}.get(problem, logits.softmax(1))
    for row, answer in zip(wanted, answers, strict=True):
        got = {one["label"]: one["score"] for one in answer}
        torch.testing.assert_close(torch.tensor([got[model.config.id2label[c]] for c in range(outputs)]), row)


@pytest.mark.parametrize(("outputs", "labels"), [(3, SEVERAL.repeat(8, 1)), (1, torch.linspace(-3, 3, 16))])
def test_the_problem_is_the_one_that_stock_writes(tmp_path, outputs, labels):
    named = [
        trained(tmp_path / kind.__name__, labels, kind, model=no_dropout(num_labels=outputs)).model.config.problem_type
        for kind in (MixTrainer, Trainer)
    ]
    assert named[0] == named[1]


def test_every_checkpoint_has_the_word_and_an_evaluation_alone_writes_it(tmp_path):
    several = SEVERAL.repeat(8, 1)
    trained(tmp_path, several, save_strategy="steps", save_steps=1)
    for checkpoint in ("checkpoint-1", "checkpoint-2"):
        assert AutoConfig.from_pretrained(tmp_path / checkpoint).problem_type == "multi_label_classification"
    trainer = trainer_of(tmp_path)
    trainer.evaluate(Labelled(several))
    assert trainer.model.config.problem_type == "multi_label_classification"


def test_labels_that_contradict_the_configuration_are_told(tmp_path):
    named = no_dropout(problem_type="single_label_classification")
    with pytest.warns(UserWarning, match="single_label_classification, but the first ones do not sum to 1"):
        trained(tmp_path, SEVERAL.repeat(8, 1), model=named)
    shares = torch.tensor([[0.2, 0.5, 0.3], [0.0, 0.9, 0.1]]).repeat(8, 1)
    with pytest.warns(UserWarning, match="multi_label_classification, but the first ones sum to 1"):
        trained(tmp_path, shares)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for word in ("single_label_classification", "multi_label_classification"):  # the user has said which
            trained(tmp_path, shares, model=no_dropout(problem_type=word))
        for problem in ("multi_label_classification", "regression"):
            trained(tmp_path, SEVERAL.repeat(8, 1), model=no_dropout(problem_type=problem))


def test_labels_from_which_nothing_could_be_learnt_are_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"\(8, 3\) are read as multi_label_classification, but one is 7, outside \[0, 1\]"
    ):
        trained(tmp_path, 7 * SEVERAL.repeat(8, 1))
    with pytest.raises(UserError, match="one output, whose cross entropy is always 0"):
        trained(
            tmp_path, torch.arange(16) % 2, model=no_dropout(num_labels=1, problem_type="single_label_classification")
        )
