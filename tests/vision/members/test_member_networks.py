"""Networks of several members: what they compute, what they cost, and the plain network that they become."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from logitmix_hf.errors import UserError
from logitmix_hf.models.folding import fold, unfold
from logitmix_hf.models.heads import find_heads
from logitmix_hf.vision import build_network
from logitmix_hf.vision.members import MemberForward, MemberPlan, draw_members
from logitmix_hf.vision.networks import ConvNetForImageClassification, Heads, Stems, collapsed
from logitmix_hf.vision.sites import find_sites

NETWORKS = [
    ("resnet18", 32, 3),
    ("vgg16_bn", 32, 3),
    ("mobilenetv2", 32, 3),
    ("mobilenetv2", 64, 1),
    ("shufflenetv2", 32, 3),
    ("wideresnet-10-1", 32, 3),
    ("preactresnet18-1", 64, 1),
    ("digits", 8, 1),
]


def made(name="digits", labels=5, size=8, channels=1, seed=0, **config):
    torch.manual_seed(seed)
    return build_network(name, labels, size, channels, **config)


def images(network, rows=4, seed=1):
    config = network.config
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, config.num_channels, config.image_size, config.image_size, generator=generator)


def constant(rows, masks, sources=None):
    """A plan with the same masks (M, h, w) in every row."""
    members = masks.shape[0]
    own = torch.arange(rows)
    sources = torch.stack([own, *(own.roll(k) for k in range(1, members))], 1) if sources is None else sources
    shares = masks.mean((1, 2)).expand(rows, -1)
    return MemberPlan(sources, shares, masks.expand(rows, *masks.shape), torch.ones(rows, members))


@pytest.mark.parametrize(("name", "labels", "size", "counts"), [
    ("wideresnet-28-10", 100, 32, (36_536_884, 36_601_416, 36_665_948)),
    ("wideresnet-28-10", 10, 32, (36_479_194, 36_486_036, 36_492_878)),
    ("wideresnet-28-2", 100, 32, (1_479_220, 1_492_552, 1_505_884)),
    ("wideresnet-28-14", 100, 32, (71_551_540, 71_641_672, 71_731_804)),
    ("preactresnet18-1", 200, 64, (11_268_616, 11_372_944, 11_477_272)),
    ("preactresnet18-3", 200, 64, (100_537_864, 100_846_992, 101_156_120)),
])  # fmt: skip
def test_parameters_are_counted_as_the_authors_print_them(name, labels, size, counts):
    for members, count in enumerate(counts, start=1):
        with torch.device("meta"):
            network = build_network(name, labels, size, members=members)
        assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(("name", "size", "channels"), NETWORKS)
@pytest.mark.parametrize("members", [2, 3])
def test_every_network_takes_members_and_becomes_a_plain_one_with_the_same_logits(name, size, channels, members):
    network = made(name, 5, size, channels, members=members).eval()
    pixels = images(network, 2)
    plain = collapsed(network)
    reference = made(name, 5, size, channels)
    assert {n: p.shape for n, p in plain.named_parameters()} == {n: p.shape for n, p in reference.named_parameters()}
    assert plain.config.members == 1
    with torch.no_grad():
        out = network(pixels)
        torch.testing.assert_close(plain(pixels).logits, out.logits, atol=1e-4, rtol=1e-4)
        assert out.member_logits.shape == (2, members, 5)
        torch.testing.assert_close(out.logits, out.member_logits.mean(1))
        assert fold(network, 2.5) == ""
        torch.testing.assert_close(network(pixels).logits, out.logits / 2.5, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(collapsed(network)(pixels).logits, out.logits / 2.5, atol=1e-4, rtol=1e-4)
        assert collapsed(network).config.logitmix["temperature"] == 2.5
        unfold(network)
        torch.testing.assert_close(network(pixels).logits, out.logits, atol=1e-5, rtol=1e-5)
    assert len(find_heads(network)) == members
    assert len(find_sites(network).stages) == len(find_sites(reference).stages)


def test_one_member_is_todays_network_to_the_last_bit():
    one, plain = made(members=1), made()
    for (name, value), (other, expected) in zip(one.state_dict().items(), plain.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(value, expected)
    pixels = images(plain)
    assert torch.equal(one(pixels).logits, plain(pixels).logits)
    assert "member_logits" not in one(pixels)


@pytest.mark.parametrize("training", [True, False])
def test_without_a_plan_every_member_sees_the_same_image_also_in_training(training):
    """Ramé et al.: at inference the sum of the members' convolutions, as with a constant mask of 1/M."""
    network = made(members=3).train(training)
    stem: Stems = network.get_submodule("stem.0")
    pixels = images(network)
    expected = sum(member(pixels) for member in stem.members)
    torch.testing.assert_close(stem(pixels), expected)
    stem.plan = constant(4, torch.full((3, 8, 8), 1 / 3), sources=torch.arange(4)[:, None].expand(4, 3))
    torch.testing.assert_close(stem(pixels), expected)


