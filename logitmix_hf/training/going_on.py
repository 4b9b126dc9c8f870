"""``--resume``: whether a run may go on, which is when nothing that trains it is another now, and its checkpoint is whole."""

from __future__ import annotations

from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from logitmix_hf.data.task_data import TaskData
from logitmix_hf.errors import UserError, say
from logitmix_hf.process import is_main_process
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.record import asked_arguments, check_same_arguments, read_record
from logitmix_hf.trainer.checkpoints import check_checkpoint
from logitmix_hf.training.job import Job

_READ = ("do_train", "do_eval", "do_predict", "test_file", "calibration_file", "shift", "ood")
"""Arguments that may change when a run goes on, and then other rows are read."""


def nothing_is_left(folder: RunFolder, job: Job) -> bool:
    """Whether the run is done and its checkpoints are gone; else it may go on as far as flags and files tell.

    Raises:
        UserError: naming what differs from how the run began, or what its last checkpoint lacks.
    """
    record, training, last = read_record(folder), job.training, get_last_checkpoint(str(folder.path))
    if last and not asked_arguments(record):
        raise UserError(
            f"--resume compares the arguments with those that the run began with, and {str(folder.path / 'run.json')!r} holds"
            " none: train again by --overwrite, or give another --output_dir."
        )
    check_same_arguments(asked_arguments(record), job.arguments())
    began, now = record["environment"].get("processes"), training.world_size
    if began not in (None, now) and training.do_train:
        raise UserError(
            f"--resume needs as many processes as the run began with, {began}, and there are {now} now: a step would"
            f" train on other rows. Start {began}, or another run with another --output_dir."
        )
    if last:
        check_checkpoint(last)
    elif training.do_train and record.get("status") == "done":
        if is_main_process():
            say(
                f"The run in {folder.path} is done: nothing is left to go on with (--overwrite trains it again).",
                out=True,
            )
        return True
    return False


def check_same_rows(folder: RunFolder, job: Job, data: TaskData[Any]) -> None:
    """Require the rows that the run began with, where the same ones are asked for.

    Raises:
        UserError: the files or the data set hold others now.
    """
    record = read_record(folder)
    asked, now = asked_arguments(record), job.arguments()
    began = record["data"].get("fingerprint")
    if began in (None, data.fingerprint) or any(asked.get(name) != now.get(name) for name in _READ):
        return
    raise UserError(
        f"--resume needs the rows that the run began with, and a split of {data.name!r} holds others now (fingerprint"
        f" {began} then, {data.fingerprint} now). Bring them back, or start another run with another --output_dir."
    )
