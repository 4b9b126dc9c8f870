"""The user's mistakes: one class, and one wording each for "no such name", "none of these", "no number in this range"."""

from __future__ import annotations

import difflib
import math
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from logitmix_hf.redact import scrub

T = TypeVar("T")


class UserError(ValueError):
    """A mistake of the user: the message is one line that names what was given, what exists and what to do.

    The commands print it as ``error: …`` and exit with 2; in Python it is a ``ValueError``.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest known name, one that begins so before one that looks alike; or nothing."""
    known, name = list(known), str(name)
    begun = [one for one in known if len(name) > 2 and one.startswith(name)]
    near = [min(begun, key=len)] if begun else difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {listed(near)}?" if near else ""


def pick(table: Mapping[str, T], name: str, what: str) -> T:
    """The row of ``table`` called ``name``.

    Raises:
        UserError: naming what was asked, the nearest known name and every known name.
    """
    if name in table:
        return table[name]
    known = listed(sorted(table), 40, quote=False)
    raise UserError(f"No {what} is called {listed([name])}.{nearest(name, table)} Known: {known}.")


def check_number(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    optional: bool = False,
) -> None:
    """Require a finite number in [low, high], or in (low, high] with ``open_low``; or None where it is ``optional``.

    Raises:
        UserError: naming the argument, its value and the range.
    """
    if optional and value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if number and (low < value if open_low else low <= value) and value <= high:  # type: ignore[operator]
        return
    above = f"above {low:g}" if open_low else f"at least {low:g}"
    if high == math.inf:
        expected = "a finite number" if low == -math.inf else f"a number {above}"
    else:
        expected = f"a number {above} and at most {high:g}"
    raise UserError(f"{name} must be {expected}, got {value!r}.")


def check_choice(name: str, value: object, choices: Sequence[str | bool | None]) -> None:
    """Require ``value`` to be one of ``choices``; None among them is what no flag says.

    Raises:
        UserError: naming the argument, its choices, the value and the nearest choice.
    """
    if value not in choices:
        named = [str(choice) for choice in choices if choice is not None]
        known, near = listed(named, 40, quote=False), nearest(str(value), named)
        raise UserError(f"{name} must be one of {known}, got {listed([value])}.{near}")


def listed(names: Sequence[Any], most: int = 20, *, quote: bool = True) -> str:
    """At most ``most`` names, each at most 40 characters, for a message of one line."""
    short = [text if len(text := str(name)) <= 40 else text[:37] + "…" for name in names[:most]]
    short = list(map(repr, short)) if quote else short
    return ", ".join(short) + (f" and {len(names) - most} more" if len(names) > most else "")


def say(*lines: object, out: bool = False) -> None:
    """Lines for whoever watches, on stderr, or what a command is asked for on stdout: the one way to the terminal. What a
    terminal would obey is shown as an escape, and no token is said. A line break ends a line only between ``lines``."""
    said = "\n".join(printable(scrub(str(line))) for line in lines)
    print(said, file=sys.stdout if out else sys.stderr, flush=True)


def printable(text: str) -> str:
    """``text`` without what a terminal obeys instead of showing: control characters (a line break, ESC), the marks that
    turn the direction of writing, and halves of surrogate pairs, which no terminal can be sent, stand as escapes."""
    return "".join(x.encode("unicode_escape").decode("ascii") if _is_obeyed(x) else x for x in text)


def _is_obeyed(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in _TURNING


_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Embeddings, overrides and isolates of bidirectional text: they let words appear in another order than they stand."""


MOST_TOLD = 2000
"""Characters of a message; one of a few lists, each bounded, is shorter."""


def bounded(message: str) -> str:
    """A message of at most ``MOST_TOLD`` characters: its middle is left out, since what to do stands at the end."""
    if len(message) <= MOST_TOLD:
        return message
    return f"{message[: MOST_TOLD - 403]} … {message[-400:]}"


def one_line(error: BaseException) -> str:
    """An exception's message on one line of at most 300 characters, without secrets, and without a full stop: it stands
    within a sentence."""
    text = printable(scrub(" ".join(str(error).split()))).rstrip(".")
    return text if len(text) <= 300 else text[:297] + "…"
