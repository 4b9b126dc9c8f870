"""Labels of every kind, in every format, to numbers and back; splits that keep the shares of classes."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.data.labels import read_labels
from logitmix_hf.data.rows import Columns
from logitmix_hf.data.split import hold_out_rows, keep_rows
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE


def typed(values, where="train.json", names=()):
    """A split of a format with types; ``names`` as ClassLabel declares them."""
    try:
        table, mixed = pa.table({"label": pa.array(values)}), {}
        if {bool, int} <= {type(value) for value in values}:
            raise pa.ArrowInvalid
    except pa.ArrowException:
        table, mixed = pa.table({"n": pa.array(range(len(values)))}), {"label": list(values)}
    return Columns(where, table, mixed, {"label": tuple(names)} if names else {})


def cells(values, where="train.csv"):
    """A split of CSV: strings only."""
    return Columns(where, pa.table({"label": pa.array(values, pa.string())}), cells=True)


# names that differ in more than how Unicode writes them, or in spaces at their ends
NAMES = (
    st.text(st.characters(exclude_categories=["Cs", "Cf"]), min_size=1, max_size=5)
    .map(lambda name: unicodedata.normalize("NFC", name).strip())
    .filter(bool)
)


def read(train, *others, **options):
    splits = {"train": (train, "label")} | {f"v{i}": (split, "label") for i, split in enumerate(others)}
    labels, values = read_labels(splits, **options)
    return labels, list(values.values())


@settings(deadline=None)
@given(st.lists(NAMES, min_size=2).filter(lambda names: len(set(names)) > 1))
def test_names_are_sorted_whatever_the_order_of_rows(names):
    labels, (values,) = read(typed(names))
    assert labels.problem == SINGLE
    assert labels.names == tuple(sorted(set(names)))
    assert [labels.names[value] for value in values] == names


@settings(deadline=None)
@given(st.lists(st.integers(-20, 200), min_size=2).filter(lambda numbers: len(set(numbers)) > 1), st.booleans())
def test_integers_are_ordered_by_value(numbers, csv):
    labels, (values,) = read(cells(list(map(str, numbers))) if csv else typed(numbers))
    assert labels.problem == SINGLE
    assert [int(name) for name in labels.names] == sorted(set(numbers))
    assert [int(labels.names[value]) for value in values] == numbers


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2), st.booleans())
def test_real_numbers_are_values(numbers, csv):
    labels, (values,) = read(cells(list(map(repr, numbers))) if csv else typed(numbers), learns=False)
    assert (labels.problem, labels.names) == (REGRESSION, ())
    assert values == numbers


def test_integers_are_values_when_forced():
    assert read(typed([1, 5, 3]), regression=True)[1] == [[1.0, 5.0, 3.0]]
    assert read(cells(["1", "5"]), regression=True)[0].problem == REGRESSION


def test_one_split_with_real_numbers_makes_all_real():
    labels, (train, validation) = read(cells(["1", "2"]), cells(["1.5"], "dev.csv"))
    assert labels.problem == REGRESSION
    assert (train, validation) == ([1.0, 2.0], [1.5])


def test_booleans_are_classes():
    labels, (values,) = read(typed([True, False, True]))
    assert (labels.names, values) == (("False", "True"), [1, 0, 1])


def test_words_that_look_like_numbers_to_a_computer_are_names():
    assert read(cells(["nan", "inf", "None", "NA"]))[0].names == ("NA", "None", "inf", "nan")


def test_the_order_that_the_data_declares_is_kept():
    labels, (values,) = read(typed([0, 1, 0], names=("zebra", "ant")))
    assert (labels.names, values) == (("zebra", "ant"), [0, 1, 0])


def test_a_task_orders_names_and_numbers():
    known = ("zebra", "ant")
    assert read(typed(["ant", "zebra"]), known=known)[1] == [[1, 0]]
    assert read(typed([1, 0]), known=known)[1] == [[1, 0]]
    assert read(typed([0, 1], names=("ant", "zebra")), known=known)[1] == [[1, 0]]
    with pytest.raises(UserError, match="holds 'cow', but the labels are 'zebra', 'ant'"):
        read(typed(["ant", "cow"]), known=known)
    with pytest.raises(UserError, match="holds 2, but the labels are 0, 1"):
        read(typed([0, 2]), known=known)


@settings(deadline=None)
@given(st.lists(st.sets(st.sampled_from(["red", "green", "blue"])), min_size=1), st.booleans())
def test_lists_become_rows_of_zero_and_one(sets, csv):
    sets = [*sets, {"red"}, {"blue", "green"}]
    lists = [sorted(row) for row in sets]
    labels, (values,) = read(cells(list(map(json.dumps, lists))) if csv else typed(lists))
    assert (labels.problem, labels.names) == (MULTI, ("blue", "green", "red"))
    assert [{labels.names[i] for i in np.flatnonzero(row)} for row in values] == sets


def test_lists_of_numbers_and_lists_of_zero_and_one():
    assert read(typed([[2, 10], [10], []]))[1] == [[[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]]
    assert read(typed([[0, 1, 0], [1, 1, 0]]))[1] == [[[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]]
    assert read(typed([[0.0, 1.0], [1.0, 0.0]]))[0].names == ("0", "1")
    assert read(typed([[0], [1], [0, 1]]))[1] == [[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]]
    assert read(cells(["['a', 'b']", "['a']"]))[1] == [[[1.0, 1.0], [1.0, 0.0]]]  # as pandas writes lists to CSV
    assert read(typed([[1], [0, 1]], names=("x", "y")))[1] == [[[0.0, 1.0], [1.0, 1.0]]]


MISTAKES = [
    ([cells(["a", None, "b", None])], {}, r"train.csv: 2 of 4 rows have no label in column 'label' \(rows 2, 4\)"),
    ([typed([1.0, float("nan")])], {}, r"1 of 2 rows have no label .*\(row 2\)"),
    ([typed([0, 1, -1], names=("x", "y"))], {}, r"1 of 3 rows have no label .*\(row 3\)"),
    ([cells([None] * 9)], {}, r"9 of 9 .*\(rows 1, 2, 3, 4, 5 …\)"),
    ([typed([0, 1, "pos"])], {}, r"more than one kind of label: 2 integer \(row 1: 0\), 1 name \(row 3: 'pos'\)"),
    ([typed([1, "a"])], {}, "more than one kind of label: 1 integer .*1 name"),
    ([typed([True, 1])], {}, "more than one kind of label: 1 boolean .*1 integer"),
    ([typed(["a", ["a"]])], {}, "more than one kind of label: 1 list .*1 name"),
    ([typed(["a", "a"])], {}, "a single class, 'a'"),
    ([typed([["a"], ["a"]])], {}, "a single label, 'a'"),
    ([typed([[], []])], {}, "only empty lists"),
    ([Columns("t", pa.table({"label": pa.array([["a"], ["b", None]])}))], {}, "lists of the kinds NoneType, name"),
    ([typed([{"a": 1}, {"a": 2}])], {}, "labels of type dict"),
    ([typed([1.0, float("inf")])], {}, r"infinite labels \(row 2\)"),
    ([typed(["a", "b"])], {"regression": True}, "a regression needs numbers .* kind name"),
    ([typed([[0, 1], [1, 1]])], {"regression": True}, "a regression needs numbers .* kind list"),
    ([typed([0.5, 1.5])], {"known": ("x", "y")}, "real numbers, but classes are expected: 'x', 'y'"),
    ([typed(["a", "b"]), typed(["a", "c", "c"], "dev.json")], {}, r"dev.json has the label 'c' \(rows 2, 3\), which"),
    ([typed([0, 1]), typed([2, 3], "dev.json")], {}, r"the label 2 \(row 1\) and 1 more such labels.*: 0, 1"),
    (
        [typed(["a", "b"]), typed([1, 0], "dev.json")],
        {},
        "dev.json are of the kind integer .*train.json of the kind name",
    ),
    ([typed([["a"], ["b"]]), typed([["c"]], "dev.json")], {}, r"dev.json has the label 'c' \(row 1\)"),
    ([typed([[0, 1], [1, 0]]), typed([[0, 1, 1]], "dev.json")], {}, "dev.json: 0/1 lists must have 2 entries"),
    ([typed([0, 1, 0], names=("x", "y", "z")), typed([2], "dev", names=("x", "y", "z"))], {}, "dev has the label 'z'"),
]


@pytest.mark.parametrize(("splits", "options", "message"), MISTAKES)
def test_mistakes_are_told_in_one_line(splits, options, message):
    with pytest.raises(UserError, match=message) as caught:
        read(*splits, **options)
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(
    st.lists(st.integers(10, 40), min_size=2, max_size=4),
    st.floats(0.15, 0.5),
    st.integers(0, 100),
)
def test_a_share_of_every_class_is_held_out(sizes, share, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes)).tolist()
    train, held = hold_out_rows(labels, SINGLE, share, seed)
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert len(held) == int(np.ceil(share * len(labels)))
    assert list(held) == sorted(held)
    count = Counter(labels[row] for row in held)
    for label, size in enumerate(sizes):
        assert abs(count[label] - share * size) < 2  # scikit-learn rounds each class up or down
    again = hold_out_rows(labels, SINGLE, share, seed)
    assert np.array_equal(again[1], held)


def test_another_seed_holds_out_other_rows():
    labels = [0, 1] * 50
    assert not np.array_equal(hold_out_rows(labels, SINGLE, 0.2, 0)[1], hold_out_rows(labels, SINGLE, 0.2, 1)[1])


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=8, max_size=40), st.integers(0, 20))
def test_train_never_loses_a_class(labels, seed):
    """Whatever the sizes, singletons and more classes than held-out rows included."""
    with suppress(UserError):  # too rare to hold anything out
        train, held = hold_out_rows(labels, SINGLE, 0.2, seed)
        assert {labels[row] for row in train} == set(labels)
        assert len(held) <= np.ceil(0.2 * len(labels))


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3), min_size=10, max_size=30))
def test_train_never_loses_one_of_several_labels(labels):
    with suppress(UserError):
        train, _ = hold_out_rows(labels, MULTI, 0.3, 0)
        assert np.array_equal(np.any([labels[row] for row in train], axis=0), np.any(labels, axis=0))


def test_values_are_held_out_over_their_whole_range():
    values = np.random.default_rng(0).permutation(100).astype(float).tolist()
    _, held = hold_out_rows(values, REGRESSION, 0.2, 0)
    assert Counter(int(values[row] // 10) for row in held) == dict.fromkeys(range(10), 2)


def test_labels_that_occur_once_stay_in_train():
    train, held = hold_out_rows([0] * 9 + [1] * 9 + [2, 3], SINGLE, 0.2, 0)
    assert {18, 19} <= set(train.tolist())
    assert len(held) >= 2
    with pytest.raises(UserError, match="labels this rare"):
        hold_out_rows([0, 1, 2, 3], SINGLE, 0.25, 0)


@pytest.mark.parametrize(("rows", "share", "message"), [(1, 0.5, "leaves 0 to train"), (4, 1.5, "validation_share")])
def test_shares_that_leave_nothing(rows, share, message):
    with pytest.raises(UserError, match=message):
        hold_out_rows(list(range(rows)), REGRESSION, share, 0)


@settings(deadline=None)
@given(st.integers(1, 50), st.none() | st.integers(1, 60), st.integers(0, 9))
def test_kept_rows(rows, most, seed):
    evaluation, train = keep_rows(rows, most, None), keep_rows(rows, most, seed)
    wanted = rows if most is None else min(rows, most)
    assert list(evaluation) == list(range(wanted))
    assert len(set(train.tolist())) == len(train) == wanted
    assert set(train.tolist()) <= set(range(rows))
    assert np.array_equal(train, keep_rows(rows, most, seed))
    if most and most > 1:
        assert np.array_equal(keep_rows(rows, most - 1, seed), train[: most - 1]) or most >= rows