def test_equal_shares_are_mimos_convolution_over_concatenated_images():
    network = made(members=2)
    stem: Stems = network.get_submodule("stem.0")
    pixels = images(network)
    partner = torch.tensor([2, 0, 3, 1])
    stem.plan = constant(4, torch.full((2, 8, 8), 0.5), sources=torch.stack([torch.arange(4), partner], 1))
    joint = F.conv2d(
        torch.cat([pixels, pixels[partner]], 1), torch.cat([one.weight for one in stem.members], 1), padding=1
    )
    torch.testing.assert_close(stem(pixels), joint)


def test_a_full_mask_shows_one_member_its_image_twice_over_and_gives_the_other_no_gradient():
    network = made(members=2)
    stem: Stems = network.get_submodule("stem.0")
    pixels = images(network)
    stem.plan = constant(4, torch.stack([torch.ones(8, 8), torch.zeros(8, 8)]))
    out = stem(pixels)
    torch.testing.assert_close(out, 2 * stem.members[0](pixels))
    out.square().sum().backward()
    assert stem.members[0].weight.grad.abs().sum() > 0
    assert stem.members[1].weight.grad.abs().sum() == 0


def test_a_binary_mask_lets_each_place_come_from_one_member():
    network = made(members=2)
    stem: Stems = network.get_submodule("stem.0")
    pixels = images(network)
    left = torch.zeros(8, 8)
    left[:, :3] = 1
    stem.plan = constant(4, torch.stack([left, 1 - left]))
    out = stem(pixels)
    other = pixels.roll(1, 0)
    torch.testing.assert_close(out[..., :3], 2 * stem.members[0](pixels)[..., :3])
    torch.testing.assert_close(out[..., 3:], 2 * stem.members[1](other)[..., 3:])


