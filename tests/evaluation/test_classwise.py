"""Classes judged one by one: against torchmetrics, loops over the definitions, and Murphy's identity made exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import brier, brier_parts, class_bins, ece_classwise


def case(rows, classes, seed, several=False):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(rows, classes)) * 2).round(1)
    if several:
        return 1 / (1 + np.exp(-logits)), rng.integers(2, size=(rows, classes))
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), rng.integers(classes, size=rows)


def parts_by_definition(forecasts, outcomes, bins):
    """REL, RES, UNC and the within-bin terms of one yes-no forecast, as Stephenson et al. (2008) write them."""
    reliability = resolution = variance = covariance = 0.0
    rate, rows = np.mean(outcomes), len(forecasts)
    for m in range(1, bins + 1):
        inside = [
            (f, o)
            for f, o in zip(forecasts, outcomes, strict=True)
            if (m - 1) / bins < f <= m / bins or (m == 1 and f == 0)
        ]
        if inside:
            mean_f, mean_o = np.mean([f for f, _ in inside]), np.mean([o for _, o in inside])
            reliability += len(inside) * (mean_f - mean_o) ** 2 / rows
            resolution += len(inside) * (mean_o - rate) ** 2 / rows
            variance += sum((f - mean_f) ** 2 for f, _ in inside) / rows
            covariance += 2 * sum((f - mean_f) * (o - mean_o) for f, o in inside) / rows
    return reliability, resolution, rate * (1 - rate), covariance - variance


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("several", [False, True])
def test_classwise_ece_against_torchmetrics(classes, several):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    p, labels = case(400, classes, classes, several)
    outcomes = labels if several else np.eye(classes, dtype=int)[labels]
    theirs = [
        float(functional.binary_calibration_error(torch.tensor(p[:, k]), torch.tensor(outcomes[:, k]), n_bins=15))
        for k in range(classes)
    ]
    assert ece_classwise(p, labels) == pytest.approx(np.mean(theirs), abs=1e-6)


def test_classwise_ece_by_hand():
    # class 0: .9 (yes) and .7 (no) in two bins of their own, gaps .1 and .7; class 1: the same from the other side
    assert ece_classwise([[0.9, 0.1], [0.7, 0.3]], [0, 1], bins=10) == pytest.approx((0.1 + 0.7) / 2)
    counted = class_bins([[0.9, 0.1], [0.7, 0.3]], [0, 1], bins=10)
    assert counted.count.sum(axis=1).tolist() == [2, 2]
    assert counted.accuracy[0, [6, 8]].tolist() == [0, 1]


@pytest.mark.parametrize("several", [False, True])
@given(rows=st.integers(1, 40), classes=st.integers(2, 5), bins=st.integers(1, 20), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_brier_is_the_sum_of_its_parts(several, rows, classes, bins, seed):
    p, labels = case(rows, classes, seed, several)
    outcomes = labels if several else np.eye(classes, dtype=int)[labels]
    found = brier_parts(p, labels, bins)
    each = np.array([parts_by_definition(p[:, k], outcomes[:, k], bins) for k in range(classes)])
    expected = 2 * each.mean(axis=0) if several else each.sum(axis=0)
    assert [found.reliability, found.resolution, found.uncertainty, found.within] == pytest.approx(expected, abs=1e-12)
    assert found.score == pytest.approx(brier(p, labels), abs=1e-12)
    assert min(found.reliability, found.resolution, found.uncertainty) >= 0


def test_murphys_own_identity_holds_where_the_forecasts_of_a_bin_are_equal():
    rng = np.random.default_rng(0)
    yes = rng.choice([0.05, 0.3, 0.62, 0.9], size=200)
    p, labels = np.stack([1 - yes, yes], axis=1), (rng.random(200) < yes).astype(int)
    found = brier_parts(p, labels, bins=10)
    assert found.within == pytest.approx(0, abs=1e-15)
    assert found.reliability - found.resolution + found.uncertainty == pytest.approx(brier(p, labels), abs=1e-12)


def test_what_the_parts_mean():
    labels = np.array([0, 0, 0, 1])
    always = brier_parts(np.tile([0.75, 0.25], (4, 1)), labels)  # the frequencies, to every row
    assert (always.reliability, always.resolution) == pytest.approx((0, 0))
    assert always.uncertainty == pytest.approx(2 * 0.75 * 0.25)
    knows = brier_parts(np.eye(2)[labels], labels)
    assert (knows.reliability, knows.score) == pytest.approx((0, 0))
    assert knows.resolution == pytest.approx(knows.uncertainty)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[0.5, 0.6]], [0]), "row 0"),
        (([[0.5, 0.5]], [2]), "row 0 is 2"),
        (([[0.5, 0.5]], [[1, 2]]), "row 0 is 2"),
        (([[0.5, 0.5]], [0], 0), "at least 1"),
    ],
)
def test_mistakes(arguments, words):
    for measure in (ece_classwise, brier_parts, class_bins):
        with pytest.raises(UserError, match=words):
            measure(*arguments)
