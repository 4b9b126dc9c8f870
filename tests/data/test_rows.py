"""One row out for each row in: stray quotation marks, pipes read once, packed and foreign encodings, every shape of JSON."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
import threading

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.data.rows import open_rows, read_columns, stream
from logitmix_hf.errors import UserError


def rows(path, **options):
    return [record.values or record.wrong for record in open_rows(path, **options).read()]


def file(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- quotation marks ------------------------------------------------------------------------------------------------


def stray(delimiter, marked, count=9):
    """Rows of which some begin with a quotation mark that nobody closes, and what stands in them."""
    texts = [('"' if row in marked else "") + f"text {row}" for row in range(count)]
    lines = "".join(f"{text}{delimiter}{row % 2}\n" for row, text in enumerate(texts))
    return f"text{delimiter}label\n{lines}", [{"text": text, "label": str(row % 2)} for row, text in enumerate(texts)]


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(0, 8), min_size=1), st.sampled_from(["a.csv", "a.tsv"]))
def test_an_open_quotation_mark_swallows_no_row(tmp_path_factory, marked, name):
    """Whatever rows have one: an odd number of them, two in a row, the last."""
    content, wanted = stray("," if name.endswith("csv") else "\t", marked)
    path = file(tmp_path_factory.mktemp("q"), name, content)
    assert rows(path) == wanted
    (note,) = read_columns(path).notes
    first = min(marked) + 1
    assert f"{len(marked)} row{'s' * (len(marked) > 1)}, first row {first} (line {first + 1})" in note


def test_quoted_line_breaks_are_one_cell_and_a_mark_closed_by_chance_is_told(tmp_path):
    good = file(tmp_path, "good.csv", 'text,label\n"a, b\nc, d",x\n"e\n\n""f""",y\n')
    assert rows(good) == [{"text": "a, b\nc, d", "label": "x"}, {"text": 'e\n\n"f"', "label": "y"}]
    assert read_columns(good).notes == ()
    chance = file(tmp_path, "chance.tsv", 'text\tlabel\na\t0\n"b\t1\nc\t0\n5\'10"\t1\nd\t0\n')
    assert len(rows(chance)) == 3
    (note,) = read_columns(chance).notes
    assert "holds whole lines as it seems" in note
    assert "1 row, first row 2 (lines 3 to 5)" in note


def test_a_mark_inside_a_line_is_read_as_other_readers_do(tmp_path):
    path = file(tmp_path, "a.csv", 'text,label\n"Nice, really" movie,1\n5" nails,0\n"a ""b""" ,1\n')
    assert [row["text"] for row in rows(path)] == list(pd.read_csv(path)["text"])


def test_a_row_with_an_open_mark_that_fits_nothing_costs_no_other_row(tmp_path):
    path = file(tmp_path, "a.csv", 'text,label\na,0\n"b,1,2\nc,0\nd,1\n')
    found = rows(path)
    assert [row["text"] if isinstance(row, dict) else row.rpartition(": ")[2] for row in found] == [
        "a", "is a quote left open?", "c", "d",
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"a\.csv, row 2 \(line 3\): .*is a quote left open"):
        read_columns(path)


def test_cells_separated_by_another_sign(tmp_path):
    for name, sign in (("a.csv", ";"), ("b.csv", "\t"), ("c.tsv", ","), ("d.csv", "|")):
        split = read_columns(file(tmp_path, name, f'text{sign}label\n"x{sign}y"{sign}1\nz{sign}0\n'))
        assert split.values("text") == [f"x{sign}y", "z"]
        assert "cells are separated by" in split.notes[0]
    alone = file(tmp_path, "e.csv", "a title; with a mark\nx\ny\n")
    assert read_columns(alone).names == ["a title; with a mark"]
    more = file(tmp_path, "f.csv", "one; title\nx; y; z\nw\n")  # three parts below two are no cells
    assert read_columns(more).names == ["one; title"]


# --- pipes ----------------------------------------------------------------------------------------------------------


def writer(path, content):
    thread = threading.Thread(target=path.write_bytes, args=(content,), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("name", ["rows.csv", "pipe"])
def test_a_fifo_gives_every_row(tmp_path, name):
    """More than one buffer of them; what it holds is said by its name or by its first line."""
    os.mkfifo(tmp_path / name)
    wanted = [{"text": f"some text {row}", "n": str(row)} for row in range(5_000)]
    content = "text,n\n" + "".join(f"{row['text']},{row['n']}\n" for row in wanted)
    thread = writer(tmp_path / name, content.encode())
    assert rows(tmp_path / name, wanted=["text"]) == wanted
    thread.join()


def test_a_substituted_process_gives_every_row(tmp_path):
    file(tmp_path, "rows.txt", "".join(f"text {row}\n" for row in range(3_000)))
    code = (
        "import sys; from logitmix_hf.data.rows import open_rows; r = list(open_rows(sys.argv[1]).read());"
        "print(len(r), r[0].values, r[-1].where)"
    )
    command = f'"{sys.executable}" -c "{code}" <(cat rows.txt)'
    printed = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed == "3000 {'text': 'text 0'} line 3000\n"


def test_pipes_that_cannot_be_read_are_told_and_never_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "_PATIENCE", 0.1)
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(UserError, match="Nobody writes to the FIFO"):
        open_rows(tmp_path / "rows.csv")
    with pytest.raises(UserError, match="is a pipe, and these rows are read more than once"):
        read_columns(tmp_path / "rows.csv")
    with pytest.raises(UserError, match="is a device"):
        open_rows("/dev/zero")


