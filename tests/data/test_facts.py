"""What is counted of rows before training, against counts by hand and by pandas."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from logitmix_hf.data.facts import SplitRows, alike, data_facts, fact_lines
from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE


def test_every_count_of_classes_by_hand():
    train = SplitRows(6, np.array([0, 1, 0, 1, 1, 2]), ["a", "b", "a", "a", "c", "d"], {"empty_texts": 1})
    dev = SplitRows(3, np.array([0, 0, 1]), ["a", "e", "e"])
    test = SplitRows(2, None, ["d", "f"])
    facts = data_facts({"train": train, "validation": dev, "test": test}, ("x", "y", "z"), SINGLE, held_out_share=None)
    assert facts["splits"] == {
        "train": {
            "rows": 6,
            "classes": {"x": 2, "y": 3, "z": 1},
            "repeated": 2,
            "contradicting": 3,  # a is x, x and y
            "empty_texts": 1,
        },
        "validation": {
            "rows": 3,
            "classes": {"x": 2, "y": 1, "z": 0},
            "repeated": 1,
            "in_train": 1,
            "contradicting": 2,
        },
        "test": {"rows": 2, "repeated": 0, "in_train": 1},
    }
    assert facts["classes_of_one_row"] == {"count": 1, "first": ["z"]}
    json.dumps(facts, allow_nan=False)
    said = " · ".join(fact_lines(facts))
    assert "2 of the 6 rows of train repeat another" in said
    assert "3 rows of train stand there again with another label" in said
    assert "1 of the 2 rows of test is in train too" in said
    assert "1 empty text" in said


@pytest.mark.parametrize("seed", range(4))
def test_repeated_rows_and_leaks_are_those_that_pandas_finds(seed):
    draw = np.random.default_rng(seed)
    parts = {name: draw.integers(0, 40, count).tolist() for name, count in (("train", 30), ("validation", 20))}
    facts = data_facts({name: SplitRows(len(rows), None, rows) for name, rows in parts.items()}, (), SINGLE)["splits"]
    for name, rows in parts.items():
        assert facts[name]["repeated"] == pd.Series(rows).duplicated().sum()
    assert facts["validation"]["in_train"] == pd.Series(parts["validation"]).isin(parts["train"]).sum()


def test_values_several_labels_and_no_train():
    values = data_facts({"train": SplitRows(3, np.array([1.0, 2.0, 6.0]))}, (), REGRESSION)
    assert values["splits"]["train"] == {"rows": 3, "values": {"least": 1, "largest": 6, "mean": 3}}
    assert values["classes_of_one_row"]["count"] == 0
    several = data_facts({"validation": SplitRows(2, np.array([[1.0, 0], [1, 1]]), ["a", "a"])}, ("x", "y"), MULTI)
    assert several["splits"]["validation"] == {
        "rows": 2,
        "classes": {"x": 2, "y": 1},
        "repeated": 1,
        "in_train": 0,
        "contradicting": 2,
    }
    assert several["classes_of_one_row"]["first"] == ["y"]


def test_labels_that_look_alike():
    assert alike(["Positive", "positive ", "neg", "not-neg", "not neg", "+", "-"]) == [
        ["Positive", "positive "],
        ["not-neg", "not neg"],
    ]
    assert alike(["caf\u00e9", "cafe\u0301"]) == [["caf\u00e9", "cafe\u0301"]]
    assert alike(["1", "-1", "1.0", "10", "+", "-"]) == [], "signs and points are what numbers differ by"


def test_a_class_without_a_row_in_train_is_told():
    splits = {"train": SplitRows(3, np.array([0, 0, 2])), "validation": SplitRows(1, np.array([1]))}
    facts = data_facts(splits, ["cat", "dog", "owl"], SINGLE)
    assert fact_lines(facts) == ["no row of train is 'dog', which so cannot be learned"]
