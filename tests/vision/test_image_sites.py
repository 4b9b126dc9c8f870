"""Sites of image classifiers: ours, the Hub's by structure, and what is said where one is missing."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForImageClassification,
    BeitConfig,
    ConvNextConfig,
    ConvNextV2Config,
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    EfficientNetConfig,
    MobileNetV2Config,
    PreTrainedModel,
    RegNetConfig,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
)
from transformers.modeling_outputs import BaseModelOutput

from logitmix_hf.errors import UserError
from logitmix_hf.vision.networks import build_network
from logitmix_hf.vision.site_names import SITE_HELP, ImageSite, check_site, resolve_site
from logitmix_hf.vision.sites import ImageSites, find_sites, stage_tensor, with_tensor

LABELS, SIDE = 5, 32
_MAPS = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_labels": LABELS}
_TOKENS = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
_TOKENS |= {"image_size": SIDE, "patch_size": 8, "num_labels": LABELS}
HUB: dict[str, tuple[Any, int]] = {  # configuration, and the stages counted by hand
    "resnet": (ResNetConfig(**_MAPS, embedding_size=8, layer_type="basic"), 4),
    "regnet": (RegNetConfig(**_MAPS, embedding_size=8, groups_width=8), 4),
    "convnext": (ConvNextConfig(**_MAPS), 4),
    "convnextv2": (ConvNextV2Config(**_MAPS), 4),
    "vit": (ViTConfig(**_TOKENS), 4),
    "beit": (BeitConfig(**_TOKENS), 4),
    "swin": (
        SwinConfig(
            image_size=SIDE, patch_size=2, embed_dim=8, depths=[1, 2, 1], num_heads=[1, 2, 2], window_size=4,
            num_labels=LABELS,
        ),
        3,
    ),
    "mobilenet_v2": (MobileNetV2Config(image_size=SIDE, depth_multiplier=0.35, num_labels=LABELS), 16),
    "efficientnet": (
        EfficientNetConfig(
            image_size=SIDE, width_coefficient=0.2, depth_coefficient=0.1, hidden_dim=256, num_labels=LABELS
        ),
        7,
    ),
}  # fmt: skip
OURS = {
    "resnet18": 4, "vgg16_bn": 5, "mobilenetv2": 7, "shufflenetv2": 3, "wideresnet-10-2": 3, "preactresnet18-1": 4, "digits": 3,
}  # fmt: skip


def build(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    if name in HUB:
        model = AutoModelForImageClassification.from_config(HUB[name][0])
    else:
        model = build_network(name, LABELS, SIDE)
    with torch.no_grad():  # transformers' 0.02 and unused norms would leave almost nothing of an image in the logits
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        model.train()(pixel_values=torch.randn(4, 3, SIDE, SIDE))
    return model.eval()


@pytest.mark.parametrize("name", [*HUB, *OURS])
@torch.no_grad()
def test_stages_and_head_are_found(name: str) -> None:
    """Each stage runs once, in order, on ever smaller maps; what it hands on decides the logits; a row more of it is a
    row more of logits; and the head gives them."""
    model = build(name)
    sites = find_sites(model)
    assert len(sites.stages) == (HUB[name][1] if name in HUB else OURS[name])
    assert len(sites.heads) == 1
    assert sites.channels == 3
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    called: list[int] = []
    handed: dict[int, Tensor] = {}
    heads: list[Tensor] = []

    def record(number: int):
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            called.append(number)
            handed[number] = stage_tensor(output)

        return hook

    handles = [stage.register_forward_hook(record(number)) for number, stage in enumerate(sites.stages)]
    handles.append(sites.heads[0].register_forward_hook(lambda module, args, output: heads.append(output)))
    logits = model(pixel_values=images).logits
    for handle in handles:
        handle.remove()
    scale = logits.abs().max()
    assert not torch.allclose(logits[0] / scale, logits[1] / scale, atol=1e-2)
    assert called == list(range(len(sites.stages)))
    assert torch.equal(heads[0].flatten(1), logits)
    places = [hidden.shape[1] if hidden.ndim == 3 else hidden[0, 0].numel() for hidden in handed.values()]
    assert places == sorted(places, reverse=True)
    if name not in ("vit", "beit"):
        assert places[-1] < places[0]
    for number in {0, len(sites.stages) // 2, len(sites.stages) - 1}:

        def swapped(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            hidden = stage_tensor(output)
            return with_tensor(output, torch.cat([hidden, hidden.flip(0)]))

        handle = sites.stages[number].register_forward_hook(swapped)
        both = model(pixel_values=images).logits
        handle.remove()
        torch.testing.assert_close(both / scale, torch.cat([logits, logits.flip(0)]) / scale, atol=1e-3, rtol=0)


@torch.no_grad()
def test_a_distilled_deit_has_two_heads() -> None:
    model = DeiTForImageClassificationWithTeacher(DeiTConfig(**_TOKENS)).eval()
    sites = find_sites(model)
    assert sites.heads == (model.cls_classifier, model.distillation_classifier)
    assert len(sites.stages) == 4


def test_timm_models_are_seen_through_their_wrapper() -> None:
    pytest.importorskip("timm")
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    stages = {"resnet18": 4, "vit_tiny_patch16_224": 12, "convnext_atto": 4, "vgg11_bn": 5}
    for name, count in stages.items():
        with torch.device("meta"):
            model = TimmWrapperForImageClassification(TimmWrapperConfig(architecture=name, num_labels=LABELS))
            sites = find_sites(model)
            called: list[nn.Module] = []
            for stage in sites.stages:
                stage.register_forward_hook(lambda module, args, output, called=called: called.append(module))
            model(torch.empty(1, 3, 224, 224))
        assert len(sites.stages) == count, name
        assert called == list(sites.stages)
        assert [head.out_features for head in sites.heads] == [LABELS]
        assert sites.name == name


class Flat(PreTrainedModel):
    """A network with no stages to be seen: two layers of different names."""

    config_class = ViTConfig

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.first, self.inner, self.last = nn.Conv2d(1, 4, 3), nn.Linear(4, 8), nn.Linear(8, config.num_labels)


def test_a_model_without_stages_keeps_input_and_pooled() -> None:
    model = Flat(ViTConfig(num_labels=LABELS, num_channels=1))
    sites = find_sites(model)
    assert sites.stages == ()
    assert sites.heads == (model.last,)
    assert sites.channels == 1
    assert sites.resolve("input") == ImageSite("stage", (0,))
    assert sites.resolve("pooled") == ImageSite("pooled")
    with pytest.raises(UserError) as caught:
        sites.resolve("stage.1")
    for words in ("Flat has none", "list of modules", "take 'input' or 'pooled'", "Linear x2", "Conv2d"):
        assert words in str(caught.value)


def test_a_model_without_a_linear_head_says_so() -> None:
    model = Flat(ViTConfig(num_labels=LABELS))
    model.last = nn.Linear(8, LABELS + 2)
    with pytest.raises(
        UserError, match="Flat has none that is recognised: take 'input'. Modules that exist: Linear x2"
    ):
        find_sites(model).resolve("pooled")


SITES = [
    ("input", 4, ImageSite("stage", (0,))),
    ("stage.1", 4, ImageSite("stage", (1,))),
    ("stage.4", 4, ImageSite("stage", (4,))),
    ("middle", 4, ImageSite("stage", (2,))),
    ("middle", 7, ImageSite("stage", (3,))),
    ("middle", 1, ImageSite("stage", (1,))),
    ("stages", 4, ImageSite("stage", (0, 1, 2, 3))),
    ("stages:0,1,2", 4, ImageSite("stage", (0, 1, 2))),
    ("stages:4", 4, ImageSite("stage", (4,))),
    ("pooled", 4, ImageSite("pooled")),
    ("pooled", 0, ImageSite("pooled")),
    ("input", 0, ImageSite("stage", (0,))),
]


@pytest.mark.parametrize(("name", "stages", "site"), SITES)
def test_what_a_name_means(name: str, stages: int, site: ImageSite) -> None:
    assert resolve_site(name, stages) == site
    check_site(name)


@pytest.mark.parametrize(
    "name", ["inputs", "stage", "stage.", "stage.-1", "stages:", "stages:1;2", "layer.3", "Middle", ""]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UserError, match="No site is called"):
        check_site(name)
    with pytest.raises(UserError) as caught:
        resolve_site(name, 4)
    assert SITE_HELP in str(caught.value)


@pytest.mark.parametrize("name", ["stage.5", "stage.0", "stages:1,5"])
def test_stages_that_are_not_there(name: str) -> None:
    sites = ImageSites((nn.Identity(),) * 4, (), name="resnet18")
    with pytest.raises(UserError) as caught:
        sites.resolve(name)
    lowest = 0 if "stages" in name else 1
    assert f"resnet18 has stages {lowest} to 4" in str(caught.value)
    assert ("vgg16_bn (5), mobilenetv2 (7)" in str(caught.value)) == ("5" in name)


def test_no_stages_at_all() -> None:
    with pytest.raises(UserError, match="take 'input' or 'pooled'"):
        resolve_site("middle", 0)
    assert resolve_site("input", 0).stages == (0,)


def test_what_a_stage_returns_is_left_as_it_was() -> None:
    old, new, rest = torch.zeros(2), torch.ones(2), torch.full((2,), 7.0)
    for output in (
        old,
        (old, rest),
        [old, rest],
        BaseModelOutput(last_hidden_state=old, attentions=rest),
        {"x": old, "y": rest},
    ):
        other = with_tensor(output, new)
        assert type(other) is type(output)
        assert stage_tensor(other) is new
        assert stage_tensor(output) is old
        if not isinstance(output, Tensor):
            assert (list(other.values()) if isinstance(other, dict) else list(other))[1] is rest
    for output in ((), None, OrderedDict(), ("x", old)):
        with pytest.raises(UserError, match="begins with no tensor"):
            stage_tensor(output)


def test_wrapped_models_are_unwrapped() -> None:
    model = build_network("digits", LABELS, 8)
    wrapper = nn.Module()
    wrapper._orig_mod = model  # what torch.compile makes of a module
    assert find_sites(wrapper).stages == tuple(model.stages)
    with pytest.raises(UserError, match="DataParallel"):
        find_sites(nn.DataParallel(model))


def test_adapters_on_the_head_are_the_head() -> None:
    """LoRA's own small matrices have as many outputs; the layer around them is what is called."""
    peft = pytest.importorskip("peft")
    model = build_network("digits", LABELS, 8)
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["classifier"], r=2))
    (head,) = find_sites(adapted).heads
    assert head is adapted.base_model.model.classifier
    assert len(find_sites(adapted).stages) == 3
