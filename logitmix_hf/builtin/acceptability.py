"""cola: would a speaker of English accept the sentence?

A sentence has one or two clauses, each of one construction with one place where it may go wrong: agreement across an
attractor, a reflexive, a verb that lacks or cannot take an object, the form after an auxiliary, a double object, a
determiner, a polarity item, a preposition, word order, a question. Each fault has its price in log-odds (speakers
forgive some more than others), and so has what is correct but heavy.
"""

from __future__ import annotations

from collections.abc import Callable

from .draws import Draws
from .english import plural, sentence, with_article

Clause = tuple[str, float]
"""Words and the log-odds they cost."""

BASE = 3.0
"""Log-odds that a light sentence without a fault is accepted."""

GAIN = 1.4
"""Factor on all prices; sets the Bayes accuracy (tests hold it to 0.85 to 0.90)."""

ROLES = (
    "chef", "nurse", "pilot", "farmer", "lawyer", "teacher", "tailor", "singer", "student", "guard", "dancer", "banker",
    "plumber", "neighbor", "visitor",
)  # fmt: skip
OBJECTS = (
    "lamp", "key", "ladder", "letter", "vase", "basket", "drum", "bottle", "carpet", "painting", "clock", "curtain",
    "suitcase", "mirror", "blanket",
)  # fmt: skip
MANNERS = ("quickly", "carefully", "quietly", "slowly", "proudly")
SPOTS = ("in the kitchen", "after lunch", "on monday", "near the bridge", "at night", "during the concert")

# base, past, participle
TRANSITIVE = (
    ("repair", "repaired", "repaired"), ("break", "broke", "broken"), ("hide", "hid", "hidden"),
    ("take", "took", "taken"), ("choose", "chose", "chosen"), ("steal", "stole", "stolen"),
    ("describe", "described", "described"), ("throw", "threw", "thrown"), ("see", "saw", "seen"),
    ("mention", "mentioned", "mentioned"),
)  # fmt: skip
INTRANSITIVE = ("slept", "arrived", "sneezed", "vanished", "yawned", "laughed", "fainted", "smiled")
STRICT = ("repaired", "described", "mentioned", "carried", "grabbed", "avoided", "lifted", "noticed")
"""Transitive verbs that never do without their object, as "hid" or "stole" may."""
REFLEXIVES = {
    **dict.fromkeys(("queen", "mother", "actress"), ("herself", ("himself", "itself", "themselves"))),
    **dict.fromkeys(("king", "father", "boy"), ("himself", ("herself", "itself", "themselves"))),
    **dict.fromkeys(("girls", "twins", "sisters"), ("themselves", ("himself", "herself", "itself"))),
    **dict.fromkeys(("company", "bank"), ("itself", ("himself", "herself"))),  # many say "themselves" of a company
}
"""Noun to the right reflexive and to those that are wrong."""
DATIVE = ("gave", "sent", "showed", "handed", "lent", "sold")
NO_DATIVE = ("explained", "donated", "described", "mentioned", "returned", "revealed")
PREPOSITIONS = {
    "relied": "on", "waited": "for", "apologized": "for", "objected": "to", "listened": "to", "insisted": "on",
    "hoped": "for", "cared": "about",
}  # fmt: skip
WRONG_PREPOSITIONS = ("of", "into")  # wrong after each of them, as "by" or "at" a place is not
QUALITIES = ("careful", "generous", "patient", "famous", "nervous", "honest")
SHORT_QUALITIES = {"tall": "taller", "old": "older", "kind": "kinder", "fast": "faster", "young": "younger"}


def _agreement(draws: Draws, faulty: bool) -> Clause:
    head = draws.choose(OBJECTS)
    attractor = draws.other(OBJECTS, head)
    many, attractor_many = draws.chance(0.5), draws.chance(0.5)
    verb = draws.choose((("is", "are"), ("was", "were"), ("looks", "look"), ("has been", "have been")))[many ^ faulty]
    place = draws.choose(("near", "behind", "beside", "under"))
    subject = f"the {plural(head) if many else head} {place} the {plural(attractor) if attractor_many else attractor}"
    # The well-known attraction error: a verb that agrees with the nearer noun is noticed less.
    attracted = many != attractor_many
    cost = (3.2 if attracted else 4.4) if faulty else (0.6 if attracted else 0.1)
    return f"{subject} {verb} {draws.choose(('broken', 'expensive', 'old', 'dirty', 'heavy'))}", cost


def _object(draws: Draws, faulty: bool) -> Clause:
    role, spot = draws.choose(ROLES), draws.choose(SPOTS)
    manner = draws.choose(MANNERS) if draws.chance(0.4) else ""
    thing = f"the {draws.choose(OBJECTS)}"
    if draws.chance(0.5):
        verb, takes, cost = draws.choose(STRICT), not faulty, 4.2
    else:
        verb, takes, cost = draws.choose(INTRANSITIVE), faulty, 4.8
    words = " ".join(part for part in (f"the {role}", manner, verb, thing if takes else "", spot) if part)
    return words, cost if faulty else 0.1


def _reflexive(draws: Draws, faulty: bool) -> Clause:
    who = draws.choose(tuple(REFLEXIVES))
    right, wrong = REFLEXIVES[who]
    word = draws.choose(wrong) if faulty else right
    verb = draws.choose(("blamed", "praised", "described", "surprised", "saw"))
    return f"the {who} {verb} {word} {draws.choose(SPOTS)}", 4.2 if faulty else 0.2


