"""From a request to splits: sources, columns, shares, subsets, fingerprints, and each mistake before anything slow."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from logitmix_hf.builtin.tasks import generate
from logitmix_hf.data.rows import Columns
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE
from logitmix_hf.text import sources
from logitmix_hf.text.data import TextRequest, check_data, load_text_data
from logitmix_hf.text.tasks import TASKS


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def train_csv(tmp_path):
    """60 rows: two thirds "yes", one third "no"; every text tells its row."""
    labels = ["yes", "no", "yes"] * 20
    return write(tmp_path / "train.csv", text=[f"text {i}" for i in range(60)], label=labels)


def test_a_share_of_train_is_held_out_and_told(train_csv):
    data = load_text_data(TextRequest(train_file=train_csv, validation_share=0.2, seed=3))
    assert (data.problem, data.label_names, data.columns) == (SINGLE, ("no", "yes"), ("text",))
    assert (data.name, data.source, data.kind, data.metrics) == ("train", "train.csv", "file", ("accuracy",))
    assert data.validation_note == "a stratified 0.2 share of train (12 rows), seed 3"
    held = data.validation["validation"]
    assert np.bincount(held["labels"][:]).tolist() == [4, 8]
    assert np.bincount(data.train["labels"][:]).tolist() == [16, 32]
    for split in (data.train, held):  # a row's number is the one in the file
        assert [f"text {i}" for i in split["idx"]] == split["text"][:]
        assert [["yes", "no", "yes"][i % 3] for i in split["idx"]] == [data.label_names[y] for y in split["labels"]]
    assert sorted([*data.train["idx"], *held["idx"]]) == list(range(60))
    assert load_text_data(TextRequest(train_file=train_csv, validation_share=0)).validation == {}


def test_a_validation_file_leaves_train_whole(train_csv, tmp_path):
    dev = write(tmp_path / "dev.csv", label=["no", "yes"], text=["a", "b"])
    data = load_text_data(TextRequest(train_file=train_csv, validation_file=dev))
    assert len(data.train) == 60
    assert data.validation["validation"]["labels"][:] == [0, 1]
    assert data.validation_note == "the file dev.csv"


def test_a_share_of_train_in_the_place_of_the_validation_data(train_csv, tmp_path):
    dev = write(tmp_path / "dev.csv", label=["no", "yes"], text=["a", "b"])
    data = load_text_data(TextRequest(train_file=train_csv, validation_file=dev, hold_out=0.2, seed=3))
    held = data.validation["validation"]
    assert (len(data.train), len(held), data.judged[0].source) == (48, 12, "held out of train")
    assert sorted([*data.train["idx"], *held["idx"]]) == list(range(60))
    with pytest.raises(UserError, match="--hold_out 0.2 is in the place of validation data, and there are none"):
        load_text_data(TextRequest(train_file=train_csv, hold_out=0.2))


def test_files_of_different_kinds_go_together(train_csv, tmp_path):
    dev, test = tmp_path / "dev.jsonl", tmp_path / "test.tsv"
    dev.write_text(json.dumps({"text": "a", "label": "yes"}) + "\n")
    test.write_text("text\nb\nc\n")
    data = load_text_data(TextRequest(train_file=train_csv, validation_file=dev, test_file=test, need_test=True))
    assert data.test["test"].column_names == ["text", "idx"]  # no labels: they are unknown
    assert data.validation["validation"][0] == {"text": "a", "labels": 1, "idx": 0}


def test_labels_of_a_test_file_are_kept_when_complete(train_csv, tmp_path):
    whole = write(tmp_path / "whole.csv", text=["a", "b"], label=["no", "yes"])
    part = write(tmp_path / "part.csv", text=["a", "b"], label=["no", None])
    read = lambda path: load_text_data(TextRequest(train_file=train_csv, test_file=path, need_test=True)).test["test"]  # noqa: E731
    assert read(whole)["labels"][:] == [0, 1]
    assert "labels" not in read(part).column_names


def test_problems_decide_the_type_of_labels(tmp_path):
    texts = [f"t{i}" for i in range(20)]
    several = tmp_path / "several.jsonl"
    rows = [{"text": text, "labels": ["a", "b"] if i % 2 else ["b"]} for i, text in enumerate(texts)]
    several.write_text("".join(json.dumps(row) + "\n" for row in rows))
    multi = load_text_data(TextRequest(train_file=several))
    assert (multi.problem, multi.label_names, multi.metrics[0]) == (MULTI, ("a", "b"), "f1_micro")
    assert sorted(map(tuple, multi.train["labels"])) == [(0.0, 1.0)] * 9 + [(1.0, 1.0)] * 9
    real = load_text_data(TextRequest(train_file=write(tmp_path / "real.csv", text=texts, label=np.arange(20) / 4)))
    assert (real.problem, real.label_names) == (REGRESSION, ())
    assert [y * 4 for y in real.train["labels"]] == real.train["idx"][:]
    assert "a random 0.1 share" in real.validation_note
    forced = load_text_data(
        TextRequest(train_file=write(tmp_path / "int.csv", text=texts, label=range(20)), regression=True)
    )
    assert forced.problem == REGRESSION


def test_columns_are_found_when_one_or_two_hold_texts(tmp_path):
    n = range(20)
    columns = {"id": n, "a": [f"a{i}" for i in n], "y": ["p", "q"] * 10, "b": [f"b{i}" for i in n], "score": [0.5] * 20}
    pair = write(tmp_path / "pair.csv", **columns)
    assert load_text_data(TextRequest(train_file=pair, label_column="y")).columns == ("a", "b")
    assert load_text_data(TextRequest(train_file=pair, label_column="y", text_columns=("b",))).columns == ("b",)
    assert load_text_data(TextRequest(train_file=pair, label_column="y", text_columns=("b", "a"))).columns == ("b", "a")
    # a column of numbers is a text when it is asked for
    assert load_text_data(TextRequest(train_file=pair, label_column="y", text_columns=("id",))).train["id"][0] == "0"
    with pytest.raises(UserError, match=r"3 columns of texts beside the label 'score'.*Columns: 'id', 'a', 'y', 'b'"):
        load_text_data(TextRequest(train_file=pair, label_column="score"))


def test_subsets(train_csv, tmp_path):
    dev = write(tmp_path / "dev.csv", text=[f"d{i}" for i in range(9)], label=["no", "yes", "no"] * 3)
    read = lambda **kw: load_text_data(TextRequest(train_file=train_csv, validation_file=dev, **kw))  # noqa: E731
    some = read(max_train_samples=10, max_eval_samples=4, seed=1)
    assert some.validation["validation"]["text"][:] == ["d0", "d1", "d2", "d3"]
    chosen = some.train["idx"][:]
    assert len(set(chosen)) == 10
    assert chosen != sorted(chosen)
    assert [f"text {i}" for i in chosen] == some.train["text"][:]
    assert read(max_train_samples=10, seed=1).train["idx"][:] == chosen
    assert read(max_train_samples=10, seed=2).train["idx"][:] != chosen
    assert read(max_train_samples=5, seed=1).train["idx"][:] == chosen[:5]
    assert len(read(max_train_samples=10_000).train) == 60


def test_the_fingerprint_follows_content_not_place(train_csv, tmp_path):
    frame = pd.read_csv(train_csv)
    (tmp_path / "elsewhere").mkdir()
    frame.to_parquet(tmp_path / "elsewhere" / "other.parquet")
    first = load_text_data(TextRequest(train_file=train_csv))
    second = load_text_data(TextRequest(train_file=tmp_path / "elsewhere" / "other.parquet"))
    assert first.fingerprint == second.fingerprint
    assert first.train._fingerprint == second.train._fingerprint
    frame.loc[7, "text"] += "!"
    frame.to_csv(train_csv, index=False)
    assert load_text_data(TextRequest(train_file=train_csv)).fingerprint != first.fingerprint
    assert (
        load_text_data(TextRequest(train_file=tmp_path / "elsewhere" / "other.parquet", seed=1)).fingerprint
        != first.fingerprint
    )


def test_generated_tasks_come_with_their_posterior():
    for name in ("rte", "stsb"):
        data, raw = (
            load_text_data(TextRequest(task=name, dataset_name="builtin", need_test=True)),
            generate(name, "validation"),
        )
        assert (data.columns, data.label_names) == (TASKS[name].columns, TASKS[name].label_names)
        assert (data.kind, data.source, data.metrics) == ("builtin", "builtin", TASKS[name].metrics)
        split = data.validation["validation"]
        assert split["posterior"][:] == raw["posterior"]
        assert split["labels"][:] == raw["label"]
        assert "labels" in data.test["test"].column_names


def test_renumbering_keeps_what_is_said():
    data = load_text_data(TextRequest(task="rte", dataset_name="builtin"))
    other = data.relabelled(["not_entailment", "entailment"], [1, 0])
    assert data.relabelled(data.label_names, [0, 1]) == data
    for row, changed in zip(data.train, other.train, strict=True):
        assert data.label_names[row["labels"]] == other.label_names[changed["labels"]]
        assert row["posterior"] == changed["posterior"][::-1]
        assert row["sentence1"] == changed["sentence1"]
    assert other.train._fingerprint != data.train._fingerprint


def test_renumbering_three_classes_and_several_labels(tmp_path):
    path = tmp_path / "a.jsonl"
    for labels in (["a", "b", "c", "b"] * 5, [["a"], ["b", "c"], ["c"], []] * 5):
        rows = [{"text": "t", "label": label} for label in labels]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        made = load_text_data(TextRequest(train_file=path)).relabelled(["c", "a", "b"], [1, 2, 0]).train
        for row in made:
            chosen = np.flatnonzero(row["labels"]) if isinstance(row["labels"], list) else [row["labels"]]
            wanted = labels[row["idx"]]
            assert [["c", "a", "b"][i] for i in chosen] == sorted(wanted, key="cab".index)


def test_only_a_validation_file(train_csv):
    data = load_text_data(TextRequest(validation_file=train_csv, known_labels=["yes", "no", "other"]))
    assert data.train is None
    assert data.label_names == ("yes", "no", "other")
    assert data.validation["validation"]["labels"][:3] == [0, 1, 0]


def fake_glue(folder, task, splits, labels, rows=4):
    """A folder in the layout of ``nyu-mll/glue``, without its README; test labels are -1 as there."""
    (folder / task.name).mkdir(parents=True)
    kind = Value("float32") if task.regression else ClassLabel(names=list(task.label_names))
    features = Features({**{name: Value("string") for name in task.columns}, "label": kind, "idx": Value("int32")})
    for split in splits:
        made = {name: [f"{name} {split} {i}" for i in range(rows)] for name in task.columns}
        made |= {"label": [-1] * rows if split.startswith("test") else labels, "idx": [7] * rows}
        Dataset.from_dict(made, features=features).to_parquet(
            str(folder / task.name / f"{split}-00000-of-00001.parquet")
        )


@pytest.mark.parametrize("name", TASKS)
def test_every_task_from_a_folder_in_the_layout_of_glue(name, tmp_path):
    task = TASKS[name]
    labels = [1.5, 0.0, 5.0, 2.0] if task.regression else [1, 0, 1, len(task.label_names) - 1]
    fake_glue(tmp_path / "glue", task, [task.train, *task.validation.values(), *task.test.values()], labels)
    data = load_text_data(TextRequest(task=name, dataset_name=str(tmp_path / "glue"), need_test=True))
    assert (data.columns, data.label_names, data.metrics) == (task.columns, task.label_names, task.metrics)
    assert (data.name, data.source, data.kind) == (name, "glue", "folder")
    assert str(tmp_path) not in f"{data.source} {data.validation_note}"
    assert data.validation.keys() == task.validation.keys()
    assert data.test.keys() == task.test.keys()
    for split in (data.train, *data.validation.values()):
        assert (split["labels"][:], split["idx"][:]) == (labels, [0, 1, 2, 3])
    for split in data.test.values():
        assert split.column_names == [*task.columns, "idx"]
    assert data.problem == (REGRESSION if task.regression else SINGLE)


def test_a_task_without_its_test_split(tmp_path):
    fake_glue(tmp_path / "glue", TASKS["mnli"], ["train", *TASKS["mnli"].validation.values()], [0, 1, 2, 0])
    assert load_text_data(TextRequest(task="mnli", dataset_name=str(tmp_path / "glue"))).test == {}
    with pytest.raises(UserError, match="no split 'test_matched' for the task mnli; it has 'train', 'validation_"):
        load_text_data(TextRequest(task="mnli", dataset_name=str(tmp_path / "glue"), need_test=True))


@pytest.mark.parametrize(
    ("names", "taken", "note"),
    [
        ("train test", ["validation"], "a stratified 0.2 share of train (4 rows), seed 42"),
        ("train test dev", ["validation"], "the split dev"),
        ("train dev validation val", ["validation"], "the split validation"),
        ("train dev valid val", ["validation"], "the split valid"),
        ("train val", ["validation"], "the split val"),
        ("train validation_a validation_b", ["validation_a", "validation_b"], "the splits validation_a, validation_b"),
    ],
)
def test_a_test_split_is_never_used_for_validation(names, taken, note, tmp_path, monkeypatch):
    def raw(name):
        rows = {"text": [f"{name} {i}" for i in range(20)], "label": ["a", "b"] * 10}
        return Columns(f"split {name}", pa.table(rows))

    monkeypatch.setattr(sources, "load_splits", lambda *_: {name: raw(name) for name in names.split()})
    data = load_text_data(TextRequest(dataset_name=str(tmp_path), validation_share=0.2))
    assert (list(data.validation), data.validation_note) == (taken, note)
    source = {text.split()[0] for split in data.validation.values() for text in split["text"]}
    assert source == {"train"} if "share" in note else source == set(note.split(" ", 2)[2].split(", "))
    assert "test" not in source


NOTHING = r"No data was given: take a GLUE task \(--task rte\), your own file"
MISTAKES = [
    ({}, NOTHING),
    ({"dataset_name": None}, NOTHING),
    ({"task": "rta"}, "No task is called 'rta'. Did you mean 'rte'"),
    ({"task": "rte", "train_file": "CSV"}, "--task rte and --train_file .*train.csv were both given"),
    ({"dataset_name": "org/x", "train_file": "CSV"}, "--dataset_name org/x and --train_file .* were both given"),
    ({"dataset_name": "builtin"}, "--dataset_name builtin needs a --task: rte, cola, sst2, stsb"),
    ({"dataset_name": "builtin", "task": "mnli"}, "No builtin task is called 'mnli'"),
    ({"task": "rte", "text_columns": ("a",)}, "--text_columns and --task rte were both given"),
    ({"task": "rte", "label_column": "a"}, "--label_column and --task rte were both given"),
    ({"task": "rte", "regression": True}, "--regression does not fit --task rte"),
    ({"train_file": "missing.csv"}, "There is no file 'missing.csv'"),
    ({"train_file": "CSV", "validation_file": "missing.csv"}, "There is no file 'missing.csv'"),
    ({"train_file": "CSV", "text_columns": ("a", "b", "c")}, "takes one column or two joined by a comma, got 'a,b,c'"),
    ({"train_file": "CSV", "text_columns": ("a", "")}, "takes one column or two"),
    ({"train_file": "CSV", "text_columns": ("a", "a")}, "takes one column or two"),
    ({"train_file": "CSV", "text_columns": ("a",), "label_column": "a"}, "'a' is also one of the text columns"),
    ({"train_file": "CSV", "validation_share": 1.5}, "validation_share must be a number"),
    ({"train_file": "CSV", "max_train_samples": 0}, "max_train_samples must be a number at least 1, got 0"),
    ({"train_file": "CSV", "max_eval_samples": 2.5}, "max_eval_samples must be a whole number"),
    ({"train_file": "CSV", "need_test": True}, "need a --test_file"),
    ({"dataset_name": "./nowhere"}, "There is no folder './nowhere'"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_told_before_anything_is_read(arguments, message, train_csv):
    given = {key: train_csv if value == "CSV" else value for key, value in arguments.items()}
    for function in (check_data, load_text_data):
        with pytest.raises(UserError, match=message) as caught:
            function(TextRequest(**given))
        assert "\n" not in str(caught.value)


CONTENT = [
    ("text,label\na,x\n,y\n,x\n", {}, r"2 of 3 rows have no text in column 'text' \(rows 2, 3\).*written \"\""),
    ("text,label\na,x\nb,\nc,y\n", {}, r"1 of 3 rows have no label in column 'label' \(row 2\)"),
    ("text,label\na,x\nb,x\n", {}, "a single class, 'x'"),
    ("text,label\na,1.5\nb,x\n", {}, "more than one kind of label"),
    ("text,y\na,1\nb,2\n", {}, "has no column 'label'. Columns: 'text', 'y'. See --label_column"),
    ("text,y\na,p\nb,p\nc,q\nd,q\n", {}, r"See --label_column. Did you mean --label_column y\?"),
    ("text,y,z\na,1,0\nb,1,0\nc,0,1\nd,0,1\n", {}, r"one column of lists, as \[1, 0, 1\]; here may be meant 'y', 'z'"),
    ("text,y,z\na,1,0\n", {"label_column": "y,z"}, r"no column 'y,z'.*one column of lists.*may be meant 'y', 'z'"),
    ("text,label\na,1\nb,2\n", {"label_column": "lable"}, "no column 'lable'. Did you mean 'label'"),
    ("text,label\na,1\nb,2\n", {"text_columns": ("txt",)}, "no column 'txt'. Did you mean 'text'"),
    ("n,label\n1,1\n2,2\n", {}, "0 columns of texts beside the label"),
    ("idx,label\na,1\nb,2\n", {"text_columns": ("idx",)}, "may not be called 'idx'"),
]


@pytest.mark.parametrize(("content", "arguments", "message"), CONTENT)
def test_mistakes_in_a_file(content, arguments, message, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load_text_data(TextRequest(train_file=tmp_path / "a.csv", **arguments))
    assert "\n" not in str(caught.value)


def test_a_validation_label_that_train_never_had(train_csv, tmp_path):
    dev = write(tmp_path / "dev.csv", text=["a", "b"], label=["no", "maybe"])
    with pytest.raises(UserError, match=r"dev.csv has the label 'maybe' \(row 2\).*labels there: 'no', 'yes'"):
        load_text_data(TextRequest(train_file=train_csv, validation_file=dev))


def test_a_text_column_of_numbers_or_of_both(tmp_path):
    path = tmp_path / "a.jsonl"
    for values, message in (([1, 2], "holds int64, not texts"), (["a", 2], "more than one kind of value")):
        path.write_text("".join(json.dumps({"text": v, "label": i}) + "\n" for i, v in enumerate(values)))
        with pytest.raises(UserError, match=message):
            load_text_data(TextRequest(train_file=path, text_columns=("text",)))


@pytest.mark.parametrize(("last", "told"), [("", 1), ("up", 0)])
def test_a_test_file_of_which_one_row_has_no_label_says_why_it_is_not_scored(tmp_path, last, told):
    head = "text,label\n"
    (tmp_path / "train.csv").write_text(head + "fine,up\nbad,down\n" * 20)
    (tmp_path / "test.csv").write_text(head + f"fine,up\nbad,down\npoor,{last}\n")
    request = TextRequest(train_file=tmp_path / "train.csv", test_file=tmp_path / "test.csv", need_test=True)
    data = load_text_data(request)
    assert ["1 of 3 rows have no label (row 3), so that none is judged" in note for note in data.notes] == [True] * told
    assert ("labels" in data.test["test"].column_names) == (not told)
