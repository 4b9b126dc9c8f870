"""The story of ``logitmix glue``: read the flags, load, train, judge, write, push."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from transformers import DataCollatorWithPadding, EarlyStoppingCallback, set_seed
from transformers.trainer_utils import get_last_checkpoint

from logitmix_hf.arguments import MixArguments
from logitmix_hf.checkpoints import Interrupted, SaveOnSignal
from logitmix_hf.ends import guarded, is_main_process, use_all_cores
from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation import evaluate_predictions
from logitmix_hf.flags import FlagParser, formatter, with_recipe
from logitmix_hf.reporting import hub
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.record import check_same_arguments, now
from logitmix_hf.text import load
from logitmix_hf.text.data import TextData, check_data, load_text_data, tokenize
from logitmix_hf.text.outcome import finish, judge, predictions_of, record_of
from logitmix_hf.text.settings import GLUE, DataSettings, ModelSettings, RunSettings, TrainSettings
from logitmix_hf.text.tasks import TASKS
from logitmix_hf.trainer import MixTrainer


@dataclass
class TextRun:
    """Everything that the flags say."""

    data: DataSettings
    model: ModelSettings
    mix: MixArguments
    run: RunSettings
    training: TrainSettings
    argv: Sequence[str]

    @property
    def name(self) -> str:
        """What the data is called in names: the task, or the data set's last word."""
        named = self.data.task or self.data.dataset_name or self.data.train_file or "data"
        return named.rstrip("/").rpartition("/")[2].partition(".")[0]

    def arguments(self) -> dict[str, Any]:
        """All of them, resolved, by flag."""
        own = {**asdict(self.data), **asdict(self.model), **asdict(self.mix.filled()), **asdict(self.run)}
        return {**self.training.to_dict(), **own}


def parse(argv: Sequence[str], prog: str = "logitmix glue") -> TextRun:
    """The flags as settings; see :class:`logitmix_hf.flags.FlagParser` for how mistakes end."""
    kinds = [DataSettings, ModelSettings, MixArguments, RunSettings, TrainSettings]
    parser = FlagParser(kinds, prog=prog, formatter_class=formatter, description=__doc__)
    run = TextRun(*parser.parse(with_recipe(argv)), argv=[*prog.split(), *argv])
    if run.training.output_dir in (None, "trainer_output"):  # the second is what TrainingArguments puts for None
        model = run.model.model.rstrip("/").rpartition("/")[2]
        run.training.output_dir = f"runs/{run.name}-{model}-{run.mix.method}-s{run.training.seed}"
    return run


def main(argv: Sequence[str] | None = None, prog: str = "logitmix glue") -> int:
    """The command; returns its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    return guarded(lambda: fine_tune(parse(words, prog)))


def fine_tune(run: TextRun) -> int:
    """Do all that the flags ask for; returns 0, 3 (trained and saved, not pushed), or 128 + the signal's number."""
    with SaveOnSignal() as signals:
        try:
            return _fine_tune(run, signals)
        except Interrupted as end:
            return _interrupted(RunFolder(str(run.training.output_dir)), int(end.code or 0))


def _fine_tune(run: TextRun, signals: SaveOnSignal) -> int:
    began = time.monotonic()
    use_all_cores()
    training, folder = run.training, RunFolder(str(run.training.output_dir))

    # Every check that costs little comes before anything that takes long.
    folder.check(overwrite=run.run.overwrite, resume=run.run.resume)
    if run.run.resume:
        check_same_arguments(folder.read_json("run.json").get("arguments", {}), run.arguments())
    if run.data.task:
        pick(TASKS, run.data.task, "task")
    check_data(**_data_arguments(run))
    target = _check_hub(training, folder) if training.push_to_hub and is_main_process() else None
    token = training.hub_token
    # The run folder is pushed whole at the end; and what training saves is pickled with its arguments.
    training.push_to_hub, training.hub_token = False, None
    source = load.find_pretrained(run.model.model, run.model.model_revision, token)
    config = load.load_config(source)
    load.check_depth(config, run.mix.filled().site if run.mix.mixes else None)

    set_seed(training.seed)
    with training.main_process_first(desc="data"):
        data = load_text_data(**_data_arguments(run))
    data = _in_the_models_order(data, config)
    _check_weights(run.mix, data)
    config = load.fit_config(config, data, run.model, run.data.max_length)
    tokenizer = load.load_tokenizer(_tokenizer_source(run, source))
    model = load.load_model(source, config, run.model.ignore_mismatched_sizes)
    with training.main_process_first(desc="tokens"):
        ready = {name: tokenize(split, tokenizer, data.columns, run.data.max_length) for name, split in _splits(data)}

    trainer = MixTrainer(
        model=model,
        args=training,
        mix=run.mix,
        train_dataset=ready.get("train"),
        eval_dataset=ready.get(next(iter(data.validation), "")),
        data_collator=DataCollatorWithPadding(
            tokenizer, pad_to_multiple_of=8 if training.fp16 or training.bf16 else None
        ),
        processing_class=tokenizer,
        compute_metrics=lambda output: evaluate_predictions(predictions_of(output, data), data.metrics, run.run.bins),
        callbacks=[signals, *_early_stopping(run)],
    )
    if trainer.is_world_process_zero():
        folder.claim(overwrite=run.run.overwrite, resume=run.run.resume)
        folder.write_json("run.json", record_of(run, data, model, ready))
    trainer.accelerator.wait_for_everyone()

    try:
        if training.do_train:
            _train(trainer, folder, run)
        if signals.received is not None:
            raise Interrupted(128 + signals.received)
        judge(trainer, folder, run, data, ready)
    except Exception:
        if trainer.is_world_process_zero():
            folder.update_record(status="failed", finished=now())
        raise
    if not trainer.is_world_process_zero():
        return 0
    return finish(trainer, folder, run, data, began, target)


