"""The two spirals: what must hold whatever the numbers are, and that a short run of each method learns."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
import torch

from logitmix_hf.cli import main
from logitmix_hf.commands import spiral_task as task
from logitmix_hf.commands.spiral_figure import run
from logitmix_hf.commands.spiral_settings import SpiralSettings
from logitmix_hf.methods import METHODS
from logitmix_hf.plan import step_generator


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def data(points=60, noise=0.05, cycles=0.5, seed=0):
    return task.training_points(points, noise, cycles, seed)


def similarity(network: task.SpiralNetwork, site: int = 0) -> float:
    method = task.ToyMethod("logitmix", "", 3.0, (site,))
    terms = task.toy_loss(network, method, *data(), step_generator(0, 0)).terms
    assert set(terms) == {"mix", "cls", "sim"}
    return terms["sim"].mean().item()


def test_a_linear_network_has_no_similarity_loss_and_a_deep_one_has():
    """f(lam a + (1 - lam) b) = lam f(a) + (1 - lam) f(b) for an affine f: nothing is left for L_sim."""
    assert similarity(task.SpiralNetwork(step_generator(0, 0), (2, 2))) < 1e-12
    assert similarity(task.untrained(0)) > 1e-6
    assert similarity(task.untrained(0), len(task.WIDTHS) - 2) < 1e-12  # mixed before the last, linear layer


def test_arms_without_noise_lie_on_their_curve():
    points, labels = task.spiral_points(101, 0.0, 1.5, torch.Generator())
    assert labels.bincount().tolist() == [51, 50]
    for label, start in ((0, 0.0), (1, math.pi)):
        x, y = points[labels == label].double().numpy().T
        radius, angle = np.hypot(x, y), np.unwrap(np.arctan2(y, x))
        assert (radius[0], radius[-1]) == pytest.approx((0.2, 2.0), abs=1e-5)
        assert abs(math.remainder(angle[0] - start, 2 * math.pi)) < 1e-5
        assert angle[-1] - angle[0] == pytest.approx(3 * math.pi, abs=1e-4)
    # Half a turn apart: each arm is the other one through the origin.
    one, other = (task.spiral_points(100, 0.0, 2.0, torch.Generator())[0][half] for half in (slice(50), slice(50, 100)))
    torch.testing.assert_close(one, -other)


def test_the_noise_has_the_deviation_that_was_asked():
    noisy, _ = task.spiral_points(20_000, 0.3, 1.0, torch.Generator().manual_seed(0))
    still, _ = task.spiral_points(20_000, 0.0, 1.0, torch.Generator())
    assert float((noisy - still).std()) == pytest.approx(0.3, rel=0.02)


def test_every_method_gets_the_same_data_and_the_same_weights(monkeypatch):
    """Random numbers drawn by others in between change nothing; neither do the methods before."""
    seen = {}

    def spy(network, method, points, labels, steps, seed):
        torch.rand(7)
        seen[method.name] = [points.clone(), labels.clone(), *(weight.clone() for weight in network.parameters())]
        return network

    monkeypatch.setattr(task, "train", spy)
    run(SpiralSettings(steps=1, points=20))
    assert list(seen) == ["vanilla", "mixup", "manifold_mixup", "logitmix"]
    assert len(seen["vanilla"]) == 2 + 2 * (len(task.WIDTHS) - 1)
    for others in seen.values():
        assert all(torch.equal(a, b) for a, b in zip(others, seen["vanilla"], strict=True))


def test_the_loss_weights_are_those_of_the_methods():
    for method in task.TOY_METHODS.values():
        assert method.weights == METHODS[method.name].weights
    (mix, cls, sim) = task.TOY_METHODS["logitmix"].weights
    out = task.toy_loss(task.untrained(0), task.TOY_METHODS["logitmix"], *data(), step_generator(0, 0))
    by_hand = mix * out.terms["mix"] + cls * out.terms["cls"] + sim * out.terms["sim"]
    torch.testing.assert_close(out.per_example, by_hand)
    assert set(task.toy_loss(task.untrained(0), task.TOY_METHODS["vanilla"], *data(), torch.Generator()).terms) == {
        "cls"
    }


@pytest.mark.parametrize("name", task.TOY_METHODS)
def test_a_short_run_learns_half_a_turn(name):
    train_set, fresh = data(120), task.fresh_points(0.05, 0.5, 0, points=500)
    before = task.judge(task.untrained(0), train_set, fresh)
    network = task.train(task.untrained(0), task.TOY_METHODS[name], *train_set, 250, 0)
    after = task.judge(network, train_set, fresh)
    assert after["train_accuracy"] > 0.95
    assert after["test_accuracy"] > max(0.95, before["test_accuracy"])


class Fixed(task.SpiralNetwork):
    """p(class 1) = sigmoid(k x): what the numbers of a picture should be is known by hand."""

    def __init__(self, k: float) -> None:
        super().__init__(torch.Generator(), (2, 2))
        weights = {"layers.0.weight": torch.tensor([[0.0, 0.0], [k, 0.0]]), "layers.0.bias": torch.zeros(2)}
        self.load_state_dict(weights)


def test_the_numbers_of_a_known_network():
    """sigmoid(k x) is within .3-.7 for |x| <= ln(7/3) / k =: h; that strip covers 2 (h sqrt(4 - h^2) + 4 asin(h / 2)) of
    the disc of radius 2, whose area is 4 pi."""
    k = 2.0
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.1, 5.0], [-0.1, 0.0]])
    labels = torch.tensor([1, 0, 0, 0])
    numbers = task.judge(Fixed(k), (points, labels), (points[:2], labels[:2]))
    h = math.log(7 / 3) / k
    strip = 2 * (h * math.sqrt(4 - h * h) + 4 * math.asin(h / 2)) / (4 * math.pi)
    p = [1 / (1 + math.exp(-k * x)) for x in (1.0, 0.1)]
    assert numbers["boundary_width"] == pytest.approx(strip, abs=0.01)
    assert numbers["train_accuracy"] == 0.75
    assert numbers["train_undecided"] == 0.5
    assert numbers["test_accuracy"] == 1.0
    assert numbers["train_confidence"] == pytest.approx((p[0] + p[1]) / 2, abs=1e-6)
    assert task.judge(Fixed(0.0), (points, labels), (points, labels))["ring_confidence"] == 0.5
    assert task.judge(Fixed(1e6), (points, labels), (points, labels))["ring_confidence"] > 0.99


def command(*words: object) -> int:
    return main([str(word) for word in ("spiral", "--steps", 3, "--points", 20, *words)])


def test_the_command_leaves_a_picture_and_the_same_numbers_for_the_same_seed(tmp_path, capsys):
    found = []
    for name in ("a", "b"):
        torch.manual_seed(len(found))
        assert command("--output_dir", tmp_path / name, "--seed", 1) == 0
        numbers = json.loads((tmp_path / name / "spiral.json").read_text())
        for result in numbers["results"].values():
            assert result.pop("seconds") >= 0
            assert set(result) == set(numbers["meaning"])
        found.append(numbers)
    assert found[0]["results"] == found[1]["results"]
    other = run(SpiralSettings(steps=3, points=20, seed=2))[0]
    assert all(other[name]["train_confidence"] != found[0]["results"][name]["train_confidence"] for name in other)
    assert found[0]["settings"]["points"] == 20
    told = capsys.readouterr().out
    picture = tmp_path / "a" / "spiral.png"
    assert str(picture) in told
    for name, result in found[0]["results"].items():
        (line,) = [line for line in told.splitlines() if line.startswith(f"{name} ")][:1]
        assert f"{result['train_accuracy']:.4f}" in line
        assert f"{result['ring_confidence']:.4f}" in line
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:])
    assert width > 2 * height > 1000


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--step", "5"], ["--step", "Did you mean '--steps'"]),
        (["--steps", "0"], ["steps", "at least 1", "0"]),
        (["--points", "3"], ["points", "3"]),
        (["--points", "many"], ["points", "many"]),
        (["--noise", "-0.1"], ["noise", "-0.1"]),
        (["--noise", "nan"], ["noise", "nan"]),
        (["--cycles", "0"], ["cycles", "above 0"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["logitmix"], ["'logitmix' belongs to no flag"]),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["spiral", *words]) == 2
    streams = capsys.readouterr()
    (line,) = streams.err.splitlines()
    assert line.startswith("error: ")
    for word in told:
        assert word in line
    assert streams.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone_but_for_overwrite(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert command("--output_dir", tmp_path) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "file"}
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert command("--output_dir", path) == 2
        assert str(path) in capsys.readouterr().err
    assert command("--output_dir", tmp_path, "--overwrite") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "file", "spiral.png", "spiral.json"}
    assert (tmp_path / "notes.txt").read_text() == "mine"
