"""What several classifiers say together of the same rows, and what each of them adds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation.intervals import Interval
from logitmix_hf.evaluation.members import member_scores
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE, Predictions

AVERAGES = {
    "logits": "the mean of the logits",
    "probs": "the logarithm of the mean probability (deep ensembles, Lakshminarayanan et al. 2017)",
}


def pool(members: Sequence[Predictions], average: str = "logits") -> Predictions:
    """The predictions of all together, in the row order of the first; ``members`` of the result are what each said.

    Args:
        members: at least one, of the same rows (matched by ``idx``), labels and classes, their own temperatures out.
        average: a name in :data:`AVERAGES`; values of a regression are averaged either way.

    Raises:
        UserError: for rows, labels or classes that differ.
    """
    pick(AVERAGES, average, "average")
    first = members[0]
    aligned = [_aligned(first, other, number) for number, other in enumerate(members)]
    each = np.stack([one.logits.astype(np.float64) for one in aligned], 1)
    return replace(first, logits=averaged(each, average, first.problem), members=each)


def averaged(each: np.ndarray, average: str, problem: str) -> np.ndarray:
    """(N, M, C) logits of members -> (N, C), float64."""
    if average == "logits" or problem == REGRESSION:
        return each.mean(1)
    count = math.log(each.shape[1])
    if problem == MULTI:
        yes = -np.logaddexp(0, -each)
        no = -np.logaddexp(0, each)
        return np.logaddexp.reduce(yes, 1) - np.logaddexp.reduce(no, 1)
    log_p = each - np.logaddexp.reduce(each, 2)[..., None]
    return np.logaddexp.reduce(log_p, 1) - count


def _aligned(first: Predictions, other: Predictions, number: int) -> Predictions:
    """``other`` in the row order of ``first``."""
    if other.problem != first.problem:
        raise UserError(
            f"member {number} is of a task of {other.problem}, the first of {first.problem}: join runs of one task."
        )
    if other.logits.shape[1] != first.logits.shape[1]:
        raise UserError(
            f"member {number} tells {other.logits.shape[1]} classes apart, the first {first.logits.shape[1]}: join"
            " runs of one task."
        )
    if other.label_names != first.label_names:
        differing = [
            f"{one!r} and {two!r}" for one, two in zip(first.label_names, other.label_names, strict=False) if one != two
        ]
        same = sorted(first.label_names) == sorted(other.label_names)
        raise UserError(
            f"member {number} numbers its classes otherwise than the first ({', '.join(differing[:3])}"
            f"{', …' if len(differing) > 3 else ''}){': the names are the same, in another order' if same else ''}."
        )
    assert first.idx is not None
    assert other.idx is not None
    if len(set(first.idx.tolist())) < len(first) or len(set(other.idx.tolist())) < len(other):
        raise UserError("a number (idx) stands for several rows, so rows cannot be matched.")
    place = {row: position for position, row in enumerate(other.idx.tolist())}
    shared = sum(row in place for row in first.idx.tolist())
    if shared < len(first) or len(other) != len(first):
        raise UserError(
            f"member {number} was judged on {len(other)} rows, the first on {len(first)}, and {shared} are the same: join"
            " runs that were judged on the same rows (--seed draws the rows that are held out of train: give all runs one"
            " --validation_file)."
        )
    order = np.array([place[row] for row in first.idx.tolist()], int)
    labels = None if other.labels is None else other.labels[order]
    same = labels is first.labels if labels is None or first.labels is None else np.array_equal(labels, first.labels)
    if not same:
        raise UserError(
            f"member {number} has other labels than the first on the same rows: they are not of one data set."
        )
    return Predictions(other.logits[order], labels, first.label_names, first.problem, idx=first.idx)


def gains(pooled: Predictions, resamples: int = 1000, seed: int = 0, level: float = 0.95) -> dict[str, Interval]:
    """What the members gain together, by score, over the mean of theirs, on the same rows.

    ``accuracy`` (of decisions where a row has several labels) and ``nll`` in nats; of a regression ``mse``. The interval is
    the percentile one of a paired bootstrap over rows: what makes a row hard for all is in neither side.
    """
    found = {}
    for name, score in _rowwise(pooled).items():
        value, each = score
        differences = value - each.mean(1)
        rng = np.random.default_rng(seed)
        drawn = [differences[rng.integers(len(differences), size=len(differences))].mean() for _ in range(resamples)]
        ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if resamples else (math.nan, math.nan)
        found[name] = Interval(float(differences.mean()), float(ends[0]), float(ends[1]))
    return found


def _rowwise(pooled: Predictions) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each score what every row adds: for all together (N,), for each member (N, M)."""
    assert pooled.members is not None
    assert pooled.labels is not None
    if pooled.problem == REGRESSION:
        truth = pooled.labels
        return {
            "mse": ((pooled.logits[:, 0] - truth) ** 2, (pooled.members[..., 0] - truth[:, None]) ** 2),
        }
    together = _per_row(pooled.logits, pooled)
    each = [_per_row(pooled.members[:, k], pooled) for k in range(pooled.members.shape[1])]
    return {name: (together[name], np.stack([one[name] for one in each], 1)) for name in ("accuracy", "nll")}


def _per_row(logits: np.ndarray, p: Predictions) -> dict[str, np.ndarray]:
    logits, labels = logits.astype(np.float64), p.labels
    assert labels is not None
    if p.problem == MULTI:
        nll = np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean(1)
        return {"accuracy": ((logits > 0) == labels).mean(1), "nll": nll}
    rows = np.arange(len(labels))
    return {
        "accuracy": (logits.argmax(1) == labels).astype(float),
        "nll": np.logaddexp.reduce(logits, 1) - logits[rows, labels],
    }


def disagreement(pooled: Predictions) -> float | None:
    """The share of rows (of decisions, where a row has several labels) on which two members answer differently, a mean
    over pairs; None for one member and for a regression."""
    assert pooled.members is not None
    if pooled.problem == REGRESSION or pooled.members.shape[1] < 2:
        return None
    answers = pooled.members.argmax(2) if pooled.problem == SINGLE else pooled.members > 0
    pairs = itertools.combinations(range(answers.shape[1]), 2)
    return float(np.mean([(answers[:, one] != answers[:, two]).mean() for one, two in pairs]))


def told_of_members(p: Predictions) -> list[str]:
    """How differently the members behind a prediction answer, in a line; none without members, labels or classes."""
    scores = member_scores(p)
    shares = disagreement(p) if scores else None
    return [] if shares is None else [difference(shares, scores["d_re"])]


def difference(share: float, d_re: float | None) -> str:
    """Disagreement and d_re in words."""
    ratio = "not defined: no pair shares an error" if d_re is None else f"{d_re:.3f}"
    return f"members answer differently on {share:.1%} of rows; d_re {ratio}"


def without(pooled: Predictions, member: int, average: str) -> Predictions:
    """What the others say together."""
    assert pooled.members is not None
    rest = np.delete(pooled.members, member, 1).astype(np.float64)
    return replace(pooled, logits=averaged(rest, average, pooled.problem), posterior=None, members=rest)
