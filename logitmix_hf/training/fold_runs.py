"""The trainings of ``--folds K`` one after the other: each fold, then the model that is kept."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation.predictions import REGRESSION
from logitmix_hf.process import by_main, is_main_process
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.trainer.resolved import resolved
from logitmix_hf.training.folds import Fold, fold_path
from logitmix_hf.training.job import Job


def with_folds(job: Job, train: Callable[[Job], int]) -> int:
    """Train the folds, and then the model that is kept; returns the first exit code that is not 0.

    Args:
        train: carries out one training.

    Raises:
        UserError: for flags that choose by rows which are to be judged, and a run without training.
    """
    run, training = job.run, job.training
    _check(job)
    job.check()  # what only the last training needs is missed now, not after the folds
    folder = RunFolder(str(training.output_dir))
    by_main(lambda: folder.check(overwrite=run.overwrite, resume=run.resume))
    count, claimed = int(run.folds or 0), list[bool]()
    began = [run.resume and RunFolder(fold_path(folder, k)).holds_run() for k in range(count)]

    def fold(number: int | None, **changes: Any) -> Job:
        made = copy.copy(job)
        made.data = replace(job.data, validation_share=0.0)
        made.run = replace(run, **changes)
        made.fold = Fold(run, folder, count, number, run.overwrite, run.resume, claimed)
        return made

    quiet: Mapping[str, Any] = {
        "protocol": None, "calibrator": "temperature", "thresholds": None, "cost": None, "positive_label": None,
        "bootstrap": 0,
    }  # fmt: skip
    beside: Mapping[str, Any] = {
        "shift": None,
        "ood": None,
    }  # the first fold reads it, so that a mistake is seen at once
    for number in range(count):
        made = fold(number, resume=began[number], overwrite=run.overwrite, **quiet, **(beside if number else {}))
        made.training = resolved(
            training,
            output_dir=str(fold_path(folder, number)),
            eval_strategy="no",
            do_predict=False,
            push_to_hub=False,
        )
        if is_main_process():
            say(f"fold {number} of {count}", out=True)
        if code := train(made):
            return code
        gc.collect()  # the fold's model, before there is another
    problem = RunFolder(fold_path(folder, 0)).read_json("run.json")["data"]["problem"]
    last = fold(None, resume=True, overwrite=False, protocol=None if problem == REGRESSION else "halves")
    last.training = resolved(training, eval_strategy="no")
    return train(last)


def _check(job: Job) -> None:
    training = job.training
    if not training.do_train:
        raise UserError("--folds trains a model for each fold, and --do_train false trains none: take one.")
    if job.data.hold_out is not None:
        raise UserError("--folds judges every row, and --hold_out a share of them: take one.")
    if not training.do_eval:
        raise UserError("--folds judges every row, and --do_eval false judges none: take one.")
    if training.load_best_model_at_end or job.run.early_stopping:
        raise UserError(
            "--folds judges each model on the rows that --load_best_model_at_end and --early_stopping would choose by: leave"
            " them out, or --folds."
        )
