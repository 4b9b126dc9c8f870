"""The Jensen-Shannon divergence between views, and training by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from visionrun import flags, read

from logitmix_hf.commands.vision import main as vision
from logitmix_hf.steps.consistency import jensen_shannon


def test_equal_views_do_not_diverge():
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(jensen_shannon(torch.stack([logits] * 3)), torch.zeros(4), atol=1e-6, rtol=0)


def test_against_a_reference_in_numpy_and_scipys_of_two():
    z = np.random.default_rng(0).normal(size=(3, 6, 5)) * 2
    p = softmax(z, axis=-1)
    middle = p.mean(0)
    expected = np.mean([(q * np.log(q / middle)).sum(-1) for q in p], axis=0)
    np.testing.assert_allclose(jensen_shannon(torch.tensor(z)).numpy(), expected, rtol=1e-4)
    two = jensen_shannon(torch.tensor(z[:2])).numpy()
    np.testing.assert_allclose(two, jensenshannon(p[0], p[1], axis=-1) ** 2, rtol=1e-4)


def test_it_is_at_most_the_log_of_the_views():
    z = 50 * torch.eye(3)[:, None]
    assert float(jensen_shannon(z)) == pytest.approx(np.log(3), abs=1e-4)


def test_a_training_tells_the_term_and_adds_it(tmp_path):
    run = tmp_path / "run"
    assert vision([*flags(run, method="vanilla", augmix="original", jsd=12), "--logging_steps", "1"]) == 0
    lines = [line for line in read(run / "trainer_state.json")["log_history"] if "loss_jsd" in line]
    assert lines
    for line in lines:
        assert line["loss"] == pytest.approx(line["loss_cls"] + 12 * line["loss_jsd"], rel=1e-3)
        assert line["loss_jsd"] > 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"jsd": 12}, "--augmix original"),
        ({"jsd": 12, "augmix": "mixmo"}, "--augmix mixmo was given"),
        ({"jsd": 12, "augmix": "original", "method": "logitmix"}, "--method vanilla"),
        ({"jsd": -1, "augmix": "original"}, "jsd"),
        ({"augmix": "originl"}, "'original'"),
    ],
)
def test_mistakes_are_told_before_training(tmp_path, capfd, changes, told):
    run = tmp_path / "run"
    assert vision(flags(run, **{"method": "vanilla", **changes})) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert told in line
    assert not run.exists()


@pytest.mark.parametrize("form", ["original", "mixmo"])
def test_a_method_that_mixes_takes_augmix_as_well(tmp_path, form):
    assert vision(flags(tmp_path / "run", method="mixup", augmix=form)) == 0
    assert read(tmp_path / "run" / "run.json")["arguments"]["augmix"] == form
