"""The card, read back by the Hub's own classes, and its lines of use run."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from huggingface_hub import ModelCard, metadata_load

from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE
from logitmix_hf.reporting.card import model_card, relocated

RESULTS = {
    "eval_accuracy": np.float32(0.75),
    "eval_ece": 0.05,
    "eval_oe": 0.04,
    "eval_nll": np.float64(0.5),
    "eval_brier": math.nan,
    "eval_runtime": 3.0,
}


def record(**changes):
    run = {
        "command": "logitmix glue --task rte --method logitmix",
        "arguments": {"learning_rate": 2e-5, "num_train_epochs": 3.0},
        "seeds": {"seed": 42},
        "model": {"base": "google-bert/bert-base-uncased"},
        "data": {
            "name": "rte",
            "source": "nyu-mll/glue",
            "config": "rte",
            "fingerprint": "abc123",
            "problem": SINGLE,
            "label_names": ["entailment", "not_entailment"],
            "columns": ["sentence1", "sentence2"],
            "metrics": ["accuracy"],
            "train_rows": 2490,
            "splits": {"eval": {"split": "validation", "rows": 277}},
        },
        "method": {"name": "logitmix", "site": "layer.3", "w_mix": 1.0, "w_cls": 1.0, "w_sim": 0.5, "alpha": 3.0},
        "environment": {"versions": {"torch": "2.14.1"}, "cpu": "a processor"},
    }
    for key, value in changes.items():
        run[key] = {**run[key], **value} if isinstance(value, dict) else value
    return run


def card(results=RESULTS, location="runs/x", **changes) -> str:
    return model_card(record(**changes), results, name="bert-rte", location=location)


def test_metadata_comes_back_as_it_went_in(tmp_path):
    text = card()
    data = ModelCard(text).data
    assert data.base_model == "google-bert/bert-base-uncased"
    assert data.datasets == ["nyu-mll/glue"]
    assert data.pipeline_tag == "text-classification"
    found = {result.metric_type: result for result in data.eval_results}
    assert {name: result.metric_value for name, result in found.items()} == {
        "accuracy": 0.75,
        "ece": 0.05,
        "oe": 0.04,
        "nll": 0.5,
    }
    assert all(type(result.metric_value) is float for result in found.values())
    one = found["ece"]
    assert (one.dataset_type, one.dataset_config, one.dataset_split) == ("nyu-mll/glue", "rte", "validation")
    (tmp_path / "README.md").write_text(text)
    loaded = metadata_load(tmp_path / "README.md")
    assert loaded is not None
    assert loaded["model-index"][0]["name"] == "bert-rte"
    assert "!!" not in text


def test_the_second_dev_split_has_its_own_results():
    splits = {
        "eval": {"split": "validation_matched", "rows": 9},
        "eval_mm": {"split": "validation_mismatched", "rows": 8},
    }
    text = card({"eval_accuracy": 0.8, "eval_mm_accuracy": 0.7}, data={"splits": splits})
    found = {result.dataset_split: result.metric_value for result in ModelCard(text).data.eval_results}
    assert found == {"validation_matched": 0.8, "validation_mismatched": 0.7}


@pytest.mark.parametrize("base", ["/home/me/model", "../model", "builtin"])
def test_only_names_of_the_hub_are_linked(base):
    found = ModelCard(card(model={"base": base})).data.base_model
    assert found == ("sentence-transformers/all-MiniLM-L6-v2" if base == "builtin" else None)


def test_own_data_is_no_data_set_of_the_hub():
    data = ModelCard(card(data={"name": "reviews", "source": "reviews.csv", "config": None})).data
    assert data.datasets is None
    assert data.eval_results[0].dataset_type == "reviews"


def test_it_says_how_it_was_trained_and_what_the_numbers_mean():
    text = card()
    for part in (
        "logitmix glue --task rte --method logitmix",
        "1 L_mix + 1 L_cls + 0.5 L_sim",
        "| site | layer.3 |",
        "| seed | 42 |",
        "abc123",
        "15 equal-width bins",
        "open on the left and closed on the right",
        "| validation | 277 | Expected calibration error (ECE) | 0.0500 |",
        "(reliability.png)",
        "no checkpoint was selected on this split",
        "Logit Mixing Training for More Reliable and Accurate Prediction",
        "Mixup-Transformer",
    ):
        assert part in text
    assert "nan" not in text.lower().replace("finance", "")


def test_a_score_that_was_selected_says_so():
    text = card(arguments={"load_best_model_at_end": True, "metric_for_best_model": "accuracy"})
    assert "selected on this split" in text
    assert "the best `accuracy`" in text
    assert "no checkpoint was selected" not in text


@pytest.mark.parametrize(
    ("task", "says"), [("mnli", "very source"), ("qqp", "very task"), ("rte", "same question"), ("cola", "QQP.")]
)
def test_limits_say_what_the_builtin_model_has_seen(task, says):
    text = card(model={"base": "builtin"}, data={"name": task})
    assert "SNLI, MultiNLI and QQP" in text
    assert says in text
    assert "SNLI" not in card(data={"name": task})


def test_synthetic_data_and_subsets_are_named():
    text = card(data={"source": "builtin", "synthetic": True, "subset": "3,000 of 67,349 training rows"})
    assert "synthetic" in text
    assert "3,000 of 67,349 training rows." in text
    assert ModelCard(text).data.datasets is None


def test_texts_that_were_cut_are_a_fact_of_the_card():
    text = card(data={"max_length": 128, "cut": {"train": 31, "validation": 4}})
    assert "texts cut | at 128 tokens: 31 of train, 4 of validation" in text
    assert "texts cut" not in card(data={"max_length": 128, "cut": {}})


def test_no_token_gets_into_the_card(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "my-secret")
    assert "my-secret" not in card(command="logitmix glue --hub_token my-secret")


def test_odd_names_break_neither_yaml_nor_tables():
    names = ["a: b", "- c", "d|e", "'f'", "#g", "ü"]
    text = card(data={"name": "x: [y", "source": "my file.csv", "label_names": names}, method={"site": "a|b"})
    assert ModelCard(text).data.eval_results[0].dataset_type == "x: [y"
    assert "| site | a\\|b |" in text


def test_a_pushed_card_loads_from_the_repository():
    text = card(location='/home/me/"my" runs/x')
    moved = relocated(text, "ada/rte")
    assert 'model="ada/rte"' in moved
    assert "/home/me" not in moved
    assert relocated(moved, "ada/rte") == moved


@pytest.mark.parametrize(
    ("problem", "columns", "outputs"),
    [(SINGLE, ["a", "b"], 2), (SINGLE, ["a"], 3), (MULTI, ["a"], 3), (REGRESSION, ["a", "b"], 1)],
)
def test_the_lines_of_use_run(tmp_path, capsys, problem, columns, outputs):
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "text", "."]))
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 8,
    }
    model = BertForSequenceClassification(BertConfig(**sizes, num_labels=outputs, problem_type=problem))
    with torch.no_grad():
        model.classifier.bias.fill_(3.0)
        model.classifier.weight.zero_()
    model.save_pretrained(tmp_path)
    text = card(location=str(tmp_path), data={"problem": problem, "columns": columns})
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, {})
    said = eval(capsys.readouterr().out)
    said = said[0] if isinstance(said[0], list) else said  # a lone text comes back in a list of its own
    # By hand: equal logits share the probability; sigmoid(3) = 0.9526; a regression gives the 3 itself.
    expected = {SINGLE: 1 / outputs, MULTI: 0.9526, REGRESSION: 3.0}[problem]
    assert [entry["score"] for entry in said] == pytest.approx([expected] * outputs, abs=1e-3)