def _check_hub(training: TrainSettings, folder: RunFolder) -> hub.HubOptions:
    """Prove before training that the run may be pushed; where to."""
    options = hub.HubOptions.from_arguments(training)
    note = hub.strategy_note(training)
    if note:
        print(note, file=sys.stderr)
    repo_id = hub.check_access(options.repo_id or folder.path.name, options.token, options.private)
    return replace(options, repo_id=repo_id)


def _data_arguments(run: TextRun) -> dict[str, Any]:
    data = run.data
    return {
        "task": data.task,
        "dataset_name": data.dataset_name or (None if data.train_file else GLUE),
        "dataset_config": data.dataset_config,
        "train_file": data.train_file,
        "validation_file": data.validation_file,
        "test_file": data.test_file,
        "text_columns": data.texts,
        "label_column": data.label_column,
        "regression": data.regression,
        "validation_share": data.validation_share,
        "seed": run.training.seed,
        "max_train_samples": data.max_train_samples,
        "max_eval_samples": data.max_eval_samples,
        "need_test": run.training.do_predict,
    }


def _tokenizer_source(run: TextRun, source: load.Pretrained) -> load.Pretrained:
    other = run.model.tokenizer
    return source if other is None else load.find_pretrained(other, token=source.token)


def _check_weights(mix: MixArguments, data: TextData) -> None:
    weights = mix.class_weights
    if weights is not None and len(weights) != len(data.label_names):
        raise UserError(
            f"--class_weights has {len(weights)} values, the data has {len(data.label_names)} labels"
            f" ({', '.join(data.label_names) or 'a value'}): give one each, in this order."
        )


def _splits(data: TextData) -> list[tuple[str, Any]]:
    train = [("train", data.train)] if data.train is not None else []
    return [*train, *data.validation.items(), *data.test.items()]


def _in_the_models_order(data: TextData, config: Any) -> TextData:
    """Number the labels as a model does that already knows them by name."""
    known = [str(config.id2label.get(number)) for number in range(config.num_labels)]
    return data.renumbered(known) if set(known) == set(data.label_names) else data


def _early_stopping(run: TextRun) -> list[Any]:
    patience = run.run.early_stopping
    if patience is None:
        return []
    if not run.training.load_best_model_at_end:
        raise UserError("--early_stopping needs --load_best_model_at_end: which epoch was best must be kept.")
    return [EarlyStoppingCallback(early_stopping_patience=patience)]


def _train(trainer: MixTrainer, folder: RunFolder, run: TextRun) -> None:
    last = get_last_checkpoint(str(folder.path)) if run.run.resume else None
    if run.run.resume and is_main_process():
        print(f"Going on from {last}." if last else "No checkpoint was complete: training starts anew.")
    result = trainer.train(resume_from_checkpoint=last)
    if trainer.is_world_process_zero():
        metrics = {**result.metrics, "train_samples": len(trainer.train_dataset)}  # type: ignore[arg-type]
        folder.write_json("train_results.json", metrics)
        folder.write_text("trainer_state.json", json.dumps(asdict(trainer.state), indent=2, default=str) + "\n")


def _interrupted(folder: RunFolder, code: int) -> int:
    if is_main_process():
        last = get_last_checkpoint(str(folder.path)) if folder.path.is_dir() else None
        if folder.holds_run() and folder.read_json("run.json").get("status") == "running":  # it is ours
            folder.update_record(status="interrupted", finished=now())
        kept = f"saved {last}; go on with the same command and --resume" if last else "nothing was trained yet"
        print(f"interrupted by signal {code - 128}: {kept}.", file=sys.stderr)
    return code


def glue_script() -> None:
    """``run_glue.py``."""
    sys.exit(main(prog="run_glue.py"))
