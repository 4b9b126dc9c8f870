"""What is said of a model that cannot be what it was asked to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from logitmix_hf.errors import UserError
from logitmix_hf.models.pretrained import find_pretrained, load_config
from logitmix_hf.vision.networks import ConvNetConfig


def test_a_network_for_images_is_no_text_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `logitmix glue` meets it: it imports none of our networks, so transformers does not know their type."""
    ConvNetConfig(architecture="digits").save_pretrained(tmp_path)
    source = find_pretrained(str(tmp_path))
    assert load_config(source).architecture == "digits"
    monkeypatch.delitem(CONFIG_MAPPING._extra_content, ConvNetConfig.model_type)
    with pytest.raises(UserError, match="is a network for images, not a text classifier: see logitmix vision"):
        load_config(source)
