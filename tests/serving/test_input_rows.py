"""Rows of every kind of file: as the csv module and pyarrow read them, one by one, broken ones known by their number."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servingmodels import pictures

from logitmix_hf.data.rows.records import Notes, cell_rows
from logitmix_hf.data.rows.stream import Lines
from logitmix_hf.errors import UserError
from logitmix_hf.serving.inputs import open_input


def read(path: Path | str, modality="text", kind=None, asked=(), trained=()):
    return [*open_input(str(path), modality, kind, asked, trained, "--model m").rows]


def values(rows):
    return [row.wrong or row.value for row in rows]


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pipe(monkeypatch, content: str | bytes) -> None:
    stream = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5), st.sampled_from(",\t"))
def test_quoted_cells_come_back_whatever_is_in_them(rows, delimiter):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("a", "b", "c"), *rows])
    header, records = cell_rows(
        Lines("x.csv", io.BufferedReader(io.BytesIO(file.getvalue().encode()))), delimiter, Notes()
    )
    assert header == ["a", "b", "c"]
    assert [tuple((record.values or {}).values()) for record in records] == rows


def test_an_empty_cell_is_missing_and_quotes_make_it_a_text(tmp_path):
    """As pyarrow reads it for training."""
    text = 'text,n,more\n"",1,x\n,2,x\n"a, ""b""\nc",,"" \nlast,"3",\n\n"",,""\n'
    path = file(tmp_path, "a.csv", text)
    rows = read(path, asked=("text",))
    assert values(rows) == ["", "no text in column 'text'", 'a, "b"\nc', "last", ""]
    assert [row.index for row in rows] == [0, 1, 2, 3, 4]
    assert [row.where.partition(", ")[2] for row in rows][1:4] == ["row 2 (line 3)", "row 3 (line 4)", "row 4 (line 6)"]
    assert values(read(path, asked=("more",))) == ["x", "x", " ", "no text in column 'more'", ""]


def test_broken_rows_of_a_table_are_told_and_the_next_are_read(tmp_path):
    content = b"text,n\ngood,1\nbad,1,2\nbad\n\xff,1\n\nfine,1\r\n"
    assert [told.partition(" (byte 0xff; ")[0] for told in values(read(file(tmp_path, "a.csv", content), asked=("text",)))] == [
        "good", "3 cells where the header has 2", "1 cells where the header has 2", "column 'text' is not UTF-8", "fine",
    ]  # fmt: skip
    lines = [
        b'{"text": "good"}',
        b'{"text": ',
        b"[1]",
        b'{"text": 5}',
        b'{"text": null}',
        b'{"n": 1}',
        b"",
        b'{"text": "\\ud800"}',
    ]
    assert values(read(file(tmp_path, "a.jsonl", b"\n".join(lines)))) == [
        "good",
        "no JSON: Expecting value: line 2 column 1 (char 10)",
        "no JSON object, but a list",
        "column 'text' holds '5', no text",
        "no text in column 'text'",
        "no text in column 'text'",
        "column 'text' is not UTF-8 (half a character, \\ud800)",
    ]


def test_parquet_row_by_row(tmp_path):
    table = pa.table({"n": range(600), "review": [None if n == 300 else f"text {n}" for n in range(600)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=500)
    rows = read(tmp_path / "a.parquet")
    assert len(rows) == 600
    assert values(rows)[299:302] == ["text 299", "no text in column 'review'", "text 301"]
    assert rows[300].where.endswith("row 301")


def test_which_columns_are_read(tmp_path):
    two = file(tmp_path, "two.csv", "id,title,text,label\n1,t,x,0\n")
    assert values(read(two)) == ["x"]
    assert values(read(two, asked=("title", "text"))) == [("t", "x")]
    assert values(read(two, trained=("title",))) == ["t"]
    assert values(read(file(tmp_path, "one.tsv", "price\tadvert\n12\ta house\n"))) == ["a house"]
    assert values(read(file(tmp_path, "lines.txt", "a, b\n\nc"), trained=("sentence",))) == ["a, b", "", "c"]


def test_a_pipe_says_by_its_first_line_what_it_is(monkeypatch):
    pipe(monkeypatch, '{"text": "a"}\n{"text": "b"}')
    assert values(read("-")) == ["a", "b"]
    pipe(monkeypatch, "id,sentence\n1,a\n")
    assert values(read("-", trained=("sentence",))) == ["a"]
    pipe(monkeypatch, "id\ttext\n1\ta\n")
    assert values(read("-")) == ["a"]
    pipe(monkeypatch, "well, a sentence\nand another")
    assert values(read("-", trained=("sentence",))) == ["well, a sentence", "and another"]
    pipe(monkeypatch, "text\nhello\n")
    assert values(read("-", kind="text")) == ["text", "hello"]
    pipe(monkeypatch, "")
    with pytest.raises(UserError, match="Nothing came by the pipe"):
        read("-")


def test_images_of_folders_tables_and_pipes(tmp_path, monkeypatch):
    root = pictures(tmp_path / "root", count=2)
    file(root, "notes.txt", "no image")
    rows = read(root, "image")
    assert [row.file for row in rows] == ["cat/00.png", "cat/01.png", "dog/00.png", "dog/01.png"]
    assert rows[2].value == root / "dog" / "00.png"
    table = file(tmp_path, "list.csv", "file,label\nroot/cat/01.png,3\n,2\n")
    rows = read(table, "image")
    assert rows[0].value == root / "cat" / "01.png"
    assert rows[1].wrong == "column 'file' holds no image"
    pq.write_table(pa.table({"n": [1], "image": [{"bytes": b"x", "path": None}]}), tmp_path / "a.parquet")
    assert values(read(tmp_path / "a.parquet", "image")) == [b"x"]
    monkeypatch.chdir(root)
    pipe(monkeypatch, "cat/00.png\n")
    assert values(read("-", "image")) == [Path("cat/00.png")]
    assert values(read("cat/00.png", "image")) == [Path("cat/00.png")]


def test_mistakes_name_what_there_is(tmp_path):
    def told(*args, **options) -> str:
        with pytest.raises(UserError) as mistake:
            read(*args, **options)
        assert "\n" not in str(mistake.value)
        return str(mistake.value)

    table = file(tmp_path, "a.csv", "id,title,body\n1,x,y\n")
    assert "has no column 'tilte'. Did you mean 'title'? Columns: 'id', 'title', 'body'" in told(
        table, asked=("tilte",)
    )
    assert "has no column 'sentence', which --model m was trained on" in told(table, trained=("sentence",))
    assert "names 1 (title), and --model m was trained on 2 (a, b)" in told(table, asked=("title",), trained=("a", "b"))
    assert "has 2 columns of texts, so --text_columns must name" in told(table)
    assert "Did you mean 'a.csv'?" in told(tmp_path / "b.csv")
    assert "is a folder, and --model m reads texts" in told(tmp_path)
    assert "holds no images" in told(tmp_path, "image")
    assert "name the one with images or their paths as --image_column" in told(table, "image")
    assert "a.csv.gz is damaged" in told(file(tmp_path, "a.csv.gz", b"\x1f\x8b\x08\0"))
    assert "of no known kind by its suffix" in told(file(tmp_path, "a.dat", "x"))
    assert "must hold objects, one a row" in told(file(tmp_path, "a.json", '["x"]'))
    assert "more than one column called 'text'" in told(file(tmp_path, "b.csv", "text,text\n1,2\n"))
    assert "has columns but no rows" in told(file(tmp_path, "c.csv", "text\n"))
    assert "is empty" in told(file(tmp_path, "d.csv", ""))
    assert "cannot be read as parquet" in told(file(tmp_path, "e.parquet", "PAR1 no"))
    assert "(line 1), nor what follows can be read as jsonl" in told(file(tmp_path, "f.jsonl", "text\nx\n"))
    assert "separated by something else" in told(file(tmp_path, "g.csv", "text;n|m\na;1\n"), asked=("text",))


class Endless(io.RawIOBase):
    """A million lines, made as they are asked for."""

    def __init__(self, head: bytes, line: bytes, most: int = 10**6) -> None:
        self.lines = itertools.chain([head], itertools.repeat(line, most))
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = b"".join(itertools.islice(self.lines, 64))
        self.given += data.count(b"\n")
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize(
    ("head", "line"),
    [(b"id,text\n", b"17,some text or other\n"), (b"", b'{"text": "some text or other"}\n'), (b"", b"some text\n")],
)
def test_reading_is_lazy_and_holds_few_rows(head, line, monkeypatch):
    stream = Endless(head, line)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(stream)))
    rows = open_input("-", "text", None, ()).rows
    next(rows)
    assert stream.given < 1500
    tracemalloc.start()
    try:
        count = sum(1 for _ in itertools.islice(rows, 6_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 6_000
    assert peak < 250_000  # bytes; the rows themselves would take millions
    assert stream.given < 8_500
    assert json.dumps(next(rows).index) == "6001"


def test_a_pipe_of_something_else_than_text_is_told_at_once(monkeypatch):
    """Not line by line: a binary file has many that end somewhere."""
    pipe(monkeypatch, "text\ngood\n".encode("utf-16-le"))
    with pytest.raises(UserError, match=r"standard input is binary, not text"):
        read("-")
