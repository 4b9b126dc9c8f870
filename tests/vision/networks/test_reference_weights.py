"""Weights saved by the reference definitions find their places."""

from __future__ import annotations

import pytest
import torch
import torchvision

from logitmix_hf.errors import UserError
from logitmix_hf.vision.networks import build_network, load_reference_weights, reference_names

# Names and shapes in a checkpoint of weiaicunzai/pytorch-cifar100, and how many tensors it holds.
CIFAR = {
    "resnet18": (122, {
        "conv1.0.weight": (64, 3, 3, 3), "conv2_x.1.residual_function.3.weight": (64, 64, 3, 3),
        "conv3_x.0.shortcut.0.weight": (128, 64, 1, 1), "conv5_x.1.residual_function.4.running_var": (512,),
        "fc.weight": (100, 512),
    }),
    "resnet50": (320, {
        "conv1.1.bias": (64,), "conv2_x.0.shortcut.1.weight": (256,),
        "conv4_x.5.residual_function.6.weight": (1024, 256, 1, 1), "fc.bias": (100,),
    }),
    "resnext50": (320, {
        "conv2.0.split_transforms.0.weight": (128, 2, 1, 1), "conv5.2.split_transforms.3.weight": (1024, 32, 3, 3),
        "conv3.0.shortcut.0.weight": (512, 256, 1, 1), "fc.weight": (100, 2048),
    }),
    "vgg16_bn": (97, {
        "features.0.weight": (64, 3, 3, 3), "features.1.running_mean": (64,), "features.7.weight": (128, 64, 3, 3),
        "features.24.weight": (512, 256, 3, 3), "features.40.bias": (512,), "classifier.0.weight": (4096, 512),
        "classifier.6.weight": (100, 4096),
    }),
    "mobilenetv2": (373, {
        "pre.0.weight": (32, 3, 1, 1), "stage1.residual.3.weight": (32, 1, 3, 3),
        "stage4.2.residual.0.weight": (384, 64, 1, 1), "stage7.residual.7.bias": (320,),
        "conv1.0.weight": (1280, 320, 1, 1), "conv2.weight": (100, 1280, 1, 1),
    }),
    "shufflenetv2": (394, {
        "pre.0.bias": (24,), "stage2.0.shortcut.2.weight": (58, 24, 1, 1), "stage3.7.residual.5.weight": (116, 116, 1, 1),
        "conv5.0.weight": (1024, 464, 1, 1), "fc.weight": (100, 1024),
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", CIFAR)
def test_names_of_the_cifar_definitions(name: str) -> None:
    count, shapes = CIFAR[name]
    with torch.device("meta"):
        model = build_network(name, 100)
    own, names = model.state_dict(), reference_names(model)
    assert len(names) == count
    assert sorted(names.values()) == sorted(own)  # every tensor once
    assert {theirs: tuple(own[names[theirs]].shape) for theirs in shapes} == shapes


def test_tensors_land_where_their_name_says() -> None:
    model = build_network("resnet18", 5)
    names = reference_names(model)
    own = model.state_dict()
    given = {
        f"module.{theirs}": torch.full_like(own[ours], number) for number, (theirs, ours) in enumerate(names.items())
    }
    load_reference_weights(model, given)
    loaded = model.state_dict()
    assert [loaded[ours].unique().tolist() for ours in names.values()] == [[number] for number in range(len(names))]


def test_another_number_of_classes_keeps_its_own_head() -> None:
    given = torchvision.models.shufflenet_v2_x1_0(num_classes=4).state_dict()
    model = build_network("shufflenetv2", 7, 224)
    head = model.classifier.weight.clone()
    with pytest.raises(UserError, match=r"fc.weight has the shape \(4, 1024\).*\(7, 1024\) \(head=False"):
        load_reference_weights(model, given)
    load_reference_weights(model, given, head=False)
    assert torch.equal(model.classifier.weight, head)
    assert torch.equal(model.neck[0].weight, given["conv5.0.weight"])


def test_weights_of_something_else_are_refused_whole() -> None:
    model = build_network("resnet18", 4, 224)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    given = torchvision.models.resnet18(num_classes=4).state_dict()
    del given["layer3.0.conv1.weight"]
    with pytest.raises(UserError, match="resnet18 as torchvision defines it: 'layer3.0.conv1.weight' missing"):
        load_reference_weights(model, given)
    with pytest.raises(UserError, match="'extra.weight' too many"):
        load_reference_weights(
            model, {**torchvision.models.resnet18(num_classes=4).state_dict(), "extra.weight": torch.ones(1)}
        )
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_old_checkpoints_count_no_batches() -> None:
    reference = torchvision.models.resnet18(num_classes=4)
    given = {key: tensor for key, tensor in reference.state_dict().items() if "num_batches" not in key}
    model = build_network("resnet18", 4, 64)
    load_reference_weights(model, given)
    assert torch.equal(model.stem[0].weight, reference.conv1.weight)


def test_networks_without_a_reference_say_so() -> None:
    with pytest.raises(UserError, match="digits follows no definition"):
        load_reference_weights(build_network("digits", 10, 8), {})
