"""The scale of targets goes into a head and out of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import CONFIGS, batch_of, build
from transformers import LlamaForSequenceClassification

from logitmix_hf.models.target_scale import TargetScale, why_not


def test_of_numpy():
    values = np.array([1.0, 4.0, 4.0, 7.0])
    scale = TargetScale.of(values)
    assert (scale.mean, scale.deviation) == (values.mean(), values.std())
    standard = scale.standardise(torch.tensor(values))
    assert standard.mean() == pytest.approx(0, abs=1e-7)
    assert standard.std(correction=0) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(scale.restore(standard.numpy()), values, rtol=1e-6)
    assert TargetScale.of([2.0, 2.0]) == TargetScale(2.0, 1.0)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "deberta-v2", "modernbert"])
@torch.no_grad()
def test_the_head_answers_in_the_unit_and_back(family):
    model, batch = build(CONFIGS[family], "eager", num_labels=1).eval(), batch_of()
    scale, before = TargetScale(177_000.0, 52_000.0), model(**batch).logits
    scale.put_into(model)
    torch.testing.assert_close(model(**batch).logits, before * 52_000 + 177_000, rtol=1e-5, atol=0.5)
    assert model.config.logitmix_targets == {"mean": 177_000.0, "deviation": 52_000.0, "inside": True}
    scale.take_out(model)
    torch.testing.assert_close(model(**batch).logits, before, rtol=1e-3, atol=1e-4)


def test_a_head_without_a_bias_is_told():
    from tiny import LLAMA

    assert "no bias" in why_not(LlamaForSequenceClassification(LLAMA))
    assert why_not(build(CONFIGS["bert"], num_labels=1)) == ""
