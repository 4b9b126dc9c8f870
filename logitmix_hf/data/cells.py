"""Label cells of CSV and TSV, where every value is a string: numbers, lists or names, judged by the whole column."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from logitmix_hf.errors import UserError

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_INTEGER = re.compile(r"[+-]?\d+")
_CODE = re.compile(r"[+-]?0\d.*|\+.*|-0|-?\d{19,}")  # numbers that no computer writes so: 01, +1; beyond 64 bits
_BRACKETS = re.compile(r"\[.*\]|(array|tensor)\(\[.*\].*\)|\(.*\)|\{.*\}|set\(\)", re.DOTALL)
_ITEM = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,]+""")


def read_cells(
    where: str, columns: Mapping[str, Sequence[str]], regression: bool | None
) -> tuple[dict[str, list[Any]], str]:
    """The values of the cells of all splits, and what is surprising about them, or "".

    Numbers where all are numbers and, unless a regression is asked for, none is a code such as 01; lists where all stand
    in brackets and are some, of Python, JSON or numpy; else names, numbers among them included. Numbers with a decimal
    point beside names are left as they are: somebody has to say what a broken regression is.

    Raises:
        UserError: for brackets of which only some hold a list, and lists that numpy cut short.
    """
    texts = {cell: cell.strip() for column in columns.values() for cell in column}
    numbers = {cell for cell, text in texts.items() if NUMBER.fullmatch(text)}
    codes = {cell for cell in numbers if _CODE.fullmatch(texts[cell])}
    made: Mapping[str, Any] = {cell: cell for cell in texts}
    note = ""
    if numbers and not (codes and not regression) and (len(numbers) == len(texts) or _any_decimal(texts, numbers)):
        made = {cell: _number(text) if cell in numbers else cell for cell, text in texts.items()}
    elif all(_BRACKETS.fullmatch(text) for text in texts.values()):
        made = _lists(where, columns, texts)
    elif numbers and len(numbers) < len(texts):
        number, name = _first(columns, numbers), _first(columns, texts.keys() - numbers)
        note = f"{where} holds numbers ({number}) and names ({name}): all are taken as names."
    return {key: [made[cell] for cell in column] for key, column in columns.items()}, note


def unreadable_cells(cells: Sequence[str], regression: bool | None) -> dict[str, str]:
    """Of a column's cells those that are no label beside the others, and why; a cell stands there as often as in its column.

    Beside a majority of numbers: what is no finite number, where a regression is asked for, some have a decimal point, or
    nothing but ``nan`` and ``inf`` is beside them. Where all stand in brackets and most are lists: those that are none.
    """
    texts = {cell: cell.strip() for cell in cells}
    numbers = {cell for cell, text in texts.items() if NUMBER.fullmatch(text) and math.isfinite(float(text))}
    others = texts.keys() - numbers
    if regression or 2 * sum(cell in numbers for cell in cells) > len(cells):
        codes = not regression and any(_CODE.fullmatch(texts[cell]) for cell in numbers)
        decimal = _any_decimal(texts, numbers) or all(map(_is_infinite, others))
        if regression or (decimal and not codes):
            return {cell: "label is not finite" if _is_infinite(cell) else "label is no number" for cell in others}
    elif all(_BRACKETS.fullmatch(text) for text in texts.values()):
        wrong = {cell for cell, text in texts.items() if _list(text) is None}
        if 2 * sum(cell in wrong for cell in cells) < len(cells):
            return dict.fromkeys(wrong, "label is no list")
    return {}


def _is_infinite(cell: str) -> bool:
    """Whether it says ``nan`` or ``inf``, or a number that is too large for any."""
    try:
        return not math.isfinite(float(cell))
    except ValueError:
        return False


def _any_decimal(texts: Mapping[str, str], numbers: set[str]) -> bool:
    return any("." in texts[cell] for cell in numbers)


def _number(text: str) -> int | float:
    return int(text) if _INTEGER.fullmatch(text) and len(text) < 300 else float(text)


def _first(columns: Mapping[str, Sequence[str]], chosen: Any) -> str:
    """The first cell of ``chosen``, with its row."""
    cell, row = next((cell, row) for column in columns.values() for row, cell in enumerate(column, 1) if cell in chosen)
    return f"row {row}: {cell if len(cell) <= 40 else cell[:37] + '…'!r}"


def _lists(where: str, columns: Mapping[str, Sequence[str]], texts: Mapping[str, str]) -> Mapping[str, Any]:
    made = {cell: _list(text) for cell, text in texts.items()}
    wrong = {cell for cell, value in made.items() if value is None}
    if cut := {cell for cell in wrong if "..." in texts[cell]}:
        raise UserError(
            f"{where} holds lists cut short by '...' ({_first(columns, cut)}): numpy shortens what it prints beyond a"
            " thousand items; write row.tolist() instead."
        )
    if wrong and len(wrong) < len(made):
        raise UserError(
            f"{where} holds cells in brackets of which some are no lists ({_first(columns, wrong)}): write [0, 1, 0] or"
            ' ["a", "b"].'
        )
    return {cell: cell for cell in texts} if wrong else made


def _list(text: str) -> list[Any] | None:
    """The list of Python, of JSON or as numpy prints it, without commas, a tuple, a set, an array of numpy or torch as
    ``repr`` writes it; None for what is none."""
    if text == "set()":
        return []
    if inner := re.fullmatch(r"(?:array|tensor)\((\[[^\]]*\]).*\)", text, re.DOTALL):
        text = inner[1]
    if text[0] in "({":
        return _parsed(text)
    items = _ITEM.findall(text[1:-1])
    if "," not in text or any(item in _WORDS for item in items):
        values = [_item(item) for item in items]
        return None if None in values else values
    return _parsed(text)


def _parsed(text: str) -> list[Any] | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return list(value) if isinstance(value, list | tuple) else None


_WORDS = {"True": True, "False": False, "true": True, "false": False}


def _item(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if NUMBER.fullmatch(text):
        return _number(text)
    return ast.literal_eval(text) if text[0] in "'\"" and text[-1] == text[0] and len(text) > 1 else None
