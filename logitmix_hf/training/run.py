"""The story of every training: check, load, train, judge, write, push."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from transformers import EarlyStoppingCallback, set_seed
from transformers.trainer_utils import get_last_checkpoint

from logitmix_hf.arguments import MixArguments
from logitmix_hf.class_weights import read_class_weights, weights_in_order
from logitmix_hf.data.task_data import TaskData
from logitmix_hf.errors import UserError, pick, say
from logitmix_hf.evaluation import REGRESSION, evaluate_predictions
from logitmix_hf.evaluation.refinement import NLL_REFINED, refinement
from logitmix_hf.evaluation.scores import score_names
from logitmix_hf.evaluation.thresholds import check_task
from logitmix_hf.modality import IMAGE
from logitmix_hf.models.folding import forget
from logitmix_hf.process import by_main, is_main_process, use_all_cores
from logitmix_hf.reporting import hub
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.record import now
from logitmix_hf.trainer import MixTrainer
from logitmix_hf.trainer.checkpoints import Interrupted, SaveOnSignal
from logitmix_hf.trainer.resolved import resolved
from logitmix_hf.trainer.sharded import whole_weights
from logitmix_hf.training import calibration as protocols
from logitmix_hf.training.fold_runs import with_folds
from logitmix_hf.training.going_on import check_same_rows, nothing_is_left
from logitmix_hf.training.job import Job
from logitmix_hf.training.judge import OUTPUTS, finish, judge, judged_splits, predictions_of, record_of
from logitmix_hf.training.last_evaluation import LastEvaluation
from logitmix_hf.training.library_flags import check_library_flags
from logitmix_hf.training.loaded import Loaded
from logitmix_hf.training.ood import check_ood_data
from logitmix_hf.training.parallel_flags import check_asked, check_got
from logitmix_hf.training.prepare import prepared_lines
from logitmix_hf.training.settings import Change, TrainSettings
from logitmix_hf.training.targets import in_own_unit, target_scale


def fine_tune(job: Job) -> int:
    """Do all that the flags ask for; returns 0, 3 (trained and saved, not pushed), or 128 + the signal's number."""
    if job.run.folds is not None and job.fold is None and not job.run.prepare:
        if job.training.push_to_hub and is_main_process():
            _check_hub(job.training, RunFolder(str(job.training.output_dir)))
        return with_folds(job, fine_tune)
    folder = RunFolder(str(job.training.output_dir))
    with SaveOnSignal() as signals, ExitStack() as lock:
        try:
            return _fine_tune(job, folder, signals, lock)
        except Interrupted as end:
            return _interrupted(folder, int(end.code or 0))


