"""Vector scaling in the last linear layer: a scale and a shift for each class, exactly, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_folding import IMAGES, TEXT, logits, made
from tinyimages import batch_of
from transformers import AutoModelForSequenceClassification

from logitmix_hf.ensembles import join_models
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.scaling import Scaling
from logitmix_hf.models.folding import fold, keep_in_config, recorded, scaling_inside, scaling_left, unfold
from logitmix_hf.vision import build_network

NO_BIAS = ("llama",)


def scaling(classes: int) -> Any:
    draw = np.random.default_rng(0)
    return Scaling(scale=draw.uniform(0.3, 3, classes), shift=draw.normal(size=classes))


@pytest.mark.parametrize("name", [*TEXT, *IMAGES])
def test_each_logit_is_scaled_and_shifted_and_unfolding_gives_the_weights_back(name):
    model, batch = made(name)
    before, weights = logits(model, batch), {key: value.clone() for key, value in model.state_dict().items()}
    vector = scaling(before.shape[1])
    line = fold(model, vector, batch, protocol="split")
    if name in NO_BIAS:
        assert "has no bias" in line
        assert "config.json alone" in line
        assert torch.equal(logits(model, batch), before)
        assert scaling_left(model.config).scale == pytest.approx(vector.scale)
        return
    assert line == ""
    expected = before.numpy() * vector.scale + vector.shift
    assert logits(model, batch).numpy() == pytest.approx(expected, abs=2e-5)
    assert scaling_left(model.config).changes_nothing
    back = unfold(model)
    assert isinstance(back, Scaling)
    assert back.shift == pytest.approx(vector.shift)
    assert recorded(model.config) == {}
    for key, value in model.state_dict().items():
        assert value.numpy() == pytest.approx(weights[key].numpy(), rel=1e-5, abs=1e-7), key


def test_what_was_saved_gives_the_same_logits_and_folding_again_puts_one_after_the_other(tmp_path):
    model, batch = made("bert")
    before = logits(model, batch).double().numpy()
    one, two = scaling(3), (np.array([2.0, 0.5, 1.0]), np.array([-1.0, 0.0, 3.0]))
    fold(model, 2.0)
    fold(model, one)
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    fold(again, Scaling(scale=two[0], shift=two[1]))
    expected = (before / 2 * one.scale + one.shift) * two[0] + two[1]
    assert logits(again, batch).numpy() == pytest.approx(expected, abs=1e-4)
    assert scaling_inside(again.config).apply(before) == pytest.approx(expected, abs=1e-9)
    unfold(again)
    assert logits(again, batch).numpy() == pytest.approx(before, abs=1e-5)


def test_in_the_configuration_alone_beside_one_in_the_weights():
    model, batch = made("bert")
    before = logits(model, batch)
    fold(model, scaling(3))
    keep_in_config(model.config, 4.0)
    assert scaling_left(model.config).temperature == 4
    keep_in_config(model.config, scaling(3))
    assert scaling_left(model.config).scale == pytest.approx(scaling(3).scale)
    unfold(model)
    assert logits(model, batch).numpy() == pytest.approx(before.numpy(), abs=1e-5)


@pytest.mark.parametrize("method", ["mimo", "ensemble"])
def test_several_members_in_one_model(method):
    if method == "mimo":
        network = build_network("wideresnet-10-1", num_labels=10, image_size=8, members=2).eval()
        batch = {"pixel_values": torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))}
    else:
        network, batch = join_models([made("digits")[0], made("digits")[0]]), batch_of("digits")
    before = logits(network, batch)
    vector = scaling(before.shape[1])
    assert fold(network, vector, batch) == ""
    expected = before.numpy() * vector.scale + vector.shift
    assert logits(network, batch).numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("scale", "shift"),
    [([1, 0], [0, 0]), ([1, -2], [0, 0]), ([1, 1], [0, np.nan]), ([1, 1], [0]), ([[1, 1]], [[0, 0]])],
)
def test_what_cannot_be_undone_is_refused(scale, shift):
    with pytest.raises(UserError, match="needs a scale above 0"):
        Scaling(scale=np.array(scale, float), shift=np.array(shift, float))


@pytest.mark.parametrize(
    "entry", [{"scale": [1.0, 2.0]}, {"scale": "x", "shift": "y"}, {"scale": [0.0], "shift": [1.0]}]
)
def test_a_configuration_of_another_hand(entry):
    model, _ = made("bert")
    model.config.logitmix = {**entry, "folded": False}
    with pytest.raises(UserError):
        scaling_left(model.config)
