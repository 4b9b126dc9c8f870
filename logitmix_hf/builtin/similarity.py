"""stsb: how alike are two scenes, from 0 to 5?

Each scene has an agent, an action, a place and a look. Every slot brings its weight times how alike its fillers are
(same, a synonym, of one family, strangers, missing on one side). A denied action keeps less than half of the mean. The order of
the parts changes the words and not the mean.
"""

from __future__ import annotations

from .draws import Draws
from .english import sentence, with_article

Families = tuple[tuple[tuple[str, ...], ...], ...]
"""Families of fillers; inside a family, tuples of synonyms."""

LOOKS: Families = (
    (("famous", "well-known"), ("shy", "timid")),
    (("tall",), ("short",)),
    (("smiling", "cheerful"), ("sad", "unhappy")),
    (("tired", "weary"), ("energetic", "lively")),
)
AGENTS: Families = (
    (("man", "gentleman", "guy"), ("woman", "lady")),
    (("boy",), ("girl",), ("child", "kid")),
    (("doctor", "physician"), ("nurse",)),
    (("policeman", "police officer"), ("soldier",)),
    (("farmer",), ("gardener",)),
)
ACTIONS: Families = (
    (
        ("playing a guitar", "strumming a guitar"),
        ("playing a piano", "practicing the piano"),
        ("singing a song", "performing a song"),
    ),
    (("slicing an onion", "cutting an onion"), ("peeling a potato",), ("frying an egg", "cooking an egg")),
    (("riding a bike", "riding a bicycle"), ("riding a horse",), ("driving a car", "driving an automobile")),
    (("kicking a ball", "kicking a football"), ("throwing a ball", "tossing a ball"), ("catching a frisbee",)),
    (("reading a book", "reading a novel"), ("writing a letter", "composing a letter"), ("drawing a picture",)),
    (("feeding a dog", "giving food to a dog"), ("walking a dog",), ("petting a cat", "stroking a cat")),
    (("fixing a roof", "repairing a roof"), ("painting a fence",), ("building a wall", "constructing a wall")),
)
PLACES: Families = (
    (("in the park", "in a public garden"), ("in the forest", "in the woods")),
    (("on the beach", "on the shore"), ("by the river", "on the riverbank")),
    (("in the street", "on the road"), ("at the bus stop",)),
    (("in the kitchen",), ("in the living room", "in the lounge")),
)

SAME, SYNONYM, FAMILY, STRANGER, MISSING = 1.0, 0.92, 0.4, 0.0, 0.6
WEIGHTS = {"action": 0.45, "agent": 0.28, "place": 0.17, "look": 0.10}
DENIED = 0.45
"""What is left of the mean when one scene denies its action."""

RATERS = 5
"""A label is the mean of so many raters, each of whom gives 0 to 5 points by five even-handed yes-or-no questions."""

_TABLES = {"action": ACTIONS, "agent": AGENTS, "place": PLACES, "look": LOOKS}
_OPTIONAL = {"place": 0.75, "look": 0.5}


def alike(families: Families, first: str, second: str) -> float:
    """How alike two fillers of a slot are, in [0, 1]; an empty one is missing, and two empty ones are the same."""
    if first == second:
        return SAME
    if not first or not second:
        return MISSING
    family = next(family for family in families if any(first in synonyms for synonyms in family))
    if any(first in synonyms and second in synonyms for synonyms in family):
        return SYNONYM
    return FAMILY if any(second in synonyms for synonyms in family) else STRANGER


def _draw_filler(draws: Draws, slot: str) -> str:
    if not draws.chance(_OPTIONAL.get(slot, 1.0)):
        return ""
    return draws.choose(draws.choose(draws.choose(_TABLES[slot])))


def _near(draws: Draws, slot: str, filler: str, closeness: float) -> str:
    """A filler for the second scene: with the closeness the same or a synonym, else of the family or a stranger."""
    if not filler:
        return filler if draws.chance(0.5 + closeness / 2) else _draw_filler(draws, slot)
    if slot in _OPTIONAL and draws.chance(0.15):
        return ""
    family = next(family for family in _TABLES[slot] if any(filler in synonyms for synonyms in family))
    if draws.chance(closeness):
        return draws.choose(next(synonyms for synonyms in family if filler in synonyms))
    return draws.choose(draws.choose(family if draws.chance(closeness) else draws.choose(_TABLES[slot])))


def _words(draws: Draws, scene: dict[str, str], denied: bool) -> str:
    agent = with_article(f"{scene['look']} {scene['agent']}".strip())
    action = f"is {'not ' if denied else ''}{scene['action']}"
    if scene["place"] and draws.chance(0.3):
        return sentence(scene["place"], ",", agent, action)
    return sentence(agent, action, scene["place"])


def draw_scenes(draws: Draws) -> tuple[tuple[str, str], float]:
    """Two sentences and the mean of their similarity, in [0, 5]."""
    first = {slot: _draw_filler(draws, slot) for slot in _TABLES}
    closeness = 0.9 * draws.uniform()
    second = {slot: _near(draws, slot, filler, closeness) for slot, filler in first.items()}
    denied = draws.chance(0.15)
    mean = 5 * sum(weight * alike(_TABLES[slot], first[slot], second[slot]) for slot, weight in WEIGHTS.items())
    return (_words(draws, first, False), _words(draws, second, denied)), mean * (DENIED if denied else 1.0)


def draw_rating(draws: Draws, mean: float) -> float:
    """A label in [0, 5], in steps of 1/RATERS, whose expectation is exactly the mean: a scaled binomial."""
    return sum(draws.chance(mean / 5) for _ in range(5 * RATERS)) / RATERS
