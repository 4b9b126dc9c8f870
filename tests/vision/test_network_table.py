"""Names, stems and sizes: what is there, and what is said when it is not."""

from __future__ import annotations

import pytest
import torch

from logitmix_hf.errors import UserError
from logitmix_hf.vision.network_table import read_name
from logitmix_hf.vision.networks import NETWORKS, STEMS, build_network, network_names


def test_the_table_lists_what_can_be_built() -> None:
    assert network_names() == tuple(NETWORKS)
    for name, row in NETWORKS.items():
        assert row.name == name
        assert row.idea
        assert set(row.source) == set(row.halvings) <= set(STEMS)
        built = name.replace("-d-w", "-10-1").replace("-w", "-1")
        with torch.device("meta"):
            assert len(build_network(built, 10, 32).stages) == row.stages


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet5", ["No network", "'resnet50'", "Known: ", "wideresnet-d-w"]),
        ("wideresnet-27-10", ["6n + 4", "wideresnet-28-10"]),
        ("wideresnet-28-0", ["wideresnet-28-1"]),
        ("wideresnet-d-w", ["family", "wideresnet-28-10"]),
        ("preactresnet18-w", ["family", "preactresnet18-1"]),
        ("preactresnet18-0", ["at least 1"]),
    ],
)
def test_names_that_are_none(name: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        build_network(name, 10)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_numbers_are_read_from_names() -> None:
    named = read_name("wideresnet-40-3")
    assert (named.depth, named.width) == (40, 3)
    assert read_name("preactresnet18") == read_name("preactresnet18-1")


@pytest.mark.parametrize(
    ("size", "stem"), [(8, "cifar"), (32, "cifar"), (33, "tiny"), (127, "tiny"), (128, "imagenet"), (224, "imagenet")]
)
def test_the_stem_follows_the_image(size: int, stem: str) -> None:
    with torch.device("meta"):
        assert build_network("resnet18", 10, size).config.stem == stem
        assert build_network("digits", 10, size).config.stem == "cifar"
        assert build_network("resnet18", 10, size, stem="cifar").config.stem == "cifar"


@pytest.mark.parametrize(
    ("name", "size", "smallest"),
    [("vgg16_bn", 31, 32), ("resnet50", 7, 8), ("wideresnet-28-10", 3, 4), ("digits", 2, 4)],
)
def test_too_small_an_image_is_refused(name: str, size: int, smallest: int) -> None:
    with (
        pytest.raises(UserError, match=f"at least {smallest} x {smallest} pixels, got {size} x {size}"),
        torch.device("meta"),
    ):
        build_network(name, 10, size)
    with torch.device("meta"):
        logits = build_network(name, 10, smallest)(torch.empty(2, 3, smallest, smallest)).logits
    assert logits.shape == (2, 10)


def test_the_refusal_says_who_takes_such_images() -> None:
    with pytest.raises(UserError) as caught:
        build_network("vgg16_bn", 10, 4)
    assert str(caught.value).endswith("a network that halves less: wideresnet-d-w, digits.")


def test_stems_that_are_none() -> None:
    with pytest.raises(UserError, match="No stem is called 'cifar10'. Did you mean 'cifar'"):
        build_network("resnet18", 10, stem="cifar10")
    with pytest.raises(UserError, match="No stem of digits is called 'tiny'"):
        build_network("digits", 10, stem="tiny")


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="no setting 'drop_out'"):
        build_network("vgg16_bn", 10, drop_out=0.1)
    with pytest.raises(UserError, match="num_channels as channels"):
        build_network("vgg16_bn", 10, num_channels=1)
    with pytest.raises(UserError, match="num_labels"):
        build_network("vgg16_bn", 0)
    with pytest.raises(UserError, match="names 2 classes"):
        build_network("digits", 3, id2label={0: "a", 1: "b"})
    with torch.device("meta"):
        model = build_network("vgg16_bn", 2, dropout=0.25, id2label={0: "cat", 1: "dog"})
    assert [part.p for part in model.modules() if isinstance(part, torch.nn.Dropout)] == [0.25, 0.25]
    assert model.config.label2id == {"cat": 0, "dog": 1}
