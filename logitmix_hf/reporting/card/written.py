"""The card of a run folder: from nothing but what lies in it."""

from __future__ import annotations

from typing import Any

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.predictions import Predictions
from logitmix_hf.reporting.card.confidence import PICTURE
from logitmix_hf.reporting.card.edits import is_marked, marked, merged
from logitmix_hf.reporting.card.facts import Facts, Record
from logitmix_hf.reporting.card.whole import text_of
from logitmix_hf.reporting.emissions import FILE, read_emissions
from logitmix_hf.reporting.folder import RECORD, RunFolder

CARD = "README.md"


def facts_of(folder: RunFolder, method: Record | None = None) -> Facts:
    """What the folder says; ``method`` is the method's row, for its idea and its source.

    Raises:
        UserError: a file is missing that every run has, or cannot be read.
    """
    run = folder.read_json(RECORD)
    results = _optional(folder, "eval_results.json")
    splits = (run.get("data") or {}).get("splits") or {}
    paths = {prefix: folder.path / "predictions" / f"{split.get('split')}.parquet" for prefix, split in splits.items()}
    return Facts(
        run=run,
        results=results,
        name=folder.path.resolve().name,
        location=str(folder.path) if _holds_model(folder) else str((run.get("model") or {}).get("base")),
        method={**(run.get("method") or {}), **(method or {})},
        picture="reliability.png" if (folder.path / "reliability.png").is_file() else None,
        bins=(run.get("arguments") or {}).get("bins") or 15,
        intervals=_optional(folder, "intervals.json"),
        temperature=_optional(folder, "config.json").get("logitmix") or {},
        predictions={prefix: Predictions.load(path) for prefix, path in paths.items() if path.is_file()},
        emissions=read_emissions(folder.path / FILE),
        tempered_picture=(folder.path / PICTURE).is_file(),
    )


def write_card(folder: RunFolder, method: Record | None = None, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write README.md; a card that stands there is written again around what somebody wrote into it.

    Args:
        overwrite: replace the card whole.

    Returns:
        The headings of the sections that stayed as somebody had changed them.

    Raises:
        UserError: the card that stands there does not say which of it is ours, and ``overwrite`` is not given.
    """
    card, path = text_of(facts_of(folder, method)), folder.path / CARD
    if overwrite or not path.exists():
        folder.write_text(CARD, marked(card))
        return ()
    old = path.read_text(encoding="utf-8")
    if not is_marked(old):
        raise UserError(
            f"{str(path)!r} does not say what of it is yours and what was written by logitmix (it is of an older version, "
            "or its last line is gone): copy what is yours, and replace it by --overwrite."
        )
    result = merged(old, card)
    folder.write_text(CARD, result.text)
    return result.kept


def _holds_model(folder: RunFolder) -> bool:
    return any((folder.path / name).is_file() for name in ("config.json", "adapter_config.json"))


def _optional(folder: RunFolder, name: str) -> dict[str, Any]:
    return folder.read_json(name) if (folder.path / name).is_file() else {}
