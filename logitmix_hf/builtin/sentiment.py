"""sst2: a verdict on a film, from clauses whose evidence adds up.

Each clause says something of one aspect with an adjective. Degree words, negations and expectations scale the
adjective's strength and may turn its sign; a connective weighs the two clauses; who says it weighs them all. The sum
is the log-odds of a positive label.
"""

from __future__ import annotations

from .draws import Draws
from .english import sentence

ASPECTS = (
    "the plot", "the acting", "the script", "the dialogue", "the ending", "the soundtrack", "the pacing",
    "the camera work", "the lead actress", "the humor", "the first hour", "the final act", "the cast", "the editing",
    "the love story", "the villain", "the premise", "the direction", "the mood", "the animation", "the chase scene",
    "the opening", "the twist", "the narrator", "the score", "the supporting role", "the finale", "the courtroom scene",
)  # fmt: skip

STRONG, MEDIUM, WEAK = 1.9, 1.2, 0.7
"""Log-odds that an adjective of each strength brings."""

_POSITIVE = {
    STRONG: "superb brilliant dazzling magnificent masterful stunning exquisite breathtaking extraordinary flawless",
    MEDIUM: "charming engaging clever moving fresh lively graceful inventive delightful witty tender gripping honest "
    "confident vivid elegant thoughtful funny rich imaginative",
    WEAK: "decent pleasant solid competent likable watchable agreeable sensible serviceable acceptable",
}
_NEGATIVE = {
    STRONG: "atrocious dreadful appalling unbearable horrendous abysmal insufferable ghastly wretched excruciating",
    MEDIUM: "dull clumsy tedious stale shallow lifeless bland muddled sloppy tiresome hollow contrived predictable "
    "wooden lazy annoying dreary pretentious confusing awkward",
    WEAK: "uneven slow thin forgettable mediocre ordinary dated patchy routine flimsy",
}
ADJECTIVES = tuple(
    (word, sign * strength)
    for sign, table in ((1, _POSITIVE), (-1, _NEGATIVE))
    for strength, words in table.items()
    for word in words.split()
)

DEGREES = {"": 1.0, "truly": 1.4, "really": 1.3, "thoroughly": 1.4, "somewhat": 0.6, "a little": 0.5, "mostly": 0.8}

CLAIMS = {
    "{aspect} is {degree} {adjective}": 1.0,
    "{aspect} turns out {degree} {adjective}": 1.0,
    "{aspect} feels {degree} {adjective}": 0.9,
    "{aspect} stays {degree} {adjective} throughout": 1.2,
}
"""Ways to say it, with the factor on the adjective's strength; they take a degree word."""

TURNS = {
    1: {
        "{aspect} is not {adjective}": -0.7,
        "{aspect} is anything but {adjective}": -1.2,
        "nobody would call {aspect} {adjective}": -1.0,
        "{aspect} was supposed to be {adjective}": -0.6,
        "{aspect} could have been more {adjective}": -0.7,
        "{aspect} stops being {adjective} after ten minutes": -0.8,
        "{aspect} is not just {adjective}": 0.8,
    },
    -1: {
        "{aspect} is not {adjective}": -0.6,
        "{aspect} is anything but {adjective}": -1.2,
        "nobody would call {aspect} {adjective}": -0.9,
        "{aspect} was bound to be {adjective}": 0.6,
        "{aspect} could have been less {adjective}": 0.7,
        "{aspect} stops being {adjective} after ten minutes": -0.8,
        "{aspect} is not just {adjective}": 1.2,
    },
}
"""Ways that turn the sign, or look as if they did, by the sign of the adjective; they take no degree word."""

JOINS = {
    "{0} and {1}": (0.8, 0.8),
    "{0} , while {1}": (0.8, 0.8),
    "{0} , but {1}": (0.4, 1.2),
    "{0} , yet {1}": (0.4, 1.2),
    "although {0} , {1}": (0.4, 1.2),
    "{0} , even though {1}": (1.2, 0.4),
}

VOICES = {
    "": 1.0,
    "to my mind ,": 1.0,
    "for a sequel ,": 0.9,
    "critics claim that": 0.6,
    "the poster promises that": 0.3,
    "only his mother thinks that": -0.5,
}

GAIN = 2.9
"""Factor on the summed evidence; sets the Bayes accuracy (tests hold it to 0.85 to 0.90)."""


def _clause(draws: Draws) -> tuple[str, float]:
    word, strength = draws.choose(ADJECTIVES)
    turned = draws.chance(0.4)
    patterns = TURNS[1 if strength > 0 else -1] if turned else CLAIMS
    pattern, factor = draws.choose(tuple(patterns.items()))
    degree = "" if turned or abs(strength) == STRONG or draws.chance(0.4) else draws.choose(tuple(DEGREES))
    text = pattern.format(aspect=draws.choose(ASPECTS), degree=degree, adjective=word)
    return " ".join(text.split()), strength * factor * DEGREES[degree]


def draw_review(draws: Draws) -> tuple[tuple[str], float]:
    """A review and the log-odds that it is positive."""
    text, evidence = _clause(draws)
    if draws.chance(0.7):
        second, more = _clause(draws)
        pattern, (first_weight, second_weight) = draws.choose(tuple(JOINS.items()))
        text, evidence = pattern.format(text, second), first_weight * evidence + second_weight * more
    voice = draws.choose(tuple(VOICES)) if draws.chance(0.35) else ""
    return (sentence(voice, text),), GAIN * VOICES[voice] * evidence
