"""The story of ``logitmix glue``: read the flags, load, train, judge, write, push."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from transformers import DataCollatorWithPadding, EarlyStoppingCallback, set_seed
from transformers.trainer_utils import get_last_checkpoint

from logitmix_hf.arguments import MixArguments
from logitmix_hf.checkpoints import Interrupted, SaveOnSignal
from logitmix_hf.ends import guarded, is_main_process, use_all_cores
from logitmix_hf.errors import UserError, pick
from logitmix_hf.evaluation import REGRESSION, Predictions, evaluate_predictions
from logitmix_hf.flags import FlagParser, formatter, with_recipe
from logitmix_hf.methods import METHODS
from logitmix_hf.reporting import hub
from logitmix_hf.reporting.card import model_card
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.plots import training_plot
from logitmix_hf.reporting.record import check_same_arguments, new_record, now, peak_memory
from logitmix_hf.reporting.results import write_results
from logitmix_hf.reporting.table import result_row, results_table
from logitmix_hf.text import load
from logitmix_hf.text.data import TextData, check_data, load_text_data, tokenize
from logitmix_hf.text.settings import GLUE, DataSettings, ModelSettings, RunSettings, TrainSettings
from logitmix_hf.text.submission import write_submission
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
    target = hub.check_before_training(training) if training.push_to_hub and is_main_process() else None
    push, training.push_to_hub = training.push_to_hub, False  # the run folder is pushed whole, at the end
    config = load.load_config(run.model, training.hub_token)
    load.check_depth(config, run.mix.filled().site if run.mix.mixes else None)

    set_seed(training.seed)
    with training.main_process_first(desc="data"):
        data = load_text_data(**_data_arguments(run))
    data = _in_the_models_order(data, config)
    config = load.fit_config(config, data, run.model, run.data.max_length)
    tokenizer = load.load_tokenizer(run.model, training.hub_token)
    model = load.load_model(run.model, config, training.hub_token)
    with training.main_process_first(desc="tokens"):
        ready = {name: tokenize(split, tokenizer, data.columns, run.data.max_length) for name, split in _splits(data)}

    signals = SaveOnSignal()
    trainer = MixTrainer(
        model=model,
        args=training,
        mix=run.mix,
        train_dataset=ready.get("train"),
        eval_dataset=ready.get(next(iter(data.validation), "")),
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8 if training.fp16 or training.bf16 else None),
        processing_class=tokenizer,
        compute_metrics=lambda output: evaluate_predictions(_predictions(output, data), data.metrics, run.run.bins),
        callbacks=[signals, *_early_stopping(run)],
    )
    if trainer.is_world_process_zero():
        folder.claim(overwrite=run.run.overwrite, resume=run.run.resume)
        folder.write_json("run.json", _record(run, data, model, ready))
    trainer.accelerator.wait_for_everyone()

    with signals:
        try:
            if training.do_train:
                _train(trainer, folder, run)
            if signals.received is None:
                _judge(trainer, folder, run, data, ready)
        except Interrupted:
            pass
        except BaseException:
            if trainer.is_world_process_zero():
                folder.update_record(status="failed", finished=now())
            raise
    if signals.received is not None:
        return _interrupted(trainer, folder, signals.received)
    if not trainer.is_world_process_zero():
        return 0
    return _finish(trainer, folder, run, data, began, target if push else None)


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


def _predictions(output: Any, data: TextData, split: Any = None) -> Predictions:
    """What ``Trainer.predict`` returns, in the row order of the data."""
    logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
    labels = output.label_ids
    known = labels is not None and not (np.issubdtype(labels.dtype, np.integer) and (labels < 0).any())
    columns = split.column_names if split is not None else ()
    return Predictions(
        logits=logits,
        labels=labels if known else None,
        label_names=data.label_names,
        problem=data.problem,
        idx=np.asarray(split["idx"]) if "idx" in columns else None,
        posterior=np.asarray(split["posterior"]) if "posterior" in columns else None,
    )


def _train(trainer: MixTrainer, folder: RunFolder, run: TextRun) -> None:
    last = get_last_checkpoint(str(folder.path)) if run.run.resume else None
    if run.run.resume and is_main_process():
        print(f"Going on from {last}." if last else "No checkpoint was complete: training starts anew.")
    result = trainer.train(resume_from_checkpoint=last)
    if trainer.is_world_process_zero():
        metrics = {**result.metrics, "train_samples": len(trainer.train_dataset)}  # type: ignore[arg-type]
        folder.write_json("train_results.json", metrics)
        folder.write_text("trainer_state.json", json.dumps(asdict(trainer.state), indent=2, default=str) + "\n")


def _judge(
    trainer: MixTrainer, folder: RunFolder, run: TextRun, data: TextData, ready: Mapping[str, Any]
) -> None:
    """Predict every split, and write model, predictions, scores and pictures."""
    main = trainer.is_world_process_zero()
    if main and run.training.do_train:
        folder.save_model(lambda path: _save(trainer, path))
    splits: dict[str, tuple[str, Predictions]] = {}
    timings: dict[str, float] = {}
    if run.training.do_eval:
        for prefix, name in zip(("eval", "eval_mm"), data.validation, strict=False):
            output = trainer.predict(ready[name], metric_key_prefix=prefix)
            splits[prefix] = (name, _predictions(output, data, data.validation[name]))
            wanted = ("_loss", "_runtime", "_samples_per_second", "_steps_per_second")
            timings |= {key: value for key, value in (output.metrics or {}).items() if key.endswith(wanted)}
    if main and splits:
        title = f"{run.name}, {run.mix.method}"
        write_results(folder, splits, data.metrics, bins=run.run.bins, timings=timings, title=title)
    if main and run.training.do_train:
        training_plot(trainer.state.log_history, folder.path / "training.png", metric=data.metrics[0])
    if run.training.do_predict:
        for name, split in data.test.items():
            predictions = _predictions(trainer.predict(ready[name], metric_key_prefix="test"), data, split)
            if main:
                predictions.save(folder.predictions_path(name))
                if run.data.task:
                    write_submission(run.data.task, name, predictions.predictions, data.label_names, folder.path)


def _save(trainer: MixTrainer, path: str) -> None:
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(path)  # type: ignore[union-attr]
    trainer.processing_class.save_pretrained(path)  # type: ignore[union-attr]


def _record(run: TextRun, data: TextData, model: Any, ready: Mapping[str, Any]) -> dict[str, Any]:
    mix = run.mix.filled()
    prefixes = zip(("eval", "eval_mm"), data.validation, strict=False)
    return new_record(
        argv=run.argv,
        arguments=run.arguments(),
        seeds={"seed": run.training.seed, "data_seed": run.training.data_seed or run.training.seed},
        model={
            "base": run.model.model,
            "revision": run.model.model_revision,
            "type": model.config.model_type,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
        data={
            "name": data.name,
            "source": data.source,
            "fingerprint": data.fingerprint,
            "problem": data.problem,
            "label_names": data.label_names,
            "columns": data.columns,
            "metrics": data.metrics,
            "train_rows": len(ready["train"]) if "train" in ready else 0,
            "splits": {prefix: {"split": name, "rows": len(ready[name])} for prefix, name in prefixes},
            "subset": {"train": run.data.max_train_samples, "eval": run.data.max_eval_samples},
        },
        method={
            "name": mix.method,
            "mixer": mix.mixer,
            "site": mix.site if mix.mixes else None,
            "alpha": mix.alpha,
            "lam": mix.lam,
            "weights": mix.weights,
        },
    )


def _interrupted(trainer: MixTrainer, folder: RunFolder, number: int) -> int:
    if trainer.is_world_process_zero():
        folder.update_record(status="interrupted", finished=now())
        last = get_last_checkpoint(str(folder.path))
        kept = f"saved {last}" if last else "no checkpoint was due yet"
        print(f"interrupted by signal {number}; {kept}. Go on with the same command and --resume.", file=sys.stderr)
    return 128 + number


def _finish(
    trainer: MixTrainer, folder: RunFolder, run: TextRun, data: TextData, began: float, target: Any | None
) -> int:
    """Everything local first, the push last."""
    seconds = time.monotonic() - began
    train = folder.read_json("train_results.json") if run.training.do_train else {}
    results = folder.read_json("eval_results.json") if run.training.do_eval else {}
    folder.write_json("all_results.json", {**train, **results})
    record = folder.update_record(
        status="done",
        finished=now(),
        seconds=seconds,
        examples_per_second=train.get("train_samples_per_second"),
        peak_memory=peak_memory(),
    )
    method = METHODS[run.mix.method]
    card = model_card(
        record,
        results,
        name=folder.path.name,
        location=target.repo_id if target else str(folder.path),
        method={"name": method.name, "idea": method.idea, "source": method.source},
        picture="reliability.png" if data.problem != REGRESSION and results else None,
        bins=run.run.bins,
    )
    folder.write_text("README.md", card)
    if results:
        label = run.mix.method + (f" {run.mix.filled().site}" if run.mix.mixes and run.mix.mixer == "linear" else "")
        rows = [
            result_row(label, results, data.metrics[0], seconds=seconds, folder=str(folder.path), prefix=prefix)
            for prefix, _ in zip(("eval", "eval_mm"), data.validation, strict=False)
        ]
        print("\n" + results_table(rows), flush=True)
    if target is None:
        return 0
    return hub.push_and_tell(folder, target)


def glue_script() -> None:
    """``run_glue.py``."""
    sys.exit(main(prog="run_glue.py"))
