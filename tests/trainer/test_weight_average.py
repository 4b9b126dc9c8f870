"""The average of the weights that a training leaves: by hand, from a checkpoint, for texts as for images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tiny import CONFIGS, build
from tinyrun import rows
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback, TrainingArguments

from logitmix_hf import MixArguments, MixTrainer, UserError
from logitmix_hf.trainer.weight_average import AVERAGE, WeightAverage


def begin(average: WeightAverage, step: int = 0) -> None:
    average.on_train_begin(SimpleNamespace(device="cpu"), SimpleNamespace(global_step=step), None)


def take(average: WeightAverage, layer: nn.Linear, value: float) -> None:
    with torch.no_grad():
        layer.weight.fill_(value)
    average.on_step_end(None, None, None, model=layer)


def test_an_average_by_hand():
    layer, average = nn.Linear(1, 1, bias=False), WeightAverage(0.15)
    begin(average)
    for value in (1.0, 2.0, 3.0):
        take(average, layer, value)
    average.put_into(layer)
    # The first is taken as it is; then min(.15, 2/11) = .15 and min(.15, 3/12) = .15 of the old.
    assert layer.weight.item() == pytest.approx(0.15 * (0.15 * 1 + 0.85 * 2) + 0.85 * 3)


def test_whole_numbers_are_not_averaged():
    """An index that a model keeps among its weights (Swin's table of positions) stays what it is: .9 x 7 + .1 x 7 is 6 in
    whole numbers."""
    layer, average = nn.Linear(1, 1), WeightAverage(0.9)
    layer.register_buffer("index", torch.arange(50))
    layer.register_buffer("seen", torch.ones(3, dtype=torch.bool))
    begin(average)
    for value in range(30):
        take(average, layer, value)
    average.put_into(layer)
    kept = layer.state_dict()
    assert torch.equal(kept["index"], torch.arange(50))
    assert kept["seen"].all()


def test_an_average_goes_on_from_the_checkpoint_that_is_given(tmp_path):
    """Wherever that lies; one without an average is told of."""
    layer, whole, half, rest = nn.Linear(1, 1, bias=False), *(WeightAverage(0.15) for _ in range(3))
    for average, values in ((whole, (1.0, 2.0, 3.0, 4.0)), (half, (1.0, 2.0))):
        begin(average)
        for value in values:
            take(average, layer, value)
    half.save(tmp_path / AVERAGE)
    rest.resume_from = tmp_path
    begin(rest, step=2)
    for value in (3.0, 4.0):
        take(rest, layer, value)
    ends = []
    for average in (whole, rest):
        average.put_into(layer)
        ends.append(layer.weight.item())
    assert ends[0] == ends[1]
    rest.resume_from = tmp_path / "elsewhere"
    with pytest.warns(UserWarning, match="holds no average"):
        begin(rest, step=2)


class Steps(TrainerCallback):
    """Keeps the weights after every step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_step_end(self, args, state, control, **kwargs):
        self.seen.append({name: value.detach().clone() for name, value in kwargs["model"].state_dict().items()})


@pytest.mark.parametrize("lora", [False, True])
def test_a_text_model_ends_with_the_average_of_its_weights(tiny_model, tmp_path, lora):
    """All of them equal to the sum of every step's, weighed by hand; evaluations on the way are of the weights themselves."""
    model, steps = AutoModelForSequenceClassification.from_pretrained(tiny_model), Steps()
    if lora:
        peft = pytest.importorskip("peft")
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"]))
    tokens = AutoTokenizer.from_pretrained(tiny_model)
    texts, labels = (column.to_pylist() for column in rows(24, 0).columns)
    data = [{**tokens(text), "labels": int(label == "up")} for text, label in zip(texts, labels, strict=True)]
    args = TrainingArguments(str(tmp_path), num_train_epochs=2, learning_rate=1e-2, use_cpu=True, report_to=[])
    trainer = MixTrainer(
        model=model, args=args, train_dataset=data, processing_class=tokens, callbacks=[steps], ema=0.5,
        mix=MixArguments(method="logitmix", site="layer.1"),
    )  # fmt: skip
    trainer.train()
    # decays are min(.5, (1 + n) / (10 + n)) for n = 1 to 5: 2/11, 3/12, 4/13, 5/14, 6/15
    decays, share, shares = [2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15], 1.0, []
    for decay in reversed(decays):
        shares.insert(0, share * (1 - decay))
        share *= decay
    shares.insert(0, share)
    moved = 0
    for name, value in model.state_dict().items():
        expected = sum(part * state[name].double() for part, state in zip(shares, steps.seen, strict=True))
        torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-5)
        moved += not torch.allclose(value, steps.seen[-1][name])
    assert moved > 5  # the last weights are others


def test_a_decay_out_of_its_range_is_named():
    with pytest.raises(UserError, match="ema must be .* at most 1, got 1.5"):
        WeightAverage(1.5)


def test_the_trainer_alone_refuses_the_best_weights_beside_their_average(tmp_path):
    """The average would take the place of the best without a word."""
    args = TrainingArguments(
        str(tmp_path),
        use_cpu=True,
        report_to="none",
        load_best_model_at_end=True,
        eval_strategy="epoch",
        save_strategy="epoch",
    )
    with pytest.raises(UserError, match="--ema keeps the average of the last weights"):
        MixTrainer(model=build(CONFIGS["bert"]), args=args, eval_dataset=[], ema=0.9)
