"""The last linear layer is the one whose output the logits are: seen by a hook, whatever the network looks like."""

from __future__ import annotations

from typing import Any

import pytest
import tinyimages
import torch
from tiny import CONFIGS, EAGER_ONLY, LLAMA, batch_of, build
from torch import Tensor, nn
from transformers import (
    AutoModelForImageClassification,
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    LevitConfig,
    LevitForImageClassificationWithTeacher,
    PreTrainedModel,
    ViTConfig,
)
from transformers.modeling_outputs import ImageClassifierOutput

from logitmix_hf.models.folding import fold
from logitmix_hf.models.heads import find_heads
from logitmix_hf.vision.networks import build_network
from logitmix_hf.vision.sites import find_sites

LABELS = 5
TEXT = [*CONFIGS, "llama"]
OURS = ["resnet18", "vgg16_bn", "mobilenetv2", "shufflenetv2", "wideresnet-10-1", "preactresnet18-1", "digits"]


def text_model(name: str) -> PreTrainedModel:
    return build(LLAMA if name == "llama" else CONFIGS[name], "eager" if name in EAGER_ONLY else "sdpa")


@torch.no_grad()
def outputs_and_logits(
    model: Any, batch: dict[str, Tensor], heads: dict[str, nn.Module]
) -> tuple[list[Tensor], Tensor]:
    """What these modules give, in the order of their calls, and the model's logits."""
    given: list[Tensor] = []
    for head in heads.values():
        head.register_forward_hook(lambda module, args, output: given.append(output))
    return given, model(**batch).logits


@pytest.mark.parametrize("name", [*TEXT, *tinyimages.CONFIGS, *OURS])
def test_the_logits_are_what_the_head_gives(name: str) -> None:
    if name in OURS:
        model, batch = build_network(name, LABELS, 32).eval(), {"pixel_values": tinyimages.images(side=32)}
    elif name in TEXT:
        model, batch = text_model(name), batch_of()
    else:
        model, batch = tinyimages.build(name), tinyimages.batch_of(name)
    heads = find_heads(model)
    assert [model.get_submodule(path) for path in heads] == list(heads.values())
    (given,), logits = outputs_and_logits(model, batch, heads)
    given = given.flatten(1) if given.ndim == 4 else given
    if given.ndim == 3:  # a decoder gives logits at every token, of which one is taken
        assert (given == logits[:, None]).all(2).any(1).all()
    else:
        assert torch.equal(given, logits)


@pytest.mark.parametrize("width", [16, LABELS])
def test_a_head_of_several_layers_ends_in_the_last(width: int) -> None:
    """Also where the layer before could stand in its place: it is as wide, and no member beside it."""
    model = build_network("digits", LABELS, 8).eval()
    model.classifier = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, LABELS))
    assert list(find_heads(model)) == ["classifier.2"]
    assert find_sites(model).heads == (model.classifier[2],)


def test_a_hidden_layer_as_wide_as_the_labels_is_no_second_head() -> None:
    config = CONFIGS["roberta"]
    model = build(type(config)(**{**config.to_dict(), "num_labels": config.hidden_size, "id2label": None}))
    assert model.classifier.dense.weight.shape == model.classifier.out_proj.weight.shape
    assert list(find_heads(model)) == ["classifier.out_proj"]


class Members(nn.Module):
    """MixMo's heads: each member its own, the logits their mean."""

    def __init__(self, members: int, features: int, labels: int, square: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(nn.Linear(features, labels) for _ in range(members))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


@pytest.mark.parametrize("labels", [LABELS, 64])  # 64: as wide as its input, as if they could follow each other
def test_equal_members_of_a_list_are_all_heads_and_fold_together(labels: int) -> None:
    model = build_network("digits", labels, 8).eval()
    model.classifier = Members(3, 64, labels)
    assert list(find_heads(model)) == [f"classifier.members.{number}" for number in range(3)]
    assert find_sites(model).heads == tuple(model.classifier.members)
    images = {"pixel_values": tinyimages.images()}
    with torch.no_grad():
        before = model(**images).logits
        assert fold(model, 2.0, images) == ""
        assert model(**images).logits == pytest.approx(before / 2, abs=1e-6)


def test_two_classifiers_side_by_side_are_both_heads() -> None:
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    deit = DeiTForImageClassificationWithTeacher(DeiTConfig(**size, image_size=32, patch_size=8, num_labels=LABELS))
    assert list(find_heads(deit)) == ["cls_classifier", "distillation_classifier"]
    small = {"hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1], "key_dim": [4, 4, 4]}
    levit = LevitForImageClassificationWithTeacher(LevitConfig(**small, image_size=64, num_labels=LABELS)).eval()
    assert list(find_heads(levit)) == ["classifier.linear", "classifier_distill.linear"]
    images = {"pixel_values": torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))}
    with torch.no_grad():
        before = levit(**images).logits
        assert fold(levit, 2.0, images) == ""
        assert levit(**images).logits == pytest.approx(before / 2, abs=1e-5)