def _fine_tune(job: Job, folder: RunFolder, signals: SaveOnSignal, lock: ExitStack) -> int:
    began = time.monotonic()
    use_all_cores()
    training = job.training

    # Every check that costs little comes before anything that takes long.
    if not job.run.prepare:
        by_main(lambda: folder.check(overwrite=job.run.overwrite, resume=job.run.resume))
    resumed = job.run.resume and not job.run.prepare
    if resumed and nothing_is_left(folder, job):
        return 0
    stopping = check_flags(job)
    check_asked(training)
    if job.mix.row.name != job.mix.method and is_main_process():
        say(f"--vwci {job.mix.vwci} with method {job.mix.method} is the method {job.mix.row.name} now.")
    target = _check_hub(training, folder) if training.push_to_hub and is_main_process() else None
    job.check_model(training.hub_token)

    set_seed(training.seed)
    loaded = job.load()
    if job.run.prepare:
        job.tell(prepared_lines(job, loaded))
        return 0
    if job.fold is not None:
        loaded = job.fold.of(loaded, training.seed)
    data = loaded.data
    if resumed:
        check_same_rows(folder, job, data)
    if not data.judged and training.eval_strategy != "no":
        why = f"--validation_share {job.data.validation_share:g} leaves nothing to judge on"
        loaded = replace(loaded, changed={**loaded.changed, "eval_strategy": Change("no", why)})
    mix = _weighed(job, loaded)
    _check_batches(job, loaded)
    _check_best_score(job, data)
    protocols.check_rows(job, data)
    asked = job.run if job.fold is None else job.fold.asked
    if asked.decides:
        check_task(data.problem, data.label_names, asked.positive_label)
    check_ood_data(job.run.ood, data, judged_splits(job, data))
    if training.do_train:
        forget(loaded.model.config)  # what was folded into the weights is not what they will be
    scale = target_scale(job, loaded)
    if scale is not None:
        scale.begin(loaded.model, answers=loaded.has_head)
    last = LastEvaluation(data.judged[0].name if data.judged else "")

    def scores(output: Any) -> dict[str, float]:
        last.keep(trainer, output)
        found = in_own_unit(predictions_of(output, data), scale)
        return evaluate_predictions(found, data.metrics, job.run.bins) | refinement(found)

    if job.fold is not None:
        by_main(job.fold.claim)  # a trainer makes its folder, within that of the whole run
    trainer = job.trainer_class(
        model=loaded.model,
        args=_arguments(training, loaded.changed),
        mix=mix,
        train_dataset=loaded.splits.get("train"),
        eval_dataset=loaded.splits.get(last.split),
        data_collator=loaded.collator if scale is None else scale.collator(loaded.collator),  # type: ignore[arg-type]
        processing_class=loaded.processor,
        compute_metrics=scores,
        callbacks=[signals, *stopping, *job.callbacks()],
        **job.trainer_options(),
    )
    trainer.named_outputs = OUTPUTS
    check_got(training, trainer.accelerator)

    def claim() -> None:
        lock.enter_context(folder.writing())
        folder.claim(overwrite=job.run.overwrite, resume=job.run.resume)

    by_main(claim)
    if trainer.is_world_process_zero():
        folder.write_json("run.json", record_of(job, loaded))
        folder.write_json("data.json", loaded.facts)
        job.before_training(trainer, loaded, folder.path)
    trainer.accelerator.wait_for_everyone()

    try:
        if training.do_train:
            _train(trainer, folder, job)
        if signals.received is not None:
            raise Interrupted(128 + signals.received)
        if scale is not None:  # from here on the model answers in the data's unit, and is judged by its labels
            with whole_weights(trainer.model):  # type: ignore[arg-type]
                scale.put_into(trainer.model)  # type: ignore[arg-type]
            trainer.data_collator = loaded.collator  # type: ignore[assignment]
        if training.do_train:
            job.settle(trainer, folder.path if trainer.is_world_process_zero() else None)
        judge(trainer, folder, job, loaded, last if scale is None else None)
    except Exception as problem:  # of whatever kind, the record says so, and it is raised again
        if trainer.is_world_process_zero():
            with suppress(OSError):  # the disk may be full, which is the problem then
                folder.update_record(status="failed", finished=now())
        if _is_out_of_memory(problem):
            raise _out_of_memory(problem, job, trainer) from problem
        raise
    if not trainer.is_world_process_zero():
        return 0
    return finish(folder, job, data, began, target)


def check_flags(job: Job) -> list[Any]:
    """All that can be said of the flags alone, in little time; returns the callbacks that stop a training early.

    Raises:
        UserError: naming the flag and what to do.
    """
    patience = job.run.early_stopping
    if patience is not None and not job.training.load_best_model_at_end:
        raise UserError("--early_stopping needs --load_best_model_at_end: which epoch was best must be kept.")
    check_library_flags(job.training)
    job.check()
    protocols.check_flags(job)
    return [] if patience is None else [EarlyStoppingCallback(early_stopping_patience=patience)]


def _arguments(asked: TrainSettings, changed: Mapping[str, Change]) -> TrainSettings:
    """What the trainer gets, each change told. It pushes nothing, since the run folder goes whole and last, and knows no
    token, since what it saves is pickled with its arguments."""
    for name, change in changed.items():
        if is_main_process():
            was, now = (str(getattr(one, "value", one)).lower() for one in (getattr(asked, name), change.value))
            say(f"--{name} {now} in place of {was}: {change.why}.")
    values = {name: change.value for name, change in changed.items()}
    return resolved(asked, push_to_hub=False, hub_token=None, **values)


def _check_batches(job: Job, loaded: Loaded) -> None:
    """Require a whole batch, where the ragged last one is left out: a run that trains on nothing says nothing of it."""
    training = job.training
    if not (training.do_train and training.dataloader_drop_last):
        return
    rows, batch, processes = len(loaded.splits["train"]), training.train_batch_size, training.world_size
    if rows < batch * processes:
        shared = f" in each of {processes} processes" if processes > 1 else ""
        raise UserError(
            f"--dataloader_drop_last true leaves nothing to train on: the {rows} training rows give no whole batch of"
            f" {batch}{shared}. Leave it out, or take at most --per_device_train_batch_size {max(rows // processes, 1)}."
        )


