"""Predictions: what fits into them, what does not, and a file that says it all again."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import METRICS, MULTI, REGRESSION, SINGLE, Predictions, evaluate_predictions


def make(problem=SINGLE, rows=20, classes=3, seed=0, posterior=False, labels=True, members=None):
    rng = np.random.default_rng(seed)
    classes = 1 if problem == REGRESSION else classes
    shape = (rows, classes)
    truth = {
        SINGLE: lambda: rng.integers(classes, size=rows),
        MULTI: lambda: rng.integers(2, size=shape),
        REGRESSION: lambda: rng.normal(size=rows),
    }[problem]()
    q = {SINGLE: lambda: rng.dirichlet(np.ones(classes), rows), MULTI: lambda: rng.random(shape)}
    return Predictions(
        logits=(rng.normal(size=shape) * 3).astype(np.float32),
        labels=truth if labels else None,
        label_names=() if problem == REGRESSION else tuple(f"name {c}, “é”" for c in range(classes)),
        problem=problem,
        idx=rng.permutation(1000)[:rows],
        posterior=q.get(problem, lambda: rng.random(shape))() if posterior else None,
        members=None if members is None else rng.normal(size=(rows, members, classes)),
    )


def assert_equal(a: Predictions, b: Predictions):
    for name in ("logits", "labels", "idx", "posterior", "members"):
        left, right = getattr(a, name), getattr(b, name)
        if left is None or right is None:
            assert left is right, name
        else:
            assert left.dtype == right.dtype, name
            assert np.array_equal(left, right), name
    assert (a.label_names, a.problem) == (b.label_names, b.problem)


@given(
    st.sampled_from([SINGLE, MULTI, REGRESSION]),
    st.integers(2, 12),
    st.integers(2, 4),
    st.integers(0, 2**31),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 1, 2, 5]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_file_alone_gives_every_number_again(tmp_path, problem, rows, classes, seed, posterior, labels, members):
    p = make(problem, rows, classes, seed, posterior, labels, members)
    path = tmp_path / "deeper" / "validation.parquet"
    p.save(path)
    again = Predictions.load(path)
    assert_equal(p, again)
    assert os.listdir(path.parent) == ["validation.parquet"]  # nothing temporary is left
    if labels:
        metrics = [name for name in METRICS[problem] if name != "f1" or classes == 2]
        assert evaluate_predictions(again, metrics) == pytest.approx(
            evaluate_predictions(p, metrics), abs=0, nan_ok=True
        )


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
@pytest.mark.parametrize("posterior", [False, True])
def test_other_tools_read_the_columns(tmp_path, problem, posterior):
    pq = pytest.importorskip("pyarrow.parquet")
    p = make(problem, posterior=posterior)
    p.save(tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == ["idx", "label", "prediction", "logits"] + ["posterior"] * posterior
    assert table["idx"].to_pylist() == p.idx.tolist()
    assert table["label"].to_pylist() == p.labels.tolist()
    assert table["prediction"].to_pylist() == p.predictions.tolist()
    assert str(table.schema.field("logits").type).startswith("list<")
    assert str(table.schema.field("logits").type.value_type) == "float"
    assert np.array_equal(np.array(table["logits"].to_pylist(), dtype=np.float32), p.logits)


def test_other_tools_read_the_members(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    p = make(rows=7, classes=4, members=3)
    p.save(tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names[-1] == "members"
    assert np.array_equal(np.array(table["members"].to_pylist(), np.float32), p.members)


def test_members_with_one_output_get_the_two_columns_of_their_logits():
    p = Predictions(logits=[2.0, -1.0], labels=[1, 0], members=[[[3.0], [1.0]], [[-2.0], [0.0]]])
    assert p.logits.tolist() == [[0, 2], [0, -1]]
    assert p.members.tolist() == [[[0, 3], [0, 1]], [[0, -2], [0, 0]]]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (np.zeros((4, 3)), r"members must have the shape \(rows, members, classes\), got \(4, 3\)"),
        (np.zeros((4, 0, 3)), r"members must have the shape"),
        (np.zeros((4, 2, 2)), r"members must have the shape \(4, 2, 3\)"),
        (np.zeros((3, 2, 3)), r"members must have the shape \(4, 2, 3\)"),
        (np.full((4, 2, 3), np.nan), "members"),
    ],
)
def test_members_that_do_not_fit_the_logits(members, message):
    with pytest.raises(UserError, match=message):
        Predictions(logits=np.zeros((4, 3)), labels=None, members=members)


def test_unknown_labels_are_null(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    make(labels=False, rows=3).save(tmp_path / "test.parquet")
    assert pq.read_table(tmp_path / "test.parquet")["label"].to_pylist() == [None] * 3


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
def test_no_rows_can_be_stored_but_not_scored(tmp_path, problem):
    empty = make(problem, rows=0, labels=False)
    empty.save(tmp_path / "p.parquet")
    assert_equal(empty, Predictions.load(tmp_path / "p.parquet"))
    shape = (0, 3) if problem == MULTI else (0,)
    with pytest.raises(UserError, match="no rows"):
        evaluate_predictions(Predictions(np.zeros((0, empty.logits.shape[1])), np.zeros(shape), problem=problem))


def test_a_failed_save_leaves_the_last_good_file(tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "validation.parquet"
    first = make(seed=1)
    first.save(path)

    def disk_full(table, where, **_):
        where.write_bytes(b"PAR1 half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", disk_full)
    with pytest.raises(OSError, match="No space"):
        make(seed=2).save(path)
    assert_equal(first, Predictions.load(path))
    assert os.listdir(tmp_path) == ["validation.parquet"]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path):
    """The new file takes the old one's place; it is never written over it, where a crash would leave a half."""
    path = tmp_path / "validation.parquet"
    make(seed=1).save(path)
    os.link(path, tmp_path / "old.parquet")
    make(seed=2).save(path)
    assert_equal(make(seed=1), Predictions.load(tmp_path / "old.parquet"))
    assert_equal(make(seed=2), Predictions.load(path))


