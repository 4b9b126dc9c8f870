"""Tables as text, and words that are shown as they are: read back by a parser of Markdown of its own."""

from __future__ import annotations

import csv
import io
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from logitmix_hf.errors import printable
from logitmix_hf.tables import aligned_table, csv_text, markdown_code, markdown_table, markdown_text

EVIL = [
    "x|<img src=x onerror=alert(1)>",
    "good\n## Evil",
    "\x1b[2Jred\x1b[0m",
    "[click](javascript:alert(1))",
    "a ![b](http://example.org/c.png)",
    "**bold** _em_ `code` ~~gone~~ &lt; \\| $x$",
    "``` \n# fence",
    "1. one",
    "- a",
    "+ b",
    "> quoted",
    "---",
    "===",
    "snake_case_name _x_",
    "\u202egnirts",
    "ünïcödé 漢字",
    "a  b",
    "",
]
PARSER = MarkdownIt("gfm-like", {"linkify": False, "html": True})


def shown(markdown: str) -> str:
    """The text that a reader sees, where nothing but text is allowed."""
    tokens = PARSER.parse(markdown)
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    inside = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inside} <= {"text", "text_special"}
    return "".join(child.content for child in inside)


def seen(text: str) -> str:
    """What of somebody's words a reader may see at most: on one line, nothing that a terminal obeys."""
    return printable(" ".join(text.split()))


@pytest.mark.parametrize("text", EVIL)
def test_words_are_shown_as_they_are(text):
    assert shown(markdown_text(text)) == seen(text)


@given(st.text(st.characters(exclude_categories=["Zs"]) | st.sampled_from(" \n|`*_[]<>#-+~$\\&!"), max_size=30))
def test_any_words_are_shown_as_they_are(text):
    assert shown(markdown_text(text)) == seen(text)


@pytest.mark.parametrize("text", EVIL)
def test_code_is_shown_as_it_is(text):
    (_, line, _) = PARSER.parse(f"x {markdown_code(text)} y")
    assert [child.type for child in line.children] == ["text", "code_inline", "text"]
    assert line.children[1].content.strip() == seen(text).strip()


@pytest.mark.parametrize("align", ["", "lr", "rrr"])
def test_a_table_of_any_words_has_its_rows_and_columns(align):
    rows = [[markdown_text(text), markdown_code(text), text] for text in EVIL]
    tokens = PARSER.parse(markdown_table(("a", "b", "c"), rows, align))
    assert sum(token.type == "tr_open" for token in tokens) == len(EVIL) + 1
    assert sum(token.type in ("td_open", "th_open") for token in tokens) == 3 * (len(EVIL) + 1)
    right = [token.attrs.get("style") == "text-align:right" for token in tokens if token.type == "td_open"][:3]
    assert right == [letter == "r" for letter in align.ljust(3, "l")]


def test_a_table_for_the_terminal_by_hand():
    assert aligned_table(("name", "n"), [("a", "12"), ("long name", "3")], "lr") == (
        "name        n\n"
        "---------  --\n"
        "a          12\n"
        "long name   3"
    )  # fmt: skip
    assert aligned_table(("name", "n"), [], rule=False) == "name  n"


def test_a_terminal_is_told_nothing():
    lines = aligned_table(("name",), [(text,) for text in EVIL], rule=False).split("\n")
    assert len(lines) == 1 + len(EVIL)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "".join(lines))


def test_what_stays_as_it_is_and_what_is_escaped():
    assert printable("ünïcödé 漢字 \U0001f469\u200d\U0001f52c") == "ünïcödé 漢字 \U0001f469\u200d\U0001f52c"
    assert printable("a\nb\x1b[1m\x9b\u202e\ud800") == "a\\nb\\x1b[1m\\x9b\\u202e\\ud800"


FORMULAS = ["=1+1", '=HYPERLINK("http://example.org")', "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1+1",
            "－1a", "- a point", "-- a dash"]  # fmt: skip
PLAIN = ["-0.5", "+3", "-1e-7", "-inf", "-", "+", "=", "good", "a=b", "7", "", " x", "'quoted"]


def test_no_spreadsheet_computes_what_somebody_wrote():
    """As pandas reads the file back: no text is left that begins a formula (OWASP's list), and nothing else has changed."""
    text = io.StringIO()
    csv.writer(text).writerows([[csv_text(one)] for one in ["head", *FORMULAS, *PLAIN]])
    read = pd.read_csv(io.StringIO(text.getvalue()), dtype=str, keep_default_na=False, skip_blank_lines=False)["head"]
    assert [one.startswith("'") for one in read[: len(FORMULAS)]] == [True] * len(FORMULAS)
    assert [one[1:].replace("\r", "\n") for one in read[: len(FORMULAS)]] == [
        one.replace("\r", "\n") for one in FORMULAS
    ]
    assert read[len(FORMULAS) :].tolist() == PLAIN


@given(st.text())
def test_a_cell_is_a_number_or_begins_no_formula(text):
    cell = csv_text(text)
    assert cell in (text, "'" + text)
    if cell[:1] in set("=+-@\t\r") and len(cell) > 1:
        float(cell)
