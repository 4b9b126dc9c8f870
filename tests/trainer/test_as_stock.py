"""What has a loss of its own is trained with it where nothing is mixed, as stock Trainer trains it; and what MixTrainer
cannot mix is told in words."""

from __future__ import annotations

import warnings

import pytest
import torch
from test_trainer import Gradients, Rows, assert_equal_gradients, no_dropout, trainer_of
from tiny import CONFIGS, LLAMA
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    BertForSequenceClassification,
    Trainer,
)

from logitmix_hf import MixArguments, MixTrainer
from logitmix_hf.errors import UserError

VANILLA = MixArguments(method="vanilla")


class Labelled(Rows):
    """The rows of a data set with other labels, or with labels under other names."""

    def __init__(self, labels: torch.Tensor, name: str = "labels") -> None:
        super().__init__(len(labels))
        self.labels, self.name = labels, name

    def __getitem__(self, row):
        found = super().__getitem__(row)
        found[self.name] = found.pop("labels")
        return found


class Line(nn.Module):
    """a x + b with a loss of its own, no configuration, and inputs that no model of texts or images has."""

    def __init__(self, own: bool = True) -> None:
        super().__init__()
        self.a, self.b, self.own = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.1)), own

    def forward(self, x, labels=None):
        y = self.a * x + self.b
        return (y,) if labels is None else (3 * F.l1_loss(y, labels), y)


class Bare(nn.Module):
    """One output as (B,), and no loss."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, x):
        return {"logits": self.line(x.unsqueeze(1)).squeeze()}


class Points(torch.utils.data.Dataset):
    def __init__(self, rows: int = 17, name: str = "labels") -> None:
        self.x, self.name = torch.linspace(-1, 1, rows), name

    def __len__(self):
        return len(self.x)

    def __getitem__(self, row):
        return {"x": self.x[row], self.name: 2 * self.x[row] + 1}


class Weighted(BertForSequenceClassification):
    """A head of the user's own."""

    def forward(self, input_ids=None, attention_mask=None, labels=None):
        out = super().forward(input_ids=input_ids, attention_mask=attention_mask)
        if labels is not None:
            out.loss = 10 * F.cross_entropy(out.logits, labels, weight=torch.tensor([5.0, 1.0, 1.0]))
        return out


def tiny(kind, config=CONFIGS["bert"]):
    torch.manual_seed(0)
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0} if config is not LLAMA else {}
    config = type(config)(**{**config.to_dict(), **quiet})
    return kind.from_config(config) if hasattr(kind, "from_config") else kind(config)


def set_loss():
    model = tiny(BertForSequenceClassification)
    model.loss_function = lambda labels, pooled_logits, config, **kwargs: 7 * F.cross_entropy(pooled_logits, labels)
    plain = model.forward

    def forward(input_ids=None, attention_mask=None, labels=None):
        out = plain(input_ids=input_ids, attention_mask=attention_mask)
        out.loss = None if labels is None else model.loss_function(labels, out.logits, model.config)
        return out

    model.forward = forward
    return model


TOKENS = Rows().batch["input_ids"] % 3
TOKENS[:, 0] = -100
CASES = {
    "a weighted loss": lambda: (tiny(Weighted), Rows(), {}),
    "a loss function that was set": lambda: (set_loss(), Rows(), {}),
    "tokens": lambda: (tiny(AutoModelForTokenClassification), Labelled(TOKENS), {}),
    "language": lambda: (tiny(AutoModelForCausalLM, LLAMA), Labelled(Rows().batch["input_ids"]), {}),
    "no configuration, unknown inputs": lambda: (Line(), Points(), {}),
    "labels of another name": lambda: (OtherName(), Points(name="y"), {"label_names": ["y"]}),
}


class OtherName(Line):
    def forward(self, x, y=None):
        return super().forward(x, y)


