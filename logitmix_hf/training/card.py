"""The card of a run: written at its end, and again by ``logitmix card`` and ``logitmix push``."""

from __future__ import annotations

import sys

from logitmix_hf.methods import METHODS
from logitmix_hf.reporting import benchmark
from logitmix_hf.reporting.card import write_card
from logitmix_hf.reporting.card.edits import is_marked
from logitmix_hf.reporting.card.written import CARD
from logitmix_hf.reporting.folder import RECORD, RunFolder


def write_run_card(folder: RunFolder, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write the card of a run, with its method's idea and source; what of it stayed as somebody had changed it.

    Raises:
        UserError: see ``reporting.card.write_card``.
    """
    row = METHODS.get((folder.read_json(RECORD).get("method") or {}).get("name") or "")
    method = {"name": row.name, "idea": row.idea, "source": row.source} if row else None
    return write_card(folder, method, overwrite=overwrite)


def write_last_card(folder: RunFolder) -> None:
    """The card at the end of a training: around what somebody wrote into one of ours that stands there, because the run
    went on; one that does not say what of it is ours is of an older version, and is replaced."""
    card = folder.path / CARD
    kept = write_run_card(folder, overwrite=not (card.is_file() and is_marked(card.read_text(encoding="utf-8"))))
    if kept:
        print(f"{card}: kept as you changed them: {', '.join(kept)}", file=sys.stderr)


def write_eval_results(folder: RunFolder) -> None:
    """Write ``.eval_results/*.yaml`` of a judged run.

    Raises:
        UserError: see ``reporting.benchmark.benchmark_entries``.
    """
    name, text = benchmark.benchmark_entries(folder.read_json(RECORD), folder.read_json("eval_results.json"))
    folder.write_text(name, text)
    print(f"wrote {folder.path / name}")