# --- bytes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_packed_files_are_unpacked(tmp_path, suffix, pack):
    content = b"text,label\na,0\nb,1\n" * 1
    path = file(tmp_path, f"rows.csv{suffix}", pack(content))
    assert read_columns(path).values("text") == ["a", "b"]
    cut = file(tmp_path, f"cut.jsonl{suffix}", pack(b"".join(b'{"text": "%d"}\n' % n**9 for n in range(9_000)))[:-9])
    with pytest.raises(UserError, match=r"cut\.jsonl\S+ is damaged"):
        read_columns(cut)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_what_they_are(tmp_path, encoding):
    frame = pd.DataFrame({"text": ["naïve café", "日本 😀"], "label": ["a", "b"]})
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False, encoding=encoding)
    assert read_columns(tmp_path / "a.tsv").values("text") == list(frame["text"])


def test_a_column_of_other_bytes_hinders_only_who_reads_it(tmp_path):
    split = read_columns(file(tmp_path, "a.csv", "text,author,label\na,Ren\xe9e,x\nb,Bob,y\n".encode("latin-1")))
    assert split.values("text") == ["a", "b"]
    with pytest.raises(UserError, match=r"a\.csv, row 1: column 'author' is not UTF-8 \(byte 0xe9"):
        split.values("author")


# --- JSON -----------------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]})


@pytest.mark.parametrize("orient", ["columns", "index", "records", "split", "table"])
@pytest.mark.parametrize("indent", [0, 2])
def test_json_as_pandas_writes_it(tmp_path, orient, indent):
    FRAME.to_json(tmp_path / "a.json", orient=orient, indent=indent)
    split = read_columns(tmp_path / "a.json")
    assert split.values("text") == ["a", "b", "c"]
    assert split.values("label") == ["x", "y", "x"]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_rows_under_a_name_lists_by_column_and_one_row_alone(tmp_path, suffix):
    def read(document):
        return read_columns(file(tmp_path, f"a.{suffix}", json.dumps(document))).values("text")

    assert read({"version": 1, "data": FRAME.to_dict("records")}) == ["a", "b", "c"]
    assert read({"rows": FRAME.to_dict("records")}) == ["a", "b", "c"]
    assert read(FRAME.to_dict("list")) == ["a", "b", "c"]
    assert read({"text": "a", "label": "x", "spans": [{"start": 1}]}) == ["a"]
    with pytest.raises(UserError, match=r"several lists of rows \('train', 'test'\)"):
        read({"train": FRAME.to_dict("records"), "test": FRAME.to_dict("records")})
    with pytest.raises(UserError, match="rows and columns cannot be told apart"):
        read({"text": {"r1": "a", "r2": "b"}, "label": {"r1": "x", "r2": "y"}})


def test_json_that_no_parser_takes_is_a_row_that_cannot_be_read(tmp_path):
    deep, digits = "[" * 100_000 + "]" * 100_000, "1" * 5_000
    path = file(tmp_path, "a.jsonl", f'{{"text": "a"}}\n{{"text": {deep}}}\n{{"text": {digits}}}\n{{"text": NaN}}\n')
    assert rows(path) == [
        {"text": "a"}, "no JSON: nested too deep", "no JSON: a number of more than 4,300 digits", {"text": None},
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"row 2 \(line 2\): no JSON: nested too deep \(2 rows cannot be read"):
        read_columns(path)
    with pytest.raises(UserError, match=r"b\.json is no JSON: nested too deep"):
        read_columns(file(tmp_path, "b.json", f'[{{"text": {deep}}}]'))


def test_what_save_to_disk_wrote(tmp_path):
    data = Dataset.from_pandas(FRAME)
    data.save_to_disk(tmp_path / "one")
    assert rows(tmp_path / "one") == FRAME.to_dict("records")
    DatasetDict(train=data, test=data).save_to_disk(tmp_path / "two")
    with pytest.raises(UserError, match=r"two' is a folder of splits; give one of 'test', 'train'"):
        open_rows(tmp_path / "two")