@pytest.mark.parametrize(("case", "accumulated"), [("a weighted loss", 1), *((case, 2) for case in CASES)])
def test_a_loss_of_its_own_is_trained_and_judged_as_stock_does(tmp_path, case, accumulated):
    ended = []
    for kind in (Trainer, MixTrainer):
        model, data, options = CASES[case]()
        options |= {"gradient_accumulation_steps": accumulated, "per_device_train_batch_size": 4}
        trainer = trainer_of(tmp_path, model=model, kind=kind, mix=VANILLA, **options)
        trainer.train_dataset = trainer.eval_dataset = data
        trainer.train()
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        ended.append((losses, trainer.evaluate()["eval_loss"], list(trainer.model.parameters())))
    (losses, judged, weights), (ours, our_judged, our_weights) = ended
    assert losses
    assert (ours, our_judged) == (losses, judged)
    assert all(torch.equal(one, other) for one, other in zip(weights, our_weights, strict=True))


def test_a_loss_function_is_called_as_stock_calls_it(tmp_path):
    def doubled(outputs, labels, num_items_in_batch=None):
        return 2 * F.cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch

    data, args = Rows(), trainer_of(tmp_path, per_device_train_batch_size=4, gradient_accumulation_steps=2).args
    seen = []
    for kind, options in ((Trainer, {}), (MixTrainer, {"mix": VANILLA})):
        gradients = Gradients()
        trainer = kind(
            model=no_dropout(),
            args=args,
            train_dataset=data,
            eval_dataset=data,
            compute_loss_func=doubled,
            callbacks=[gradients],
            **options,
        )
        trainer.train()
        seen.append((gradients.first, trainer.evaluate()["eval_loss"]))
    assert_equal_gradients(*(first for first, _ in seen), tolerance=0)
    assert seen[0][1] == seen[1][1]
    with pytest.raises(UserError, match="compute_loss_func was given, but method 'logitmix' computes its own"):
        trainer.mix = MixArguments()


@pytest.mark.parametrize("weighed", [{"class_weights": [1.0, 2.0, 3.0]}, {"confidence_penalty": 0.1}])
def test_what_mix_asks_of_the_loss_is_done_whatever_the_model_computes(tmp_path, weighed):
    trainer = trainer_of(tmp_path, model=tiny(Weighted), mix=MixArguments(method="vanilla", **weighed))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer.train()
    assert "loss_cls" in trainer.state.log_history[0]


def test_a_mixing_method_says_once_that_it_takes_another_loss(tmp_path):
    model = tiny(Weighted)
    with pytest.warns(
        UserWarning, match=r"Weighted computes a loss of its own \(1\d\.\d+ on the first batch\)"
    ) as told:
        trainer_of(tmp_path, model=model, num_train_epochs=2).train()
    assert sum("of its own" in str(one.message) for one in told) == 1


class Plain(BertForSequenceClassification):
    """A head of the user's own whose loss is the task loss."""

    def forward(self, input_ids=None, attention_mask=None, labels=None):
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, labels=labels)


