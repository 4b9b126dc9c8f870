"""Labels that a model contradicts, against labels that were turned round on purpose and counts by hand."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.suspects import find_suspects, suspect_rows


def test_by_hand():
    """Class 0 is claimed from (.9 + .7 + .2) / 3 = .6 on, class 1 from (.8 + .6) / 2 = .7 on."""
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.2, 0.8], [0.4, 0.6]])
    assert suspect_rows(p, [0, 0, 0, 1, 1]).tolist() == [2]
    # With another label for row 0: 0 from .45 on, 1 from .5 on; rows 0 and 2 claim the other class, row 0 the surest.
    assert suspect_rows(p, [1, 0, 0, 1, 1]).tolist() == [0, 2]


def test_labels_that_were_turned_round_come_first():
    draw = np.random.default_rng(0)
    true = draw.integers(0, 4, 400)
    logits = draw.normal(size=(400, 4)) + 5 * np.eye(4)[true]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = draw.choice(400, 20, replace=False)
    labels = true.copy()
    labels[wrong] = (labels[wrong] + draw.integers(1, 4, 20)) % 4
    found = suspect_rows(p, labels)
    assert len(set(found[:20].tolist()) & set(wrong.tolist())) >= 18
    assert len(found) < 40
    own = p[found, labels[found]]
    assert (np.diff(own) >= 0).all()


def test_a_class_without_rows_is_never_claimed_and_a_sure_right_model_suspects_nothing():
    p = np.array([[0.3, 0.2, 0.5], [0.2, 0.3, 0.5]])
    assert suspect_rows(p, [0, 1]).size == 0
    assert suspect_rows(np.eye(3), [0, 1, 2]).size == 0
    assert suspect_rows(np.full((4, 2), 0.5), [0, 1, 0, 1]).shape[0] <= 2  # nothing is known: ties
    with pytest.raises(UserError):
        suspect_rows(np.eye(2), [0, 5])


def noisy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of 600 rows, their labels, and which of these were turned round."""
    draw = np.random.default_rng(0)
    true = draw.integers(0, 4, 600)
    labels, turned = true.copy(), draw.random(600) < 0.1
    labels[turned] = (labels[turned] + draw.integers(1, 4, turned.sum())) % 4
    logits = draw.normal(size=(600, 4)) + 2.5 * np.eye(4)[true]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels, turned


def test_cleanlabs_own_rows_where_it_is_installed_and_its_plain_rule_is_ours():
    filters = pytest.importorskip("cleanlab.filter", reason="the extra suspects is not installed")
    p, labels, turned = noisy()
    found, by = find_suspects(p, labels)
    assert by.startswith("cleanlab 2.")
    assert turned[found].sum() > turned[suspect_rows(p, labels)].sum()
    plain = filters.find_label_issues(
        labels, p, filter_by="confident_learning", return_indices_ranked_by="self_confidence"
    )
    assert suspect_rows(p, labels).tolist() == plain.tolist()


@pytest.mark.parametrize("there", [False, True])
def test_the_plain_rule_where_cleanlab_is_missing_or_fails(monkeypatch, there):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace() if there else None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)  # the import fails then
    p, labels, _ = noisy()
    found, by = find_suspects(p, labels)
    assert found.tolist() == suspect_rows(p, labels).tolist()
    assert by.startswith("confident learning by its plain rule; cleanlab ")
    assert ("fails" in by) is there
