"""A temperature in the last linear layer: the same classes, calibrated logits, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tinyimages
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CONFIGS, EAGER_ONLY, LLAMA, batch_of, build
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from logitmix_hf.errors import UserError
from logitmix_hf.models.folding import (
    fold,
    forget,
    keep_in_config,
    recorded,
    scaling_left,
    unfold,
)
from logitmix_hf.models.heads import find_heads
from logitmix_hf.text.sites import find_sites
from logitmix_hf.vision import sites as image_sites

TEXT = [*CONFIGS, "llama"]
IMAGES = ["digits", *tinyimages.CONFIGS]


def made(name: str) -> tuple[PreTrainedModel, dict[str, torch.Tensor]]:
    if name in IMAGES:
        return tinyimages.build(name), tinyimages.batch_of(name)
    attention = "eager" if name in EAGER_ONLY else "sdpa"
    return build(LLAMA if name == "llama" else CONFIGS[name], attention), batch_of()


@torch.no_grad()
def logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).logits


@pytest.mark.parametrize("name", [*TEXT, *IMAGES])
def test_folded_logits_are_divided_and_unfolding_gives_the_weights_back(name):
    model, batch = made(name)
    before, weights = logits(model, batch), {key: value.clone() for key, value in model.state_dict().items()}
    assert fold(model, 1.7) == ""
    assert logits(model, batch) == pytest.approx(before / 1.7, abs=1e-5)
    assert torch.equal(logits(model, batch).argmax(1), before.argmax(1))
    assert recorded(model.config) == {"temperature": 1.7, "folded": True}
    assert scaling_left(model.config).temperature == 1
    assert unfold(model) == 1.7
    assert recorded(model.config) == {}
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, weights[key])]
    assert len(changed) <= 2
    for key in changed:
        assert model.state_dict()[key] == pytest.approx(weights[key], rel=1e-6)


@pytest.mark.parametrize("name", [*TEXT, *IMAGES])
def test_the_layer_is_the_one_that_mixing_finds(name):
    model, _ = made(name)
    sites: Any = (image_sites.find_sites if name in IMAGES else find_sites)(model)
    heads = tuple(find_heads(model).values())
    assert heads
    assert heads == sites.heads


@given(st.integers(-6, 6), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_powers_of_two_are_undone_to_the_last_bit(power, seed):
    model, batch = build(CONFIGS["bert"], seed=seed), batch_of()
    weights = model.classifier.weight.detach().clone()
    fold(model, 2.0**power, batch)
    assert power == 0 or not torch.equal(model.classifier.weight, weights)
    unfold(model)
    assert torch.equal(model.classifier.weight, weights)


@given(st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_other_temperatures_are_undone_to_a_millionth(temperature):
    model, batch = build(CONFIGS["bert"]), batch_of()
    weights = model.classifier.weight.detach().clone()
    fold(model, temperature, batch)
    unfold(model)
    assert model.classifier.weight.detach() == pytest.approx(weights, rel=1e-6)


def test_folding_again_multiplies(tmp_path):
    model, batch = made("bert")
    before = logits(model, batch)
    fold(model, 2.0, protocol="split", rows=10)
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert recorded(again.config) == {"temperature": 2.0, "folded": True, "protocol": "split", "rows": 10}
    fold(again, 0.75, protocol="halves")
    assert recorded(again.config) == {"temperature": 1.5, "folded": True, "protocol": "halves"}
    assert logits(again, batch) == pytest.approx(before / 1.5, abs=1e-5)
    assert unfold(again) == 1.5
    assert logits(again, batch) == pytest.approx(before, abs=1e-5)


def test_a_temperature_in_the_configuration_alone_is_replaced_and_one_in_the_weights_stays_known(tmp_path):
    model, batch = made("bert")
    before = logits(model, batch)
    keep_in_config(model.config, 3.0)
    assert scaling_left(model.config).temperature == 3
    keep_in_config(model.config, 4.0)
    model.save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert recorded(model.config) == {"temperature": 4.0, "folded": False}
    assert torch.equal(logits(model, batch), before)
    fold(model, 2.0)  # fitted on logits as the model gives them
    assert recorded(model.config) == {"temperature": 2.0, "folded": True}
    keep_in_config(model.config, 1.5)
    assert scaling_left(model.config).temperature == 1.5
    assert unfold(model) == 3.0
    assert torch.equal(logits(model, batch), before)
    with pytest.raises(UserError, match="nothing to undo"):
        unfold(model)


def test_training_on_forgets():
    model, _ = made("bert")
    fold(model, 2.0)
    forget(model.config)
    assert "logitmix" not in model.config.to_dict()
    forget(model.config)


# --- nothing to fold into -------------------------------------------------------------------------------------------


class Twice(nn.Linear):
    """What a quantised layer looks like from outside: linear, but not by its weight alone."""

    def __init__(self, other: nn.Linear) -> None:
        super().__init__(other.in_features, other.out_features)
        self.weight = nn.Parameter((other.weight * 10).to(torch.int8), requires_grad=False)  # type: ignore[assignment]

    def forward(self, input):
        return nn.functional.linear(input, self.weight.float() / 10, self.bias)


def int8(model: Any) -> None:
    model.classifier = Twice(model.classifier)


def half(model: Any) -> None:
    model.classifier.to(torch.bfloat16)


def tied(model: Any) -> None:
    model.bert.other = nn.Linear(32, 3)
    model.bert.other.weight = model.classifier.weight


def squashed(model: Any) -> None:
    model.classifier.register_forward_hook(lambda module, args, output: output.tanh())


def headless(model: Any) -> None:
    model.classifier = nn.Sequential(nn.Linear(32, 5), nn.AvgPool1d(3, 1))


def normed(model: Any) -> None:
    nn.utils.parametrizations.weight_norm(model.classifier)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (int8, "int8"),
        (half, "bfloat16"),
        (tied, "shares its weights with bert.other"),
        (squashed, "are not those of its last linear layer"),
        (headless, "no last linear layer"),
        (normed, "no plain linear"),
    ],
)
def test_where_it_cannot_be_folded_the_configuration_keeps_it_and_one_line_says_why(change, words):
    model, batch = made("bert")
    change(model)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    line = fold(model, 1.5, batch, rows=7)
    assert words in line
    assert "config.json alone" in line
    assert "\n" not in line
    assert recorded(model.config) == {"temperature": 1.5, "folded": False, "rows": 7}
    assert scaling_left(model.config).temperature == 1.5
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), key


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_no_temperature(temperature):
    model, _ = made("bert")
    with pytest.raises(UserError, match="temperature must be"):
        fold(model, temperature)


# --- adapters -------------------------------------------------------------------------------------------------------


def test_an_adapter_with_a_head_of_its_own_is_folded_and_the_model_below_it_is_not(tmp_path):
    peft = pytest.importorskip("peft")
    model, batch = made("bert")
    model.save_pretrained(tmp_path / "base")
    below = logits(model, batch)
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], r=2)
    adapted = peft.get_peft_model(AutoModelForSequenceClassification.from_pretrained(tmp_path / "base"), config).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name or "lora_B" in name:
                parameter.add_(0.1)
    before = logits(adapted, batch)
    assert fold(adapted, 2.5, batch) == ""
    assert logits(adapted, batch) == pytest.approx(before / 2.5, abs=1e-5)
    with adapted.disable_adapter():
        assert logits(adapted, batch) == pytest.approx(below, abs=1e-6)
    adapted.save_pretrained(tmp_path / "adapter")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    again = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    assert logits(again, batch) == pytest.approx(before / 2.5, abs=1e-5)
    unfold(adapted)
    assert logits(adapted, batch) == pytest.approx(before, abs=1e-5)


def test_a_head_that_an_adapter_changes_is_left_alone():
    peft = pytest.importorskip("peft")
    model, batch = made("bert")
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["classifier"], r=2)).eval()
    before = logits(adapted, batch)
    assert "adapter" in fold(adapted, 2.0, batch)
    assert torch.equal(logits(adapted, batch), before)


def test_probabilities_after_folding_are_those_of_divided_logits():
    model, batch = made("vit")
    z = logits(model, batch).double().numpy()
    fold(model, 0.3)
    expected = np.exp(z / 0.3) / np.exp(z / 0.3).sum(1, keepdims=True)
    assert logits(model, batch).softmax(1).numpy() == pytest.approx(expected, abs=1e-5)