class EarlyExits(PreTrainedModel):
    """A classifier after every block, of which the last one answers."""

    config_class = ViTConfig

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"body": nn.Linear(8, 8), "exit": nn.Linear(8, LABELS)}) for _ in range(3)
        )
        self.post_init()

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutput:
        logits = None
        for block in self.blocks:
            pixel_values = block["body"](pixel_values)  # type: ignore[index]
            logits = block["exit"](pixel_values)  # type: ignore[index]
        return ImageClassifierOutput(logits=logits)  # type: ignore[arg-type]


def test_classifiers_of_every_block_are_not_equals_of_the_last() -> None:
    assert list(find_heads(EarlyExits(ViTConfig(num_labels=LABELS)))) == ["blocks.2.exit"]


def test_a_layer_of_the_backbone_with_the_width_by_chance_is_passed_over() -> None:
    wide = type(CONFIGS["bert"])(**{**CONFIGS["bert"].to_dict(), "num_labels": 48, "id2label": None})  # feed-forward's
    model = build(wide)
    assert wide.intermediate_size == 48
    assert list(find_heads(model)) == ["classifier"]


def test_no_head_is_found_where_there_is_none() -> None:
    assert find_heads(nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))) == {}  # no configuration, so no labels
    model = build_network("digits", LABELS, 8)
    model.classifier = nn.Identity()  # type: ignore[assignment]
    assert find_heads(model) == {}


# --- adapters -------------------------------------------------------------------------------------------------------


def test_of_an_adapters_copies_the_one_in_use_is_the_head() -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], r=2)
    model = peft.get_peft_model(build(CONFIGS["roberta"]), config).eval()
    model.add_adapter("second", config)
    base = "classifier.modules_to_save.{}.out_proj"
    batch = batch_of()
    for adapter in ("default", "second"):
        model.set_adapter(adapter)
        assert list(find_heads(model)) == [base.format(adapter)]
        with torch.no_grad():
            before = model(**batch).logits
            assert fold(model, 2.0, batch) == ""
            assert model(**batch).logits == pytest.approx(before / 2, abs=1e-5)
    with model.disable_adapter():
        assert list(find_heads(model)) == ["classifier.original_module.out_proj"]
    assert set(find_heads(model, copies=True)) == {
        "classifier.original_module.out_proj", base.format("default"), base.format("second"),
    }  # fmt: skip


def test_an_adapted_layer_is_the_head_as_a_whole_also_a_convolution() -> None:
    peft = pytest.importorskip("peft")
    linear = peft.get_peft_model(
        build_network("digits", LABELS, 8), peft.LoraConfig(target_modules=["classifier"], r=2)
    )
    assert list(find_heads(linear)) == ["classifier"]
    mobile = build_network("mobilenetv2", LABELS, 32)
    adapted = peft.get_peft_model(mobile, peft.LoraConfig(target_modules=["classifier.0"], r=2))
    assert list(find_heads(adapted)) == ["classifier.0"]


def test_an_adapted_convolution_of_three_by_three_is_no_head() -> None:
    peft = pytest.importorskip("peft")
    model = build_network("digits", 16, 8)  # 16 is also the width of its first stage
    model.classifier = nn.Identity()  # type: ignore[assignment]
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=r"stages\.0.*\.0", r=2))
    assert any("lora" in name for name, _ in adapted.named_modules())
    assert find_heads(adapted) == {}


def test_timm_keeps_its_head_within_what_transformers_calls_the_backbone() -> None:
    pytest.importorskip("timm")
    from transformers import TimmWrapperConfig

    with torch.device("meta"):
        model = AutoModelForImageClassification.from_config(
            TimmWrapperConfig(architecture="resnet18", num_labels=LABELS)
        )
    assert list(find_heads(model)) == ["timm_model.fc"]