def test_the_file_obeys_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        make().save(tmp_path / "p.parquet")
    finally:
        os.umask(before)
    assert (tmp_path / "p.parquet").stat().st_mode & 0o777 == 0o644


def test_probabilities_and_predictions_by_hand():
    single = Predictions(np.array([[0.0, math.log(3)], [1.0, 1.0]]), np.array([1, 0]))
    assert single.probabilities == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]), abs=1e-7)
    assert single.predictions.tolist() == [1, 0]  # of equals the first
    assert single.idx.tolist() == [0, 1]
    multi = Predictions(np.array([[0.0, math.log(3)], [-1.0, 1.0]]), np.array([[0, 1], [1, 1]]), problem=MULTI)
    assert multi.probabilities[0] == pytest.approx([0.5, 0.75], abs=1e-7)
    assert multi.predictions.tolist() == [[0, 1], [0, 1]]
    regression = Predictions(np.array([1.5, -2.0]), np.array([1, -2]), problem=REGRESSION)
    assert regression.predictions.tolist() == [1.5, -2.0]
    assert regression.logits.shape == (2, 1)
    with pytest.raises(UserError, match="no probabilities"):
        _ = regression.probabilities


def test_a_binary_model_with_one_output_becomes_two_columns():
    p = Predictions(np.array([[2.0], [-1.0]]), np.array([1, 1]), label_names=("no", "yes"))
    assert p.logits.tolist() == [[0, 2], [0, -1]]
    assert p.predictions.tolist() == [1, 0]
    assert p.probabilities[:, 1] == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))])


def test_types_are_settled_when_made():
    p = Predictions(np.zeros((2, 2), np.float64), [True, False], problem=SINGLE, label_names=["a", "b"])
    assert (p.logits.dtype, p.labels.dtype, p.idx.dtype) == (np.float32, np.int64, np.int64)
    assert p.label_names == ("a", "b")
    floats = Predictions(np.zeros((1, 2)), np.array([[1.0, 0.0]], np.float32), problem=MULTI)
    assert floats.labels.tolist() == [[1, 0]]


def test_the_given_arrays_are_left_alone():
    logits, labels = np.ones((2, 2), np.float32), np.array([0, 1])
    Predictions(logits, labels)
    assert logits.tolist() == [[1, 1], [1, 1]]
    assert logits.flags.writeable


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"logits": np.zeros((2, 3, 4))}, "rows, classes"),
        ({"logits": np.array([[0.0, 1.0], [0.0, math.nan]])}, "row 1"),
        ({"logits": np.array([[0.0, 1e300], [0.0, 1.0]])}, "row 0"),
        ({"labels": np.array([0, 2])}, "row 1 is 2"),
        ({"labels": np.array([-1, 0])}, "row 0 is -1"),
        ({"labels": np.array([0.5, 0])}, r"row 0 is 0\.5"),
        ({"labels": np.array([0])}, r"\(2,\)"),
        ({"labels": np.array(["a", "b"])}, "class numbers"),
        ({"problem": "multilabel"}, "Known: multi_label_classification"),
        ({"problem": MULTI, "labels": np.array([[0, 1], [0, 2]])}, "row 1 is 2"),
        ({"problem": REGRESSION}, "one output"),
        ({"label_names": ("a", "b", "c")}, "2 label names fit"),
        ({"idx": np.arange(3)}, "idx"),
        ({"posterior": np.ones((2, 3))}, "posterior"),
    ],
)
def test_what_does_not_fit(fields, words):
    with pytest.raises(UserError, match=words):
        Predictions(**({"logits": np.zeros((2, 2)), "labels": np.array([0, 1])} | fields))


def test_files_that_are_not_predictions(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with pytest.raises(UserError, match="no predictions file"):
        Predictions.load(tmp_path / "absent.parquet")
    with pytest.raises(UserError, match="no predictions file"):
        Predictions.load(tmp_path)
    (tmp_path / "text.parquet").write_text("idx,label")
    with pytest.raises(UserError, match="not a file that"):
        Predictions.load(tmp_path / "text.parquet")
    pq.write_table(pa.table({"logits": [[1.0]]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="not a file that"):
        Predictions.load(tmp_path / "other.parquet")
