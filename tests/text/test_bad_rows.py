"""Rows that cannot be used: refused by default, left out and listed by ``--on_bad_row skip``; numbers stay the file's."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logitmix_hf.cli import main
from logitmix_hf.errors import UserError
from logitmix_hf.text.data import TextRequest, load_text_data

GOOD = [0, 1, 3, 5, 7, 8, 9, 10, 11]  # rows of every file here, from 0; 2, 4 and 6 are bad
CSV = [f"good film {n},{'up' if n % 2 else 'down'}" for n in range(12)]
CSV[2], CSV[4], CSV[6] = "good film 2,", ",up", "good film 6,up,more"
CSV_WHY = "line 4 (no label), line 6 (no text in column 'text'), line 8 (3 cells where the header has 2)"
CSV_LINE = f"3 rows skipped: rows.csv {CSV_WHY}"


def csv(path, rows, header="text,label"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def load(path, **changes):
    return load_text_data(TextRequest(**{"train_file": path, "validation_share": 0, "on_bad_row": "skip", **changes}))


def values(rows, label):
    """Texts with numbers of 0.5 to 11.5 as labels, three of which are ``label``."""
    return [f"t{n},{label[n] if n in label else n + 0.5}" for n in range(rows)]


def jsonl(path, changes):
    rows = [{"text": f"t{n}", "label": "up" if n % 2 else "down"} for n in range(12)]
    made = [changes.get(n, row) for n, row in enumerate(rows)]
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in made))
    return path


def test_bad_rows_of_a_csv_are_refused_or_left_out_by_their_lines(tmp_path):
    path = csv(tmp_path / "rows.csv", CSV)
    with pytest.raises(UserError, match=r"rows\.csv, row 7 \(line 8\): 3 cells where the header has 2"):
        load(path, on_bad_row="stop")
    data = load(path)
    assert data.train["idx"] == GOOD
    assert [data.label_names[k] for k in data.train["labels"]] == ["up" if n % 2 else "down" for n in GOOD]
    assert data.train["text"][:] == [f"good film {n}" for n in GOOD]
    assert CSV_LINE in data.notes


def test_a_row_over_several_lines_moves_the_lines_and_not_the_rows(tmp_path):
    rows = ['"two\nlines",up', "one,", *[f"t{n},{'up' if n % 2 else 'down'}" for n in range(6)]]
    data = load(csv(tmp_path / "rows.csv", rows))
    assert data.notes == ("1 row skipped: rows.csv line 4 (no label)",)
    assert data.train["idx"] == [0, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({2: {"text": "t"}, 4: {"label": "up"}, 6: "{broken"}, ["no label", "no text", "no JSON"]),
        ({2: {"text": "t", "label": None}, 4: {"text": 5, "label": "up"}, 6: "[1]"}, ["no label", "holds no text", ""]),
        ({2: {"text": "t", "label": " "}, 4: {"text": "t", "label": {"a": 1}}, 6: {"text": "\ud83d", "label": "up"}},
         ["no label", "label is no name", "half a character"]),
        ({2: {"text": "t", "label": 3}, 4: {"text": "t", "label": "\ud83d"}, 6: {"text": None, "label": None}},
         ["label is no name", "half a character", "no text"]),
    ],
)  # fmt: skip
def test_bad_rows_of_json_lines(tmp_path, changes, why):
    data = load(jsonl(tmp_path / "rows.jsonl", changes))
    assert data.train["idx"] == GOOD
    assert data.train["text"][:] == [f"t{n}" for n in GOOD]
    assert data.label_names == ("down", "up")
    assert [row.place for row in data.left_out["train"]] == ["row 3 (line 3)", "row 5 (line 5)", "row 7 (line 7)"]
    assert all(word in row.reason for word, row in zip(why, data.left_out["train"], strict=True))


@pytest.mark.parametrize("regression", [None, True])
@pytest.mark.parametrize("label", ["nan", "-inf", "1e999", "n/a"])
def test_a_regressions_values_are_finite_numbers(tmp_path, label, regression):
    path = csv(tmp_path / "rows.csv", values(12, {2: label, 4: label, 6: ""}))
    with pytest.raises(UserError):
        load(path, on_bad_row="stop", regression=regression)
    data = load(path, regression=regression)
    assert data.problem == "regression"
    assert (data.train["idx"], data.train["labels"]) == (GOOD, [n + 0.5 for n in GOOD])
    what = "no number" if label == "n/a" else "not finite"
    assert data.notes == (
        f"3 rows skipped: rows.csv line 4 (label is {what}), line 6 (label is {what}), line 8 (no label)",
    )


def test_parquet_and_one_that_is_no_number_among_whole_ones(tmp_path):
    table = pa.table({"text": [f"t{n}" for n in range(12)], "label": [np.inf if n == 3 else n / 2 for n in range(12)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    data = load(tmp_path / "rows.parquet")
    assert data.notes == ("1 row skipped: rows.parquet row 4 (label is not finite)",)
    codes = csv(tmp_path / "codes.csv", [f"t{n},{'nan' if n == 3 else n % 2}" for n in range(12)])
    assert load(codes).label_names == ("0", "1")
    names = csv(tmp_path / "names.csv", [f"t{n},{'nan' if n == 3 else 'ab'[n % 2]}" for n in range(12)])
    assert load(names).label_names == ("a", "b", "nan")  # a class among names, as without the flag
    cells = ["[oh, no]" if n == 3 else f"[{n % 2}, 1]" for n in range(12)]
    lists = csv(tmp_path / "lists.csv", [f't{n},"{cell}"' for n, cell in enumerate(cells)])
    assert load(lists).notes == ("1 row skipped: lists.csv line 5 (label is no list)",)


def test_each_split_is_looked_through_but_test_files(tmp_path):
    train, dev, own = (csv(tmp_path / f"{name}.csv", CSV) for name in ("rows", "dev", "own"))
    test = csv(tmp_path / "test.csv", ["a,up", "b,", "c,down"])
    request = {"validation_file": dev, "calibration_file": own, "test_file": test, "need_test": True}
    data = load(train, **request)
    assert [split["idx"] for split in (data.train, data.validation["validation"], data.calibration)] == [GOOD] * 3
    assert data.left_out.keys() == {"train", "validation", "calibration"}
    assert data.test["test"].column_names == ["text", "idx"]
    assert len(data.test["test"]) == 3
    csv(test, ["a,up", ",up"])
    with pytest.raises(UserError, match=r"test\.csv: 1 of 2 rows have no text"):
        load(train, **request)


def test_half_is_left_out_and_more_is_refused(tmp_path):
    rows = [f"t{n},{'' if n < 6 else 'ab'[n % 2]}" for n in range(12)]
    told = "line 2 (no label), line 3 (no label), line 4 (no label), line 5 (no label), line 6 (no label)"
    assert load(csv(tmp_path / "rows.csv", rows)).notes == (f"6 rows skipped: rows.csv {told}, and 1 more",)
    rows[6] = "t6,"
    with pytest.raises(
        UserError, match=r"rows\.csv: 7 of 12 rows cannot be used.*line 2 \(no label\).* and 2 more"
    ) as caught:
        load(csv(tmp_path / "rows.csv", rows))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"has no column 'labl'"):
        load(tmp_path / "rows.csv", label_column="labl")
    with pytest.raises(UserError, match="on_bad_row"):
        load(tmp_path / "rows.csv", on_bad_row="drop")


def test_a_run_predicts_and_lists_by_the_files_numbers_and_a_check_counts_alike(tmp_path, tiny_model, capfd):
    csv(tmp_path / "rows.csv", CSV)
    path, out = str(tmp_path / "rows.csv"), tmp_path / "out"
    argv = ["--train_file", path, "--validation_file", path, "--on_bad_row", "skip"]
    training = [
        "--model",
        str(tiny_model),
        "--max_length",
        "16",
        "--max_steps",
        "1",
        "--use_cpu",
        "true",
        "--disable_tqdm",
        "true",
    ]
    assert main(["glue", *argv, *training, "--method", "vanilla", "--output_dir", str(out)]) == 0
    assert CSV_LINE in capfd.readouterr().err
    assert pq.read_table(out / "predictions" / "validation.parquet")["idx"].to_pylist() == GOOD
    assert main(["check", *argv, "--output", str(tmp_path / "facts.json")]) == 0
    assert CSV_LINE in capfd.readouterr().out
    listed = json.loads((out / "data.json").read_text())["left_out"]
    assert listed == json.loads((tmp_path / "facts.json").read_text())["left_out"]
    assert listed[0] == {"split": "train", "place": "row 3 (line 4)", "reason": "no label"}
    assert [row["split"] for row in listed] == ["train"] * 3 + ["validation"] * 3
