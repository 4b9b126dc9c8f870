"""A label column of strings is judged as a whole: what pandas, numpy and people write, and what is told of it."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.data.labels import read_labels
from logitmix_hf.data.rows import Columns
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE


def cells(values, where="train.csv"):
    return Columns(where, pa.table({"label": pa.array(list(map(str, values)), pa.string())}), cells=True)


def typed(values, where="train.json", names=()):
    return Columns(where, pa.table({"label": pa.array(values)}), class_names={"label": names} if names else {})


def read(*splits, **options):
    labels, values = read_labels({f"s{i}": (split, "label") for i, split in enumerate(splits)}, **options)
    return labels, list(values.values())


# --- numbers, codes, names ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.text("0123456789", min_size=1, max_size=6), min_size=2).filter(lambda codes: len(set(codes)) > 1))
def test_no_two_codes_become_one_class(codes):
    """Postcodes, area codes, versions: 01 and 1 are two, and each is answered as it was written."""
    labels, (values,) = read(cells(codes))
    assert [labels.names[value] for value in values] == codes


def test_codes_in_one_split_make_codes_of_all():
    labels, (train, dev) = read(cells(["1", "2", "01"]), cells(["2", "1"], "dev.csv"))
    assert [labels.names[value] for value in train + dev] == ["1", "2", "01", "2", "1"]
    with pytest.raises(UserError, match=r"dev.csv has the label '01' \(row 1\)"):
        read(cells(["1", "2"]), cells(["01"], "dev.csv"))


@pytest.mark.parametrize(
    "names", [["PG", "R", "18"], ["1e5", "2a7", "3e9"], ["+1", "-1"], ["1" * 5000, "2"], ["007", "8"]]
)
def test_names_of_which_some_look_like_numbers(names):
    labels, (values,) = read(cells(names * 2))
    assert labels.problem == SINGLE
    assert [labels.names[value] for value in values] == names * 2


def test_names_among_numbers_are_told():
    assert "(row 1: '1') and names (row 4: 'n/a')" in read(cells(["1", "2", "3", "n/a"]))[0].notes[0]
    assert read(cells(["1", "2", "3"]))[0].notes == ()
    with pytest.raises(UserError, match=r"more than one kind of label: 1 name \(row 3: 'n/a'\), 2 real \(row 1: 1.5\)"):
        read(cells(["1.5", "2.25", "n/a"]))


def test_whole_real_numbers_are_classes_when_asked():
    """What pandas makes of integers beside a missing value."""
    for split in (cells(["0.0", "1.0", "0.0"]), typed([0.0, 1.0, 0.0])):
        assert read(split)[0].problem == REGRESSION
        assert "--regression false" in read(split)[0].notes[0]
        labels, (values,) = read(split, regression=False)
        assert (labels.problem, labels.names, values, labels.notes) == (SINGLE, ("0", "1"), [0, 1, 0], ())
    assert read(typed([0.5, 1.0, 0.5]), regression=False)[0].names == ("0.5", "1.0")
    assert read(typed([0.25, 1.0, 0.5]))[0].notes == ()
    assert read(cells(["01", "+2"]), regression=True)[1] == [[1.0, 2.0]]


# --- spaces and case ------------------------------------------------------------------------------------------------


def test_labels_that_look_alike_are_one_and_that_is_told():
    forms = ["good", " good", "good ", "good\u00a0", "bad", "\tbad"]
    for split in (cells(forms), typed(forms)):
        labels, (values,) = read(split)
        assert (labels.names, values) == (("bad", "good"), [1, 1, 1, 1, 0, 0])
        (note,) = labels.notes
        assert "'good'" in note
        assert "' good'" in note
    accents = ["café", unicodedata.normalize("NFD", "café"), "thé"]
    assert len(set(accents)) == 3
    assert read(typed(accents))[0].names == ("café", "thé")
    assert read(typed([["a ", "b"], ["a"]]))[0].names == ("a", "b")


def test_labels_that_differ_by_case_stay_apart_and_are_told():
    labels, _ = read(cells(["Good", "good", "bad"]))
    assert len(labels.names) == 3
    assert "'Good'" in labels.notes[0]
    assert "'good'" in labels.notes[0]


def test_names_that_somebody_declared_are_left_as_they_are():
    assert read(typed([0, 1], names=(" a", "a")))[0].names == (" a", "a")
    labels, (values,) = read(cells(["a ", "b"]), known=("b", "a"))
    assert (labels.names, values) == (("b", "a"), [1, 0])


def test_a_label_of_spaces_is_missing():
    with pytest.raises(UserError, match=r"1 of 3 rows have no label in column 'label' \(row 2\)"):
        read(typed(["a", " ", "b"]))


# --- lists ----------------------------------------------------------------------------------------------------------

HOT = np.array([[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("kind", [int, float, bool])
@pytest.mark.parametrize("write", [str, lambda row: str(row.tolist()), lambda row: json.dumps(row.tolist())])
def test_rows_of_zero_and_one_however_they_were_printed(kind, write):
    labels, (values,) = read(cells([write(row.astype(kind)) for row in HOT]))
    assert (labels.problem, labels.names) == (MULTI, ("0", "1", "2"))
    assert values == HOT.astype(float).tolist()


def test_rows_of_booleans_with_types():
    assert read(typed((HOT == 1).tolist()))[1] == [HOT.astype(float).tolist()]


def test_names_as_numpy_prints_them():
    names = [np.array(row) for row in (["red", "dark blue"], ["red"], ["it's"])]
    labels, (values,) = read(cells(names))
    assert labels.names == ("dark blue", "it's", "red")
    assert values == [[1, 0, 1], [0, 0, 1], [0, 1, 0]]


def test_a_long_row_that_numpy_broke_over_lines():
    rows = np.eye(90, dtype=int)
    assert "\n" in str(rows[0])
    assert read(cells(rows))[1] == [rows.astype(float).tolist()]


def test_brackets_that_hold_no_list():
    assert read(cells(["[A]", "[B]"]))[0].names == ("[A]", "[B]")
    with pytest.raises(UserError, match=r"of which some are no lists \(row 3: '\[-----"):
        read(cells(["[0, 1]", "[1, 0]", "[" + "-" * 100_000 + "1]"]))
    with pytest.raises(UserError, match=r"numpy shortens what it prints"):
        read(cells([np.zeros(2000), np.ones(2000)]))


# --- what people do not mean as names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        ["(0, 1, 0)", "(1, 0, 1)"],
        ["array([0, 1, 0])", "array([1, 0, 1])"],
        ["tensor([0., 1., 0.])", "tensor([1., 0., 1.])"],
        ["array([0, 1, 0], dtype=int8)", "array([1, 0, 1], dtype=int8)"],
    ],
)
def test_vectors_in_other_brackets_are_several_labels(written):
    labels, (values,) = read(cells(written * 4))
    assert labels.problem == MULTI
    assert values[:2] == [[0, 1, 0], [1, 0, 1]]


def test_sets_and_tuples_of_names_are_several_labels():
    labels, (values,) = read(cells(["{'b', 'a'}", "set()", "{'b'}", "('a',)"]))
    assert labels.problem == MULTI
    assert labels.names == ("a", "b")
    assert values == [[1, 1], [0, 0], [0, 1], [1, 0]]


def test_names_in_parentheses_stay_names():
    labels, _ = read(cells(["(laughs)", "(cries)"]))
    assert labels.problem == SINGLE
    assert labels.names == ("(cries)", "(laughs)")


@pytest.mark.parametrize("end", ["\ufeff", "\u200b", "\u2060 ", "\u00a0\u200b"])
def test_names_that_differ_by_what_has_no_width_are_one(end):
    labels, (values,) = read(cells(["good", "bad", f"good{end}", f"{end}bad"]))
    assert labels.names == ("bad", "good")
    assert values == [1, 0, 1, 0]
    assert "spaces" in " ".join(labels.notes)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["yes", "no", "NaN"], "'NaN' (1 row), which often stands for no label"),
        (["yes", "None", "None"], "'None' (2 rows), which often stands for no label"),
        (["1,5", "2,5"], "numbers such as '1,5'"),
        (["10 %", "20 %"], "numbers such as '10 %'"),
        (["1,500", "2,500.25"], "numbers such as '1,500'"),
        (["0", "1", "-1"], "-1 in 1 of 3 rows, taken as a class; where it means no label"),
        (["a", "b", "a|b"], "joined of others by '|' ('a|b')"),
        (["a", "b", "b; a"], "joined of others by ';' ('b; a')"),
        (["a;x", "b;x", "a", "b;a"], "joined of others by ';' ('a;x', 'b;x', 'b;a')"),
    ],
)
def test_names_that_are_hardly_meant_as_such_are_told(written, told):
    labels, _ = read(cells(written))
    assert labels.problem == SINGLE
    assert told in " ".join(labels.notes)


def test_plain_names_are_told_nothing_of():
    for names in (
        ["none", "some"],
        ["1", "2", "5"],
        ["-1", "1"],
        ["and/or", "and", "not"],
        ["2020-01-01", "2021-01-01"],
    ):
        assert not read(cells(names))[0].notes


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([3.5, 3.5, 3.5], "a single value, 3.5"),
        ([1e300, 2.0, 3.0], r"single precision cannot hold \(row 1\)"),
        ([2459000.5, 2459000.6, 2459000.7], "closer together than single precision"),  # julian dates: steps of .25
        ([1e12, 1e12 + 0.001], "closer together than single precision"),
    ],
)
def test_values_that_a_network_cannot_learn_are_refused(values, told):
    with pytest.raises(UserError, match=told):
        read(typed(values))
    with pytest.raises(UserError, match=told):
        read(cells([*map(repr, values)]))


def test_values_far_from_0_that_single_precision_tells_apart_are_learnt_and_any_are_judged():
    values = [1.7e12 + day * 8.64e7 + 0.5 for day in range(30)]  # milliseconds since 1970
    assert read(typed(values))[1] == [values]
    assert read(typed(values), typed([3.5, 3.5]))[1][1] == [3.5, 3.5]
    assert read(typed([3.5, 3.5]), learns=False)[1] == [[3.5, 3.5]]
