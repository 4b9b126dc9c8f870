"""The process that reads the command lines of a study with the command's own parser, and ends: no command of its own.

``python -m logitmix_hf.commands.study_check ASKED TOLD``: two files of JSON. Without TOLD, what the runs read is fetched.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from logitmix_hf.commands import glue, vision
from logitmix_hf.errors import UserError
from logitmix_hf.process import guarded
from logitmix_hf.studies.identity import run_id
from logitmix_hf.studies.resolve import Answer
from logitmix_hf.training.job import Job
from logitmix_hf.training.prepare import prepared_lines
from logitmix_hf.training.run import check_flags

PARSERS: dict[str, Callable[[Sequence[str]], Job]] = {"glue": glue.parse, "vision": vision.parse}


def main(asked: str, told: str) -> None:
    """Read every command line; write what was read, or the first mistake and the number of its run."""
    question = json.loads(Path(asked).read_text(encoding="utf-8"))
    answers: list[dict[str, Any]] = []
    answer: dict[str, Any] = {"runs": answers}
    seen: set[str] = set()
    try:
        for words in question["runs"]:
            answers.append(asdict(read(question["command"], words, question["elsewhere"], seen)))  # noqa: PERF401
    except UserError as mistake:
        answer = {"mistake": " ".join(str(mistake).split()), "run": len(answers)}
    Path(told).write_text(json.dumps(answer), encoding="utf-8")


def read(command: str, words: Sequence[str], elsewhere: bool = False, seen: set[str] | None = None) -> Answer:
    """One command line, checked as the command itself checks it before it loads anything.

    Args:
        command: ``glue`` or ``vision``.
        words: after it.
        elsewhere: it will run on another machine: flags that want a GPU are taken though there is none here.
        seen: the models that were looked at already, with what was asked of them.

    Raises:
        UserError: the command's own line.
    """
    bare, job = _parsed(command, words, elsewhere)
    of_model = json.dumps([repr(job.model), job.mix.method, str(job.mix.site), job.arguments().get("max_length")])
    if seen is None or of_model not in seen:
        job.check_model(job.training.hub_token)
        if seen is not None:
            seen.add(of_model)
    arguments = job.arguments()
    if bare:
        arguments["use_cpu"] = "--use_cpu" in words
    return Answer(run_id(command, arguments), job.name, job.mix.method, job.training.seed, job.request.drawn)


def _parsed(command: str, words: Sequence[str], elsewhere: bool) -> tuple[bool, Job]:
    """The checked job, and whether it was told to do without the GPU that it will have."""
    bare = elsewhere and not torch.cuda.is_available()
    job = PARSERS[command]([*words, *(["--use_cpu", "true"] if bare else [])])
    check_flags(job)
    return bare, job


def prepare(asked: str) -> int:
    """As ``--prepare`` of each run, once for each data set and model; returns the exit code."""
    question = json.loads(Path(asked).read_text(encoding="utf-8"))
    seen: set[str] = set()

    def prepare_all() -> None:
        for name, words in question["runs"]:
            _, job = _parsed(question["command"], [*words, "--prepare"], question["elsewhere"])
            run = job.run
            read = repr([job.data, job.model, run.shift, run.ood, run.calibration_file])
            if read in seen:
                continue
            seen.add(read)
            try:
                job.check_model(job.training.hub_token)
                job.tell(prepared_lines(job, job.load())[:-1])  # the last one is of a single run
            except UserError as mistake:
                raise UserError(f"{str(mistake).rstrip('.')} (run {name}).") from mistake

    return guarded(prepare_all)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else prepare(sys.argv[1]))
