"""Classes that are never answered, against counts by hand and scikit-learn's recall."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE, Predictions
from logitmix_hf.evaluation.never_predicted import never_predicted


def answers(chosen: list[int], labels: list[int], names: tuple[str, ...]) -> Predictions:
    return Predictions(np.eye(len(names))[chosen], np.array(labels), names, SINGLE)


def test_the_line_names_the_class_its_rows_and_the_baseline():
    labels = [0] * 6 + [1] * 3 + [2]
    line = never_predicted(answers([0] * 5 + [1] * 5, labels, ("DESC", "NUM", "ABBR")))
    assert "'ABBR' (1 row): recall 0" in line
    assert "accuracy is 0.8000" in line  # five and three of ten
    assert "'DESC', the largest class, gives 0.6000" in line
    assert "'NUM'" not in line.partition(": recall")[0]


@pytest.mark.parametrize("seed", range(8))
def test_named_are_exactly_those_whose_recall_is_zero_for_want_of_an_answer(seed):
    draw = np.random.default_rng(seed)
    names = tuple("abcde")
    labels, chosen = draw.integers(0, 4, 30), draw.choice(draw.choice(5, 2, replace=False), 30)
    line = never_predicted(answers(chosen.tolist(), labels.tolist(), names))
    recalls = recall_score(labels, chosen, labels=range(5), average=None, zero_division=1)
    silent = {names[n] for n in range(5) if recalls[n] == 0 and n not in chosen}
    assert {name for name in names if f"'{name}' (" in line} == silent


def test_nothing_is_said_where_every_class_is_answered_or_has_no_rows():
    assert never_predicted(answers([0, 1, 1], [0, 1, 0], ("a", "b", "never here"))) == ""
    assert never_predicted(Predictions(np.zeros((3, 1)), np.zeros(3), (), REGRESSION)) == ""
    assert never_predicted(Predictions(np.eye(2), None, ("a", "b"), SINGLE)) == ""
    assert "'0' (1 row)" in never_predicted(Predictions(np.eye(2)[[1, 1]], np.array([0, 1])))


def test_several_labels_a_row_of_which_none_is_ever_said():
    labels = np.zeros((25, 2))
    labels[:6, 0] = labels[:2, 1] = 1
    p = Predictions(np.full((25, 2), -1.0), labels, ("toxic", "spam"), MULTI)
    assert f1_score(labels, p.probabilities > 0.5, average="micro", zero_division=0) == 0
    line = never_predicted(p)
    assert "'toxic' (6 rows), 'spam' (2 rows): recall 0" in line
    assert "F1 is 0" in line
    assert "0.8400 of the decisions are right; always saying no is right on 0.8400" in line
    p.logits[0, 0] = 1
    assert never_predicted(p).startswith("Never predicted: 'spam' (2 rows): recall 0. 0.8600 ")


def test_a_thousand_classes_are_counted_and_not_listed():
    line = never_predicted(answers([0] * 1000, list(range(1000)), tuple(f"class {n}" for n in range(1000))))
    assert "and 994 more" in line
    assert len(line) < 400