def _auxiliary(draws: Draws, faulty: bool) -> Clause:
    base, past, participle = draws.choose(TRANSITIVE)
    auxiliary = draws.choose(("had", "will", "must", "did not", "has already", "could"))
    perfect = auxiliary.startswith("ha")
    form = (participle if perfect else base) if not faulty else base if perfect else past
    return f"the {draws.choose(ROLES)} {auxiliary} {form} the {draws.choose(OBJECTS)}", 4.4 if faulty else 0.1


def _dative(draws: Draws, faulty: bool) -> Clause:
    giver, thing = draws.choose(ROLES), f"the {draws.choose(OBJECTS)}"
    taker = draws.other(ROLES, giver)
    if faulty or draws.chance(0.5):
        return (
            f"the {giver} {draws.choose(NO_DATIVE if faulty else DATIVE)} the {taker} {thing}",
            3.2 if faulty else 0.2,
        )
    return f"the {giver} {draws.choose(DATIVE + NO_DATIVE)} {thing} to the {taker}", 0.2


def _determiner(draws: Draws, faulty: bool) -> Clause:
    thing = draws.choose(OBJECTS)
    word, many = draws.choose((("this", False), ("every", False), ("these", True), ("many", True), ("several", True)))
    noun = plural(thing) if many ^ faulty else thing
    return f"the {draws.choose(ROLES)} {draws.choose(TRANSITIVE)[1]} {word} {noun}", 4.4 if faulty else 0.1


def _polarity(draws: Draws, faulty: bool) -> Clause:
    who = draws.choose(("the", "some", "that") if faulty else ("no",))
    rest = f"has ever {draws.choose(TRANSITIVE)[2]} a {draws.choose(OBJECTS)}"
    return f"{who} {draws.choose(ROLES)} {rest}", 3.8 if faulty else 0.3


def _preposition(draws: Draws, faulty: bool) -> Clause:
    verb = draws.choose(tuple(PREPOSITIONS))
    right = PREPOSITIONS[verb]
    wrong, cost = ("", 4.0) if draws.chance(0.5) else (draws.choose(WRONG_PREPOSITIONS), 3.2)
    link = wrong if faulty else right
    words = (f"the {draws.choose(ROLES)}", verb, link, f"the {draws.choose(OBJECTS)}")
    return " ".join(part for part in words if part), cost if faulty else 0.1


def _comparison(draws: Draws, faulty: bool) -> Clause:
    one = draws.choose(ROLES)
    other = draws.other(ROLES, one)
    if draws.chance(0.5):
        right = draws.choose(tuple(SHORT_QUALITIES.values()))
        wrong, cost = f"more {right}", 2.8
    else:
        quality = draws.choose(QUALITIES)
        right, wrong, cost = f"more {quality}", quality, 4.0
    return f"the {one} is {wrong if faulty else right} than the {other}", cost if faulty else 0.1


def _order(draws: Draws, faulty: bool) -> Clause:
    role, verb, thing = draws.choose(ROLES), draws.choose(TRANSITIVE)[1], draws.choose(OBJECTS)
    manner, quality = draws.choose(MANNERS), draws.choose(("old", "small", "red", "heavy"))
    if not faulty:
        return f"the {role} {manner} {verb} {with_article(f'{quality} {thing}')}", 0.2
    return draws.choose(
        (
            (f"the {manner} {role} {verb} {with_article(f'{quality} {thing}')}", 4.4),
            (f"the {role} {with_article(f'{quality} {thing}')} {manner} {verb}", 4.8),
            (f"the {role} {manner} {verb} {with_article(f'{thing} {quality}')}", 4.2),
            (f"the {role} {verb} {manner} {with_article(f'{quality} {thing}')}", 1.8),
        )
    )


CONSTRUCTIONS: tuple[Callable[[Draws, bool], Clause], ...] = (
    _agreement, _object, _reflexive, _reflexive, _auxiliary, _auxiliary, _dative, _determiner, _polarity, _polarity,
    _preposition, _preposition, _comparison, _comparison, _order,
)  # fmt: skip
"""Drawn as often as listed: twice where one word gives the fault away, which a small model learns from few rows."""

# None of these words licenses "ever", as "before" and "whether" would: the polarity fault stays one in every frame.
JOINS = {"{0} and {1}": 0.2, "{0} because {1}": 0.3, "{0} while {1}": 0.4, "although {0} , {1}": 0.4}
FRAMES = {"I think that": 0.1, "the mayor said that": 0.2, "it is obvious that": 0.2, "she had forgotten that": 0.3}


def draw_sentence(draws: Draws) -> tuple[tuple[str], float]:
    """A sentence and the log-odds that it is acceptable."""
    two = draws.chance(0.2)
    text, cost = draws.choose(CONSTRUCTIONS)(draws, draws.chance(0.3 if two else 0.48))
    if two:
        second, more = draws.choose(CONSTRUCTIONS)(draws, draws.chance(0.3))
        join, price = draws.choose(tuple(JOINS.items()))
        text, cost = join.format(text, second), cost + more + price
    if draws.chance(0.25):
        frame, price = draws.choose(tuple(FRAMES.items()))
        text, cost = f"{frame} {text}", cost + price
    return (sentence(text),), GAIN * (BASE - cost)
