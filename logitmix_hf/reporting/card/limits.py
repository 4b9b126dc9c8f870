"""What a reader must not conclude from the numbers, and whom to cite."""

from __future__ import annotations

from logitmix_hf.reporting.card.facts import Facts, base_model
from logitmix_hf.reporting.card.images import is_image, is_untrained
from logitmix_hf.reporting.card.words import BUILTIN_MODEL_ID, CITATIONS, PAIR_TASKS_SEEN

FEW_ROWS = 200
"""Below this many rows the calibration measures of 15 bins are mostly chance: about 13 rows a bin."""


def limits(facts: Facts) -> str:
    """The section ``Limits``."""
    data, points = facts.data, []
    if facts.classifies:
        points.append(
            "Calibration was measured on the split above. On data of another kind, or with other shares of the labels, "
            "probabilities can be off; measure again before acting on them."
        )
        few = [
            f"{split.get('split')} ({split['rows']})" for split in facts.splits.values() if _is_few(split.get("rows"))
        ]
        if few:
            points.append(
                f"Few rows were judged: {', '.join(few)}. Binned measures such as ECE are mostly chance there."
            )
    if facts.trained:
        points.append(
            "One run with one seed: another seed gives other numbers; differences of this size may be chance."
        )
    if data.get("synthetic"):
        points.append(
            "The data is synthetic: sentences from a small grammar with known label noise, made to study calibration. "
            "The model is of no use on real text."
        )
    if base_model(facts.run) == BUILTIN_MODEL_ID:
        seen = PAIR_TASKS_SEEN.get(str(data.get("name")).lower().split("_")[0])
        points.append(
            "The base model was trained contrastively on text that includes SNLI, MultiNLI and QQP"
            + (f"; {seen}." if seen else ".")
        )
    whose = "of the data" if is_untrained(facts.run) else "of the base model and of the data"
    points.append(f"Biases {whose} are in this model too.")
    return "\n".join(f"- {point}" for point in points)


def _is_few(rows: object) -> bool:
    return isinstance(rows, int) and rows < FEW_ROWS


def citation(facts: Facts) -> str:
    """The section ``Citation``."""
    name = facts.method.get("name") if facts.trained else None
    keys = ["logitmix"] if "logitmix" in str(name) else []
    if name not in (None, "vanilla"):
        keys.append("mixup" if is_image(facts.run) else "mixup_transformer")
    if facts.divisor is not None:
        keys.append("temperature")
    if not set(keys) - {"temperature"}:
        did = "Trained and measured" if facts.trained else "Measured"
        return f"{did} with `logitmix_hf`; the measures are those of the LogitMix paper:\n\n" + _bibtex(
            ["logitmix", *keys]
        )
    return _bibtex(keys)


def _bibtex(keys: list[str]) -> str:
    return "```bibtex\n" + "\n\n".join(CITATIONS[key] for key in keys) + "\n```"