def test_a_batch_in_another_order_gives_the_same_answers_in_that_order():
    network = made("wideresnet-10-1", 5, 16, 3, members=2).eval()
    pixels = images(network, 6)
    plan = draw_members(6, 2, (16, 16), torch.Generator().manual_seed(0))
    forward = MemberForward(network)
    with torch.no_grad():
        expected = forward({"pixel_values": pixels}, plan)
        order = torch.randperm(6, generator=torch.Generator().manual_seed(3))
        place = order.argsort()
        moved = MemberPlan(place[plan.sources[order]], plan.shares[order], plan.masks[order], plan.weights[order])
        found = forward({"pixel_values": pixels[order]}, moved)
    torch.testing.assert_close(found, expected[order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("problem", [None, "multi_label_classification", "regression"])
def test_averaged_probabilities(problem):
    network = made(members=3, ensemble_average="probs", problem_type=problem).eval()
    with torch.no_grad():
        out = network(images(network))
    if problem is None:
        torch.testing.assert_close(out.logits.softmax(1), out.member_logits.softmax(2).mean(1))
    elif problem == "regression":
        torch.testing.assert_close(out.logits, out.member_logits.mean(1))
    else:
        torch.testing.assert_close(out.logits.sigmoid(), out.member_logits.sigmoid().mean(1))
    with pytest.raises(UserError, match="probs.*averaged logits"):
        collapsed(network)


@pytest.mark.parametrize(("encoders", "heads"), [(1, None), (None, 1), (1, 1)])
def test_shared_encoders_and_heads(encoders, heads):
    """One encoder keeps the factor M: inference is 2 c(x)."""
    network = made(members=2, encoders=encoders, heads=heads).eval()
    stem: Stems = network.get_submodule("stem.0")
    pixels = images(network)
    assert len(stem.members) == (encoders or 2)
    if encoders == 1:
        torch.testing.assert_close(stem(pixels), 2 * stem.members[0](pixels))
    assert isinstance(network.classifier, Heads) == (heads != 1)
    with torch.no_grad():
        torch.testing.assert_close(collapsed(network)(pixels).logits, network(pixels).logits, atol=1e-5, rtol=1e-5)


def test_a_saved_network_comes_back_with_its_members(tmp_path):
    network = made(members=2, id2label={k: f"c{k}" for k in range(5)}).eval()
    network.save_pretrained(tmp_path)
    back, report = ConvNetForImageClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    pixels = images(network)
    with torch.no_grad():
        assert torch.equal(back.eval()(pixels).member_logits, network(pixels).member_logits)


def test_members_begin_differently_and_by_the_networks_own_rule():
    """A normal cut at two sigma of fan-in 27 each (Ramé et al.'s code), not of 54 as MIMO's joint convolution."""
    network = made("wideresnet-10-4", 5, 32, 3, members=2)
    one, two = network.get_submodule("stem.0").members
    assert not torch.equal(one.weight, two.weight)
    std = math.sqrt(2 / 27)
    for member in (one, two):
        assert abs(float(member.weight.detach().std()) / std - 1) < 0.15
        assert float(member.weight.detach().abs().max()) <= 2 * std / 0.8796 + 1e-6


def test_the_stage_that_holds_vggs_first_convolution_is_run_again_with_its_plan():
    network = made("vgg16_bn", 5, 32, 3, members=2, dropout=0.0)
    pixels = images(network)
    plan = draw_members(4, 2, (32, 32), torch.Generator().manual_seed(0))
    gradients = []
    for checkpointing in (False, True):
        copied = copy.deepcopy(network).train()
        if checkpointing:
            copied.gradient_checkpointing_enable()
        forward = MemberForward(copied)
        forward({"pixel_values": pixels}, plan).square().sum().backward()
        forward.release()
        gradients.append([parameter.grad for parameter in copied.parameters()])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


def test_an_evaluation_after_a_pass_sees_no_plan():
    network = made(members=2).eval()
    pixels = images(network)
    with torch.no_grad():
        before = network(pixels).logits
        MemberForward(network)({"pixel_values": pixels}, draw_members(4, 2, (8, 8), torch.Generator().manual_seed(0)))
        assert torch.equal(network(pixels).logits, before)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"members": 0}, "members.*at least 1.*0"),
        ({"members": 3, "encoders": 2}, "encoders is 2.*1.*3"),
        ({"members": 2, "heads": 5}, "heads is 5"),
        ({"members": 2, "ensemble_average": "mean"}, "ensemble_average.*logits, probs.*mean"),
    ],
)
def test_a_mistake_names_what_was_given_and_what_there_is(config, words):
    with pytest.raises(UserError, match=f"(?s){words}"):
        made(**config)


def test_a_network_without_members_has_no_member_pass():
    with pytest.raises(UserError, match="digits has no members.*members=2"):
        MemberForward(made())
    forward = MemberForward(made(members=3))
    with pytest.raises(UserError, match="2 members, the network has 3"):
        forward({"pixel_values": torch.zeros(4, 1, 8, 8)}, draw_members(4, 2, (8, 8), torch.Generator()))
