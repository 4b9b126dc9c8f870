"""What is said of a model that cannot be what it was asked to be."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from logitmix_hf.errors import UserError
from logitmix_hf.models.pretrained import find_pretrained, load_config
from logitmix_hf.training.text.model import load_model
from logitmix_hf.vision.networks import ConvNetConfig


def test_a_network_for_images_is_no_text_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `logitmix glue` meets it: it imports none of our networks, so transformers does not know their type."""
    ConvNetConfig(architecture="digits").save_pretrained(tmp_path)
    source = find_pretrained(str(tmp_path))
    assert load_config(source).architecture == "digits"
    monkeypatch.delitem(CONFIG_MAPPING._extra_content, ConvNetConfig.model_type)
    with pytest.raises(UserError, match="is a network for images, not a text classifier: see logitmix vision"):
        load_config(source)


def test_a_name_that_is_no_folder_is_told_with_the_folders_beside_it(tmp_path: Path, monkeypatch) -> None:
    for name in ("reviews", "flowers"):
        BertConfig().save_pretrained(tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("logitmix_hf.models.pretrained.HfApi.model_info", _no_hub)
    for given, told in {
        "runs/review": "folder 'runs/review': 'runs' holds 'flowers', 'reviews'. Did you mean 'reviews'?",
        "runs/zzz": "folder 'runs/zzz': 'runs' holds 'flowers', 'reviews'.",
        "./runs/flower": "Did you mean 'flowers'?",
        "runs": "Of the folders in it these do: 'flowers', 'reviews'.",
    }.items():
        with pytest.raises(UserError) as caught:
            find_pretrained(given)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)


def _no_hub(*args, **options):
    raise ConnectionError("no network")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda weights: {f"other.{name}": one for name, one in weights.items()}, "no weights for"),
        (lambda weights: {name: one for name, one in weights.items() if "encoder" not in name}, "are of another model"),
        (
            lambda weights: {**weights, "pooler.dense.bias": weights["pooler.dense.bias"] * float("nan")},
            "pooler.dense.bias",
        ),
    ],
)
def test_weights_of_another_model_or_of_no_numbers(tmp_path: Path, change, told, caplog) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=20, max_position_embeddings=32, num_labels=2, **sizes)
    BertModel(config).save_pretrained(tmp_path)
    source = find_pretrained(str(tmp_path))
    logging.getLogger("transformers.modeling_utils").addHandler(caplog.handler)
    model, note = load_model(source, load_config(source))
    assert model.config.num_labels == 2  # a new head and all else is as it should be
    assert note == f"--model {tmp_path} has no classifier.bias, classifier.weight: new ones begin at random."
    logging.getLogger("transformers.modeling_utils").removeHandler(caplog.handler)
    assert "LOAD REPORT" not in caplog.text
    weights = change(load_file(tmp_path / "model.safetensors"))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=told) as caught:
        load_model(source, load_config(source))
    assert "\n" not in str(caught.value)