def _weighed(job: Job, loaded: Loaded) -> MixArguments:
    """What is mixed, with a number for each class, told where it was not given as one. What the flags say of the loss must fit
    the labels, which are known only now."""
    data, asked = loaded.data, read_class_weights(job.mix.class_weights)
    given = {
        "label_smoothing_factor": job.training.label_smoothing_factor,
        "confidence_penalty": job.mix.confidence_penalty,
    }
    for name, value in given.items():
        if value and data.problem == REGRESSION:
            raise UserError(f"--{name} {value:g} needs classes, but {data.name} is a regression: leave it out.")
    if asked is None:
        return job.mix
    if data.problem == REGRESSION:
        raise UserError(f"--class_weights needs classes, but {data.name} is a regression: leave it out.")
    train = loaded.splits.get("train")
    labels = None if train is None else np.asarray(train.labels if hasattr(train, "labels") else train["labels"])
    weights = weights_in_order(asked, data.label_names, labels)
    if not isinstance(asked, list) and is_main_process():
        pairs = [f"{name!r} {weight:.4g}" for name, weight in zip(data.label_names, weights, strict=True)]
        say(f"class weights: {', '.join(pairs[:20])}{' …' if len(pairs) > 20 else ''}")
    return replace(job.mix, class_weights=weights)


def _check_best_score(job: Job, data: TaskData[Any]) -> None:
    """Require ``--metric_for_best_model`` to be something that the evaluations of this task give."""
    name = job.training.metric_for_best_model
    refined = [] if data.problem == REGRESSION else [NLL_REFINED]
    known = {"loss": 0, **dict.fromkeys([*score_names(data.problem, data.metrics), *refined], 0)}
    if name is not None and job.training.do_train:
        pick(known, name.removeprefix("eval_"), f"score of {data.name} for --metric_for_best_model")


def _check_hub(training: TrainSettings, folder: RunFolder) -> hub.HubOptions:
    """Prove before training that the run may be pushed; where to."""
    options = hub.HubOptions.from_arguments(training)
    note = hub.strategy_note(training)
    if note:
        say(note)
    repo_id = hub.check_access(options.repo_id or folder.path.name, options.token, options.private)
    return replace(options, repo_id=repo_id)


def _train(trainer: MixTrainer, folder: RunFolder, job: Job) -> None:
    last = get_last_checkpoint(str(folder.path)) if job.run.resume else None
    if job.run.resume and is_main_process() and (last or job.fold is None):
        say(f"Going on from {last}." if last else "No checkpoint was complete: training starts anew.", out=True)
    result = trainer.train(resume_from_checkpoint=last)
    done_before = result.metrics["train_steps_per_second"] == 0 and (folder.path / "train_results.json").is_file()
    if trainer.is_world_process_zero() and not done_before:
        metrics = {**result.metrics, "train_samples": len(trainer.train_dataset)}  # type: ignore[arg-type]
        folder.write_json("train_results.json", metrics)
        folder.write_text("trainer_state.json", json.dumps(asdict(trainer.state), indent=2, default=str) + "\n")


def _is_out_of_memory(problem: BaseException) -> bool:
    """Whether an accelerator or the machine had no memory left, in whatever class that came."""
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(problem)
    out_of_memory = ("out of memory" in text, "can't allocate memory" in text, "CUBLAS_STATUS_ALLOC_FAILED" in text)
    return isinstance(problem, RuntimeError) and any(out_of_memory)


def _out_of_memory(problem: BaseException, job: Job, trainer: MixTrainer) -> UserError:
    """Which flag to lower, and how to start again."""
    training, evaluating = job.training, trainer.model is not None and not trainer.model.training
    flag = "per_device_eval_batch_size" if evaluating else "per_device_train_batch_size"
    batch = getattr(training, flag)
    if batch == 1:
        size = "--image_size" if job.modality == IMAGE else "--max_length"
        way = f"there is no smaller one; take a smaller model or a lower {size}, and begin again with --overwrite"
    elif evaluating:  # a resumed run may be judged in other batches
        way = f"take {batch // 2}, and go on with --resume"
    else:
        steps = training.gradient_accumulation_steps
        same = " to keep the total" if batch % 2 == 0 else ""
        way = (
            f"take {batch // 2}, with --gradient_accumulation_steps {steps * 2}{same}, and begin again with --overwrite"
        )
    asked = re.search(r"allocate (\d[\d.]* ?\w+)", str(problem))
    wanted = f" (asked for {asked[1]})" if asked else ""
    error = UserError(f"Out of memory on {trainer.args.device}{wanted} with --{flag} {batch}: {way}.")
    if not is_main_process():  # the main one may have memory left, and nothing to say
        say(f"error in process {os.environ.get('RANK')}: {error}")
    return error


def _interrupted(folder: RunFolder, code: int) -> int:
    if is_main_process():
        last = get_last_checkpoint(str(folder.path)) if folder.path.is_dir() else None
        status = folder.read_json("run.json").get("status") if folder.locked and folder.holds_run() else None
        if status == "running":
            folder.update_record(status="interrupted", finished=now())
        kept = f"saved {last}; go on with the same command and --resume" if last else "nothing was trained yet"
        if status == "done":
            kept = (
                f"the run is done and saved; `logitmix card {folder.path}` writes its card, `logitmix push` pushes it"
            )
        say(f"interrupted by signal {code - 128}: {kept}.")
    return code
