"""Every kind of file read back as other libraries wrote it, and every mistake by its message."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from pyarrow import parquet as arrow_parquet

from logitmix_hf.data.rows import SUFFIXES, read_columns
from logitmix_hf.errors import UserError, listed


def write_cells(delimiter):
    """Arrow's writer, because the one of pandas writes a missing value and an empty text alike."""
    options = arrow_csv.WriteOptions(delimiter=delimiter)
    return lambda frame, path: arrow_csv.write_csv(pa.Table.from_pandas(frame), path, options)


WRITERS = {
    ".csv": write_cells(","),
    ".tsv": write_cells("\t"),
    ".json": lambda frame, path: frame.to_json(path, orient="records"),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    ".ndjson": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    ".parquet": lambda frame, path: frame.to_parquet(path),
}
# what files carry faithfully: no surrogates, no NUL (a sign of a binary file), no bare carriage return (a line's end)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=12)


def test_every_kind_has_a_writer_here():
    assert WRITERS.keys() == SUFFIXES.keys() - {".txt"}


@pytest.mark.parametrize("suffix", WRITERS)
@settings(deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=6))
def test_texts_come_back_as_other_libraries_wrote_them(tmp_path_factory, suffix, texts):
    """Commas, quotes, tabs, line ends, "NA" and empty texts included."""
    path = tmp_path_factory.mktemp("f") / f"data{suffix}"
    frame = pd.DataFrame({"text": texts, "label": ["NA", "None", "null", "a,b", '"', "x"][: len(texts)]})
    WRITERS[suffix](frame, path)
    split = read_columns(path)
    assert split.names == ["text", "label"]
    assert split.values("text") == texts
    assert split.values("label") == list(frame["label"])


@pytest.mark.parametrize("suffix", WRITERS)
def test_missing_values_come_back_as_none_and_empty_texts_as_texts(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    WRITERS[suffix](pd.DataFrame({"text": ["a", None, ""], "label": ["x", "y", None]}), path)
    split = read_columns(path)
    assert split.values("text") == ["a", None, ""]
    assert split.values("label") == ["x", "y", None]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_types_are_kept_where_the_format_has_them(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, 2.25], "b": [True, False], "several": [["u", "v"], []]})
    WRITERS[suffix](frame, path)
    split = read_columns(path)
    assert [split.values(name) for name in ("n", "x", "b")] == [[1, 2], [0.5, 2.25], [True, False]]
    assert split.values("several") == [["u", "v"], []]
    assert isinstance(split.values("b")[0], bool)


def test_json_lines_under_the_name_json(tmp_path):
    path = tmp_path / "data.json"
    path.write_text('{"text": "a", "label": 1}\n\n{"text": "b", "label": 2}\n')
    assert read_columns(path).values("text") == ["a", "b"]


def test_a_json_column_of_several_kinds_is_kept_as_it_is(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"text": "t", "label": label}) + "\n" for label in (1, "a", True, None)))
    split = read_columns(path)
    assert split.values("label") == [1, "a", True, None]
    assert split.names == ["text", "label"]


def test_a_key_that_a_row_leaves_out_is_missing_there(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "label": "x"}\n')
    assert read_columns(path).values("label") == [None, "x"]


def test_class_names_of_a_parquet_file_of_datasets(tmp_path):
    path = tmp_path / "data.parquet"
    features = Features({"text": Value("string"), "label": ClassLabel(names=["zebra", "ant"])})
    Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features).to_parquet(str(path))
    split = read_columns(path)
    assert split.class_names == {"label": ("zebra", "ant")}
    assert split.values("label") == ["ant", "zebra", None]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    for name, text in (("a.csv", "text,label\nx,y\n"), ("a.jsonl", '{"text": "x", "label": "y"}\n')):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert read_columns(tmp_path / name).names == ["text", "label"]


