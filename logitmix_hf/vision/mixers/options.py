"""``--mixer_options``: the options of image mixers as words, each read as what its default is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from logitmix_hf.errors import UserError, check_number, nearest
from logitmix_hf.vision.mixers.table import MIXERS, Option

ADVERSARIAL = {"adv_prob": Option(0.0, float), "adv_eps": Option(10.0, float)}
"""Of puzzlemix beside its own: the share of batches whose rows, and whose partners, get adversarial noise, and its size
in steps of 8-bit pixels (the authors: 0.1 and 10)."""


def known_options(mixer: str) -> dict[str, Option]:
    """What may be set of a mixer by ``--mixer_options``."""
    own = {name: option for name, option in MIXERS[mixer].knobs.items() if option.kind is not None}
    return {**own, **(ADVERSARIAL if mixer == "puzzlemix" else {})}


def parse_options(text: str, mixers: Sequence[str], *, strict: bool = True) -> dict[str, Any]:
    """``"blocks=8,levels=4"`` to values.

    Args:
        text: name=value, joined by commas; true, false and none are words.
        mixers: whose options these are.
        strict: whether an option that none of them has is a mistake.

    Raises:
        UserError: for such an option, or a value of another kind than the option's.
    """
    known = {name: option for mixer in mixers for name, option in known_options(mixer).items()}
    found = {}
    for part in text.split(","):
        name, sign, word = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not sign or not word:
            raise UserError(f"mixer_options takes name=value joined by commas, got {part.strip()!r}.")
        if name in known:
            found[name] = _value(name, word, known[name])
        elif strict:
            listed = ", ".join(f"{key} ({option.default})" for key, option in known.items()) or "none"
            raise UserError(
                f"{' and '.join(mixers)} has no option {name!r}.{nearest(name, known)} Known, with defaults: {listed}."
            )
    if "adv_prob" in found:
        check_number("adv_prob", found["adv_prob"], low=0, high=1)
    if "adv_eps" in found:
        check_number("adv_eps", found["adv_eps"], low=0)
    return found


def _value(name: str, word: str, option: Option) -> Any:
    lower = word.lower()
    if option.optional and lower == "none":
        return None
    if option.kind is bool:
        if lower not in ("true", "false", "on", "off"):
            raise UserError(f"option {name} is true or false, got {word!r}.")
        return lower in ("true", "on")
    try:
        value = float(word) if option.kind is float else int(word)
        if math.isfinite(value):
            return value
        raise ValueError
    except ValueError:
        kind = "a number" if option.kind is float else "a whole number"
        raise UserError(f"option {name} must be {kind}, got {word!r}.") from None
