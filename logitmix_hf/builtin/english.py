"""Words that entailment and similarity share, and the little morphology that the grammars need."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """A noun at three levels: each is a kind of the next."""

    names: tuple[str, str, str]


PEOPLE = tuple(
    Kind((specific, middle, "person"))
    for specific, middle in (
        ("surgeon", "doctor"),
        ("violinist", "musician"),
        ("sprinter", "athlete"),
        ("toddler", "child"),
        ("novelist", "writer"),
        ("sergeant", "soldier"),
        ("chemist", "scientist"),
        ("senator", "politician"),
        ("sculptor", "artist"),
        ("widow", "woman"),
    )
)

THINGS = tuple(
    Kind(names)
    for names in (
        ("sedan", "car", "vehicle"),
        ("minivan", "van", "vehicle"),
        ("canoe", "boat", "vehicle"),
        ("tulip", "flower", "plant"),
        ("oak", "tree", "plant"),
        ("armchair", "chair", "piece of furniture"),
        ("workbench", "table", "piece of furniture"),
        ("raincoat", "coat", "garment"),
        ("turban", "hat", "garment"),
        ("poodle", "dog", "animal"),
        ("kitten", "cat", "animal"),
        ("sparrow", "bird", "animal"),
        ("pony", "horse", "animal"),
        ("cottage", "house", "building"),
        ("cathedral", "church", "building"),
        ("laptop", "computer", "device"),
        ("camcorder", "camera", "device"),
    )
)

_PLURALS = {
    "person": "people",
    "child": "children",
    "woman": "women",
    "piece of furniture": "pieces of furniture",
}


def plural(noun: str) -> str:
    """The plural of a noun of the grammars."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(("s", "ch", "sh", "x")):
        return noun + "es"
    return noun + "s"


def with_article(words: str) -> str:
    """``a`` or ``an`` before the words, by their first letter."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def sentence(*parts: str, end: str = ".") -> str:
    """The non-empty parts in a row, with a capital letter and a full stop; a comma joins to the word before it."""
    text = " ".join(part for part in parts if part).replace(" ,", ",")
    return text[0].upper() + text[1:] + end
