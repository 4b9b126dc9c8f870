"""rte: does the first sentence entail the second?

The premise is an event under a quantifier. The hypothesis is the premise after one to three moves: a word made more
general or more special, a modifier dropped or added, something swapped, the quantifier changed. A move keeps
entailment when its direction is that of its slot (``every`` turns its subject around, ``no`` turns all of it), and
each move has its price in log-odds, since people are surer of some than of others. Who reports the premise has a
price too: what someone knows is so, what someone hopes may not be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .draws import Draws
from .english import PEOPLE, THINGS, Kind, plural, sentence, with_article

VERBS = (
    ("scrub scrubbed", "clean cleaned"), ("sketch sketched", "draw drew"), ("glimpse glimpsed", "see saw"),
    ("snatch snatched", "take took"), ("auction auctioned", "sell sold"), ("drag dragged", "move moved"),
    ("conceal concealed", "hide hid"), ("photograph photographed", "see saw"), ("smash smashed", "damage damaged"),
    ("inherit inherited", "get got"), ("scratch scratched", "damage damaged"), ("steal stole", "take took"),
)  # fmt: skip
"""(base, past) of a special verb and of a general one that it entails."""

PERSON_MODIFIERS = ("young", "tired", "famous", "cheerful", "retired", "foreign")
THING_MODIFIERS = ("red", "heavy", "expensive", "old", "broken", "small")
PLACES = ("in the garden", "near the station", "at the market", "behind the school", "in the village", "by the lake")
TIMES = ("on monday", "before lunch", "last winter", "during the storm", "after midnight", "at dawn")
_OPTIONAL = {
    "person_modifier": PERSON_MODIFIERS,
    "thing_modifier": THING_MODIFIERS,
    "place": PLACES,
    "time": TIMES,
}

REPORTS = {
    "": 0.0,
    "everyone knows that": 0.1,
    "a video proves that": 0.1,
    "the paper reports that": 0.5,
    "a neighbor believes that": 1.3,
    "the family hopes that": 3.4,
    "the police doubt that": 3.8,
    "the lawyer denied that": 4.4,
}
"""Who says so, and the log-odds it costs."""

QUANTIFIERS = ("a", "a", "a", "a", "two", "two", "three", "three", "every", "no")
"""As often as listed; the two that turn a direction around are rare, since a small model hardly learns them."""

BASE = 3.4
"""Log-odds of entailment between a sentence and itself."""

WEAKER = {"every": ("a",), "three": ("two", "a"), "two": ("a",), "a": (), "no": ()}
STRONGER = {
    "every": ("no",),
    "three": ("every", "no"),
    "two": ("three", "no"),
    "a": ("every", "three", "no"),
    "no": ("a",),
}

KEPT = 0.3
"""Price of a move that keeps entailment: people hesitate a little at each."""

LOST = {"up": 4.0, "down": 4.6, "side": 5.8, "quantifier": 5.4}
"""Price of a move that loses it."""


@dataclass(frozen=True)
class Event:
    """Who did what, where and when; levels count from the special word (0) to the general one."""

    quantifier: str
    person: Kind
    person_level: int
    person_modifier: str
    verb: tuple[str, str]
    verb_level: int
    thing: Kind
    thing_level: int
    thing_modifier: str
    place: str
    time: str

    def words(self) -> str:
        """The event as a clause."""
        noun = self.person.names[self.person_level]
        noun = plural(noun) if self.quantifier in ("two", "three") else noun
        subject = f"{self.person_modifier} {noun}".strip()
        subject = with_article(subject) if self.quantifier == "a" else f"{self.quantifier} {subject}"
        thing = with_article(f"{self.thing_modifier} {self.thing.names[self.thing_level]}".strip())
        past = self.verb[self.verb_level].split()[1]
        return " ".join(part for part in (subject, past, thing, self.place, self.time) if part)


def _draw_event(draws: Draws) -> Event:
    return Event(
        quantifier=draws.choose(QUANTIFIERS),
        person=draws.choose(PEOPLE),
        person_level=draws.choose((0, 0, 1)),
        person_modifier=draws.choose(PERSON_MODIFIERS) if draws.chance(0.4) else "",
        verb=draws.choose(VERBS),
        verb_level=draws.choose((0, 1)),
        thing=draws.choose(THINGS),
        thing_level=draws.choose((0, 0, 1)),
        thing_modifier=draws.choose(THING_MODIFIERS) if draws.chance(0.4) else "",
        place=draws.choose(PLACES) if draws.chance(0.5) else "",
        time=draws.choose(TIMES) if draws.chance(0.5) else "",
    )


def _moves(event: Event, draws: Draws) -> list[tuple[str, str, dict[str, Any]]]:
    """Every (slot, direction, fields that change): one draw a slot and direction."""
    moves: list[tuple[str, str, dict[str, Any]]] = []
    for slot, kinds in (("person", PEOPLE), ("thing", THINGS)):
        kind, level = getattr(event, slot), getattr(event, f"{slot}_level")
        if level < 2:
            moves.append((slot, "up", {f"{slot}_level": level + 1}))
        if level > 0:
            moves.append((slot, "down", {f"{slot}_level": level - 1}))
        strangers = [k for k in kinds if k.names[level] != kind.names[level]]
        if strangers:
            moves.append((slot, "side", {slot: draws.choose(strangers)}))
    moves.append(("verb", "down" if event.verb_level else "up", {"verb_level": 1 - event.verb_level}))
    strangers = [verb for verb in VERBS if verb[1] != event.verb[1]]
    moves.append(("verb", "side", {"verb": draws.choose(strangers)}))
    for slot, words in _OPTIONAL.items():
        word = getattr(event, slot)
        if word:
            moves.append((slot, "up", {slot: ""}))
            moves.append((slot, "side", {slot: draws.other(words, word)}))
        else:
            moves.append((slot, "down", {slot: draws.choose(words)}))
    return moves


def keeps(slot: str, direction: str, quantifier: str) -> bool:
    """Whether a move in this slot keeps entailment under the quantifier (monotonicity).

    ``every`` is downward in its subject, ``no`` everywhere; the rest is upward. A swap never keeps it.
    """
    downward = quantifier == "no" or (quantifier == "every" and slot.startswith("person"))
    return direction == ("down" if downward else "up")


def draw_pair(draws: Draws) -> tuple[tuple[str, str], float]:
    """(premise, hypothesis) and the log-odds of entailment.

    The quantifier moves first and the other moves are judged under the new one, so that a chain of kept moves is
    entailment by steps.
    """
    premise = hypothesis = _draw_event(draws)
    log_odds = BASE
    lossy = draws.chance(0.42)  # lossy pairs begin with one move that loses entailment
    count = draws.choose((1, 1, 2, 3))
    quantifiers = (STRONGER if lossy else WEAKER)[premise.quantifier]
    if quantifiers and draws.chance(0.25):
        hypothesis = replace(hypothesis, quantifier=draws.choose(quantifiers))
        log_odds -= LOST["quantifier"] if lossy else KEPT
        lossy, count = False, count - 1
    used: set[str] = set()
    for _ in range(count):
        quantifier = hypothesis.quantifier
        options = [
            move
            for move in _moves(hypothesis, draws)
            if move[0] not in used and keeps(move[0], move[1], quantifier) is not lossy
        ]
        if not options:
            break
        # The direction is drawn before the slot: else swaps, which every slot offers, would be nearly all that is lost.
        directions = sorted({move[1] for move in options})
        direction = "side" if "side" in directions and draws.chance(0.5) else draws.choose(directions)
        slot, _, changes = draws.choose([move for move in options if move[1] == direction])
        hypothesis = replace(hypothesis, **changes)
        log_odds -= LOST[direction] if lossy else KEPT
        used.add(slot)
        lossy = False
    report = draws.choose(tuple(REPORTS)) if draws.chance(0.45) else ""
    return (sentence(report, premise.words()), sentence(hypothesis.words())), log_odds - REPORTS[report]
