"""Several runs on the same data, trained one after the other and set side by side: what the demos do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation import Predictions
from logitmix_hf.reporting.folder import RunFolder, record_of
from logitmix_hf.reporting.plots import compare_reliability
from logitmix_hf.reporting.record import asked_arguments, check_same_arguments
from logitmix_hf.reporting.results import INTERVALS
from logitmix_hf.reporting.table import result_row, results_table
from logitmix_hf.training.job import Job
from logitmix_hf.training.run import fine_tune

QUIET = {"logging_steps": 10, "eval_strategy": "no", "save_strategy": "no"}
"""Flags of every run of a demo."""


def train_side_by_side(jobs: Mapping[str, Job], picture: Path, title: str, note: Sequence[str] = ()) -> int:
    """Train every job that its folder does not hold already; end with one table, one picture and the paths.

    Args:
        jobs: by the name that is told when each begins.
        picture: where the reliability plots of all go, one beside the other.
        title: of the picture.
        note: what to know about the numbers, in lines, told below the table.

    Returns:
        The exit code: of the first run that failed, else 0.
    """
    rows, pictured = [], {}
    for name, job in jobs.items():
        say("", f"=== {name} ===", out=True)
        folder = RunFolder(str(job.training.output_dir))
        if not _is_there(folder, job):
            job.run = type(job.run)(overwrite=folder.holds_run())
            if code := fine_tune(job):
                return code
        results, record = folder.read_json("eval_results.json"), folder.read_json("run.json")
        metric = record["data"]["metrics"][0]
        ends, place = folder.optional_json(INTERVALS), str(folder.path)
        rows.append(result_row(job.label, results, metric, seconds=record["seconds"], folder=place, intervals=ends))
        pictured[job.label] = Predictions.load(folder.predictions_path("validation"))
    compare_reliability(pictured, picture, title=title)
    say("", *results_table(rows).split("\n"), "", out=True)
    say(*note, "", out=True)
    say(f"picture: {picture}", out=True)
    say(f"models:  {', '.join(row['folder'] for row in rows)} (each loads with from_pretrained)", out=True)
    return 0


def _is_there(folder: RunFolder, job: Job) -> bool:
    """Whether the folder holds this very run, done."""
    record = record_of(folder.path)
    if record is None or record.get("status") != "done":
        return False
    try:
        check_same_arguments(asked_arguments(record), job.arguments())
    except UserError:
        return False  # another demo was here: train anew
    say(f"{folder.path} holds this run already; delete it to train again.", out=True)
    return True