MISTAKES = {
    "empty.csv": (b"", "is empty"),
    "blank.tsv": (b" \n\n", "is empty"),
    "empty.parquet": (b"", "is empty"),
    "header.csv": (b"text,label\n", "columns but no rows"),
    "header.tsv": (b"text\tlabel\n", "columns but no rows"),
    "none.json": (b"[]", "is empty"),
    "binary.csv": (b"\x89PNG\r\n\0\0\0", "is binary"),
    "utf16.csv": ("text,label\na,b\n".encode("utf-16-le"), "is binary.*UTF-16 without the mark"),
    "latin.csv": (
        "text,label\ncaf\xe9,b\n".encode("latin-1"),
        r"row 1: column 'text' is not UTF-8 \(byte 0xe9; .*iconv",
    ),
    "latin.jsonl": ('{"text": "caf\xe9"}\n'.encode("latin-1"), "is not UTF-8"),
    "data.xlsx": (b"PK\3\4", "no known kind.*[.]csv.*[.]parquet"),
    "excel.csv": (b"PK\3\4", "a zip archive or an Excel workbook"),
    "lines.txt": (b"a\nb\n", "without labels"),
    "rows.csv.gz": (b"\x1f\x8b", "is damaged: Compressed file ended"),
    "noext": (b"a", "no known kind"),
    "ragged.csv": (b"text,label\na,b\nc\n", r"row 2 \(line 3\): 1 cells where the header has 2"),
    "twice.csv": (b"text,text\na,b\n", "more than one column called 'text'"),
    "broken.json": (b'[{"text": 1},', "is no JSON: Expecting value: line 1"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', r"row 2 \(line 2\): no JSON"),
    "scalars.json": (b"[1, 2]", "must hold objects"),
    "broken.parquet": (b"not parquet", "cannot be read as parquet"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_files_that_cannot_be_used(tmp_path, name):
    content, message = MISTAKES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_columns(tmp_path / name).values("text")
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "train.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=r"no file .*trian\.csv'\. Did you mean 'train\.csv'"):
        read_columns(tmp_path / "trian.csv")
    with pytest.raises(UserError, match="is a folder"):
        read_columns(tmp_path)


def test_a_missing_column_names_those_that_exist(tmp_path):
    (tmp_path / "a.csv").write_text("sentence,label\nx,y\n")
    split = read_columns(tmp_path / "a.csv")
    with pytest.raises(
        UserError, match=r"no column 'sentense'\. Did you mean 'sentence'\? Columns: 'sentence', 'label'"
    ):
        split.require("sentense", "text_columns")
    (tmp_path / "b.csv").write_text("sentence;label|stars\nx;y\n")
    with pytest.raises(UserError, match="separated by something else"):
        read_columns(tmp_path / "b.csv").require("label", "label_column")


def test_lists_in_messages_stay_short():
    assert listed(["a" * 100, "b"]) == repr("a" * 37 + "…") + ", 'b'"
    assert listed(range(30), most=2) == "'0', '1' and 28 more"
    assert "\n" not in listed(["a\nb"])


def test_a_header_that_stands_again_is_no_row(tmp_path):
    """``cat a.csv b.csv``: else there is a class called label."""
    part = "text,label\n" + "fine,up\nbad,down\n" * 4
    (tmp_path / "both.csv").write_bytes((part + "\ufeff" + part).encode())
    with pytest.raises(UserError, match=r"both\.csv, row 9 \(line 10\): the header stands here again"):
        read_columns(tmp_path / "both.csv")


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_a_key_that_stands_twice_is_told(tmp_path, suffix):
    """Python keeps the last of them: half of the labels would be lost."""
    row = '{"text": "fine", "label": "up", "label": "down"}'
    (tmp_path / f"twice{suffix}").write_text(f"{row}\n{row}" if suffix == ".jsonl" else f"[{row}, {row}]")
    with pytest.raises(UserError, match="'label' twice"):
        read_columns(tmp_path / f"twice{suffix}")


def test_columns_of_one_name_are_told_in_every_format(tmp_path):
    names = ["text", "label", "label"]
    parquet = pa.Table.from_arrays([pa.array(["fine", "bad"])] * 3, names=names)
    arrow_parquet.write_table(parquet, tmp_path / "twice.parquet")
    (tmp_path / "twice.json").write_text(json.dumps({"columns": names, "data": [["fine", "up", "down"]]}))
    for path in (tmp_path / "twice.parquet", tmp_path / "twice.json"):
        with pytest.raises(UserError, match="more than one column called 'label'"):
            read_columns(path)