def test_nothing_is_told_where_the_losses_agree_and_the_look_changes_nothing(tmp_path):
    config = CONFIGS["bert"]  # with dropout: one number drawn more would show
    ended = []
    for kind in (Plain, BertForSequenceClassification):
        torch.manual_seed(0)
        trainer = trainer_of(tmp_path, model=kind(type(config)(**config.to_dict())))
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            trainer.train()
        ended.append(list(trainer.model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(*ended, strict=True))


def test_several_answers_a_row_or_none_are_refused_by_what_mixes(tmp_path):
    tokens = trainer_of(tmp_path, model=tiny(AutoModelForTokenClassification))
    tokens.train_dataset = Labelled(TOKENS)
    with pytest.raises(UserError, match=r"logits of shape \(16, 12, 3\), several answers a row.*method='vanilla'"):
        tokens.train()
    language = trainer_of(tmp_path, model=tiny(AutoModelForCausalLM, LLAMA))
    language.train_dataset = Labelled(Rows().batch["input_ids"])
    with pytest.raises(UserError, match="Load it with AutoModelForSequenceClassification"):
        language.train()
    with pytest.raises(UserError, match="the model gives last_hidden_state, pooler_output, but no 'logits'"):
        trainer_of(tmp_path, model=tiny(AutoModel), mix=VANILLA).train()
    with pytest.raises(UserError, match="but no 'logits'"):
        trainer_of(tmp_path, model=tiny(AutoModel)).evaluate()
    with pytest.raises(UserError, match="a model is called with pixel_values"):
        trainer_of(tmp_path, model=Line())


@pytest.mark.parametrize("rows", [16, 17])  # of 17 the last batch holds one row, whose logits have no axis
def test_logits_without_an_axis_of_outputs_are_one_output(tmp_path, rows):
    """By hand: the squared error, in training and evaluation."""
    torch.manual_seed(0)
    trainer = trainer_of(tmp_path, model=Bare(), mix=VANILLA, train_sampling_strategy="sequential", learning_rate=0.0)
    trainer.train_dataset = data = Points(rows)
    with torch.no_grad():
        wanted = float((trainer.model(data.x)["logits"] - (2 * data.x + 1)).square().mean())
    trainer.train()
    assert trainer.evaluate(data)["eval_loss"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("mix", [VANILLA, MixArguments(site="layer.1")])
@pytest.mark.parametrize("wrong", [-100, -1, 3])
def test_labels_that_are_no_classes_are_named(tmp_path, mix, wrong):
    trainer = trainer_of(tmp_path, mix=mix)
    labels = torch.arange(16) % 3
    labels[9] = wrong
    trainer.train_dataset = Labelled(labels)
    with pytest.raises(UserError, match=f"a label is {wrong}, but the model's classes are 0 to 2"):
        trainer.train()
    with pytest.raises(UserError, match=f"a label is {wrong}"):
        trainer.evaluate(Labelled(labels))


def test_decisions_and_values_that_are_none_are_named_in_every_batch(tmp_path):
    several = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]).repeat(8, 1)
    several[15, 0] = -100
    trainer = trainer_of(tmp_path, mix=VANILLA, train_sampling_strategy="sequential")
    trainer.train_dataset = Labelled(several)
    with pytest.raises(UserError, match=r"read as multi_label_classification, but one is -100, outside \[0, 1\]"):
        trainer.train()
    assert trainer.state.global_step == 1
    values = torch.linspace(-1, 1, 16)
    values[15] = float("nan")
    trainer = trainer_of(tmp_path, model=no_dropout(num_labels=1), mix=VANILLA)
    trainer.train_dataset = Labelled(values)
    with pytest.raises(UserError, match="not a finite number"):
        trainer.train()


def test_whole_numbers_of_one_column_are_classes(tmp_path):
    flat, column = (trainer_of(tmp_path, mix=VANILLA) for _ in range(2))
    column.train_dataset = column.eval_dataset = Labelled((torch.arange(16) % 3).unsqueeze(1))
    for trainer in (flat, column):
        trainer.train()
        assert trainer.model.config.problem_type == "single_label_classification"
    assert flat.evaluate()["eval_loss"] == column.evaluate()["eval_loss"]


def test_what_a_newcomer_writes_instead_is_told(tmp_path):
    for wrong in ("mixup", {"method": "mixup"}):
        with pytest.raises(UserError, match=r"mix must be MixArguments\(…\), got .*mixup"):
            trainer_of(tmp_path, mix=wrong)
    trainer = trainer_of(tmp_path)
    trainer.train_dataset = Labelled((torch.arange(16) % 3).float())
    with pytest.raises(
        UserError, match="labels of the type float32 are values .* 3 outputs a row.*make them whole numbers"
    ):
        trainer.train()
    trainer.train_dataset = Labelled(torch.arange(16) % 3, name="stars")
    with pytest.raises(UserError, match="name the column of the data set 'label' or 'labels'"):
        trainer.train()


def test_balanced_weights_count_a_data_set_of_columns(tmp_path):
    """By hand: of four rows of one class and two of another 6 / (3 x 4) and 6 / (3 x 2); the third is nowhere."""
    from datasets import Dataset

    rows = Dataset.from_dict(
        {"input_ids": [[5, 6, 7]] * 6, "attention_mask": [[1, 1, 1]] * 6, "label": [0, 0, 0, 0, 2, 2]}
    )
    mix = MixArguments(method="vanilla", class_weights="balanced")
    args = trainer_of(tmp_path).args
    trainer = MixTrainer(model=no_dropout(), args=args, mix=mix, train_dataset=rows)
    assert trainer.mix.class_weights == [0.5, 1.0, 1.0]
    trainer.train()
    with pytest.raises(UserError, match="a loss does not see"):
        trainer_of(tmp_path, mix=mix).train()  # rows of a list are not looked through
