"""Which calibrator is taken: by rows that it was not fitted on, and the temperature where nothing speaks against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_recalibration import drawn

from logitmix_hf.evaluation import fit_halves, fit_temperature, nll
from logitmix_hf.evaluation.chosen import Chosen, HalfVectors, fit_calibrator
from logitmix_hf.evaluation.recalibration import fit_vector_scaling


def test_classes_that_are_off_each_in_its_own_way_want_vector_scaling():
    off: dict[str, Any] = {"shift": np.array([2.0, 0.0, -1.0])}
    chosen = fit_calibrator(*drawn(2000, **off), "auto")
    assert chosen.name == "vector"
    assert chosen.nll["vector"] < chosen.nll["temperature"] - 0.05
    logits, labels = drawn(4000, seed=9, **off)
    # what was cross-validated is what new rows give
    assert nll(chosen.scaling.apply(logits), labels) == pytest.approx(chosen.nll["vector"], abs=0.06)


def test_where_one_temperature_is_the_truth_the_lower_number_decides_and_the_choice_costs_nothing():
    taken, costs = [], []
    for seed in range(12):
        rows = drawn(150, 4, seed, scale=2.5)
        chosen = fit_calibrator(*rows, "auto")
        assert (chosen.name == "vector") == (chosen.nll["vector"] < chosen.nll["temperature"])
        logits, labels = drawn(4000, 4, 100 + seed, scale=2.5)
        costs.append(nll(chosen.scaling.apply(logits), labels) - nll(fit_temperature(*rows).apply(logits), labels))
        taken.append(chosen.name)
    assert taken.count("temperature") >= 8
    assert np.mean(costs) < 0.01


def test_asked_for_by_name():
    logits, labels = drawn(300)
    vector = fit_vector_scaling(logits, labels)
    chosen = fit_calibrator(logits, labels, "vector")
    assert chosen.scaling.apply(logits) == pytest.approx(vector.apply(logits))
    assert chosen.nll == {}
    plain = fit_calibrator(logits, labels)
    assert plain.scaling.temperature == fit_temperature(logits, labels).value


def test_by_halves_no_row_is_scaled_by_what_saw_it():
    logits, labels = drawn(300, shift=np.array([2.0, 0.0, -1.0]))
    chosen = fit_calibrator(logits, labels, "auto", halves=True, seed=5)
    assert isinstance(chosen.fitted, HalfVectors)
    half = chosen.fitted.half
    after = chosen.fitted.apply(logits)
    assert after[half] == pytest.approx(fit_vector_scaling(logits[~half], labels[~half]).apply(logits[half]))
    changed = np.where(half, (labels + 1) % 3, labels)
    other = fit_calibrator(logits, changed, "vector", halves=True, seed=5)
    assert isinstance(other.fitted, HalfVectors)
    assert np.array_equal(other.fitted.apply(logits)[half], after[half])
    assert (
        fit_calibrator(logits, labels, halves=True, seed=5).scaling.temperature == fit_halves(logits, labels, 5).value
    )


def test_several_labels_a_row():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 3)) * 2
    labels = (rng.random((400, 3)) < 1 / (1 + np.exp(-z))).astype(int)
    chosen = fit_calibrator(z + np.array([2.0, 0.0, -2.0]), labels, "auto")
    assert chosen.name == "vector"
    assert chosen.scaling.shift == pytest.approx([-2, 0, 2], abs=0.6)


@pytest.mark.parametrize("name", ["vector", "auto"])
def test_rows_that_are_all_right_leave_the_temperature_at_1(name):
    labels = np.arange(60) % 3
    chosen = fit_calibrator(np.eye(3)[labels] * 4, labels, name)
    assert (chosen.name, chosen.scaling.temperature) == ("temperature", 1.0)
    assert "not fitted on these rows either" in chosen.notes[-1]


def told(chosen: Chosen) -> str:
    return " ".join(chosen.notes)


def test_few_rows_are_told():
    logits, labels = drawn(49)
    few = fit_calibrator(logits, labels, "auto")
    assert (few.name, few.nll) == ("temperature", {})
    assert "too few to choose" in told(few)
    logits, labels = drawn(300)
    rare = np.where(labels == 2, 1, labels)
    rare[:3] = 2
    assert "1 of 3 classes have fewer than 10" in told(fit_calibrator(logits, rare, "vector"))
    assert "classes" not in told(fit_calibrator(logits, labels, "vector"))


def test_a_class_with_one_row_is_cross_validated_all_the_same():
    logits, labels = drawn(60)
    rare = np.where(labels == 2, 1, labels)
    rare[0] = 2
    chosen = fit_calibrator(logits, rare, "auto")
    assert set(chosen.nll) == {"temperature", "vector"}
