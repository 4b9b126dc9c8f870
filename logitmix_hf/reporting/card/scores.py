"""The card's results: every score with its interval, what the numbers mean, and on what they were chosen."""

from __future__ import annotations

from logitmix_hf.reporting.card.facts import Facts, sentence
from logitmix_hf.reporting.card.words import SCORE_NOTES
from logitmix_hf.tables import markdown_table


def results(facts: Facts) -> str:
    """The section ``Results``."""
    level = _level(facts)
    with_intervals = level is not None
    rows: list[tuple[str, ...]] = []
    keys: set[str] = set()
    for prefix, split in facts.splits.items():
        count = f"{split['rows']:,}" if split.get("rows") else "–"
        for metric, title, value in facts.scores(prefix):
            keys.add(metric)
            interval = (bracketed(facts.interval(prefix, metric)),) if with_intervals else ()
            rows.append((str(split.get("split", prefix)), count, title, shown(value), *interval))
    if not rows:
        return "This run was not judged: there are no scores."
    head = ("split", "rows", "score", "value", *((f"{level:g} % interval",) if with_intervals else ()))
    parts = [markdown_table(head, rows, "-r-rr"), *_notes(facts, keys)]
    if facts.picture and facts.classifies:
        parts.append(
            f"![Reliability: accuracy against confidence, with the number of examples in each bin]({facts.picture})"
        )
    return "\n\n".join(parts)


def shown(value: float) -> str:
    """A score as tables show it; what rounds to 0 has no sign."""
    text = f"{value:.4f}"
    return text.lstrip("-") if float(text) == 0 else text


def bracketed(interval: tuple[float, float] | None) -> str:
    """An interval as tables show it."""
    return "–" if interval is None else f"[{shown(interval[0])}, {shown(interval[1])}]"


def _level(facts: Facts) -> float | None:
    """The level of the intervals in per cent; None where no score has one."""
    some = any(facts.interval(prefix, metric) for prefix in facts.splits for metric, _, _ in facts.scores(prefix))
    return round(100 * float(facts.intervals.get("level", 0.95)), 6) if some else None


def _notes(facts: Facts, keys: set[str]) -> list[str]:
    notes = []
    if facts.classifies:
        notes.append(
            f"ECE and OE: {facts.bins} equal-width bins of the largest probability, each open on the left and closed on the "
            "right (0 falls in the first); OE counts only bins where confidence exceeds accuracy, weighted by "
            "confidence. The confidence gap is mean confidence minus accuracy: above 0 is over-confident. NLL is in "
            "nats; Brier is summed over classes."
        )
        notes += [" ".join(said)] if (said := [text for key, text in SCORE_NOTES.items() if key in keys]) else []
    if "true_calibration_error" in keys:
        notes.append(
            "The true calibration error is the mean distance of the confidence from the true probability of the "
            "predicted class, which is known because the data was generated; the Bayes accuracy is what the best "
            "possible classifier would reach."
        )
    if _level(facts) is not None:
        drawn, seed = facts.intervals.get("resamples"), facts.intervals.get("seed")
        how = f" ({drawn:,} resamples, seed {seed})" if isinstance(drawn, int) else ""
        notes.append(
            f"Intervals: bootstrap over the rows of the split{how}. They say how far the number would move with other "
            "rows of the same kind; another seed of training moves it too, and is not in them."
        )
    notes.append(_selection(facts))
    if facts.data.get("validation"):
        notes.append(f"Judged on: {facts.data['validation']}.")
    if facts.data.get("subset"):
        notes.append(f"**These are not scores on the full data:** {sentence(str(facts.data['subset']))}")
    return [note for note in notes if note]


def _selection(facts: Facts) -> str:
    if not facts.trained:
        return ""
    if facts.arguments.get("load_best_model_at_end"):
        by = facts.arguments.get("metric_for_best_model") or "loss"
        return (
            f"**The checkpoint was selected on this split** (the best `{by}`), so the scores are better than on new "
            "data of the same kind."
        )
    return "The scores are those of the last step of training; no checkpoint was selected on this split."
