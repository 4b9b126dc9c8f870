"""What is said of a model that cannot be what it was asked to be."""

from __future__ import annotations

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
def test_weights_of_another_model_or_of_no_numbers(tmp_path: Path, change, told) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=20, max_position_embeddings=32, num_labels=2, **sizes)
    BertModel(config).save_pretrained(tmp_path)
    source = find_pretrained(str(tmp_path))
    assert load_model(source, load_config(source)).config.num_labels == 2  # a new head and all else is as it should be
    weights = change(load_file(tmp_path / "model.safetensors"))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=told) as caught:
        load_model(source, load_config(source))
    assert "\n" not in str(caught.value)
