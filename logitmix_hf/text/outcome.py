"""What a training leaves behind: predictions, scores, pictures, the card, the last table, the push."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from logitmix_hf.evaluation import REGRESSION, Predictions
from logitmix_hf.methods import METHODS
from logitmix_hf.reporting import hub
from logitmix_hf.reporting.card import model_card
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.plots import training_plot
from logitmix_hf.reporting.record import new_record, now, peak_memory
from logitmix_hf.reporting.results import write_results
from logitmix_hf.reporting.table import result_row, results_table
from logitmix_hf.text.data import TextData
from logitmix_hf.text.push import push
from logitmix_hf.text.submission import write_submission
from logitmix_hf.trainer import MixTrainer

if TYPE_CHECKING:
    from logitmix_hf.text.run import TextRun


_KEPT = ("idx", "posterior")


def predictions_of(output: Any, data: TextData, split: Any = None) -> Predictions:
    """What ``Trainer.predict`` returns, in the row order of the data."""
    logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
    labels = output.label_ids
    known = labels is not None and not (np.issubdtype(labels.dtype, np.integer) and (labels < 0).any())
    given = {} if split is None else {name: np.asarray(split[name]) for name in split.column_names if name in _KEPT}
    return Predictions(
        logits=logits,
        labels=labels if known else None,
        label_names=data.label_names,
        problem=data.problem,
        **given,
    )


def judge(trainer: MixTrainer, folder: RunFolder, run: TextRun, data: TextData, ready: Mapping[str, Any]) -> None:
    """Predict every split, and write model, predictions, scores and pictures."""
    main = trainer.is_world_process_zero()
    if main and run.training.do_train:
        folder.save_model(lambda path: _save(trainer, path))
    splits: dict[str, tuple[str, Predictions]] = {}
    timings: dict[str, float] = {}
    if run.training.do_eval:
        for prefix, name in zip(("eval", "eval_mm"), data.validation, strict=False):
            output = trainer.predict(ready[name], metric_key_prefix=prefix)
            splits[prefix] = (name, predictions_of(output, data, data.validation[name]))
            wanted = ("_loss", "_runtime", "_samples_per_second", "_steps_per_second")
            timings |= {key: value for key, value in (output.metrics or {}).items() if key.endswith(wanted)}
    if main and splits:
        title = f"{run.name}, {run.mix.method}"
        write_results(folder, splits, data.metrics, bins=run.run.bins, timings=timings, title=title)
    if main and run.training.do_train:
        training_plot(trainer.state.log_history, folder.path / "training.png", metric=data.metrics[0])
    if run.training.do_predict:
        for name, split in data.test.items():
            predictions = predictions_of(trainer.predict(ready[name], metric_key_prefix="test"), data, split)
            if main:
                predictions.save(folder.predictions_path(name))
                if run.data.task:
                    write_submission(run.data.task, name, predictions.predictions, data.label_names, folder.path)


def _save(trainer: MixTrainer, path: str) -> None:
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(path)  # type: ignore[union-attr]
    trainer.processing_class.save_pretrained(path)  # type: ignore[union-attr]


def record_of(run: TextRun, data: TextData, model: Any, ready: Mapping[str, Any]) -> dict[str, Any]:
    mix = run.mix.filled()
    prefixes = zip(("eval", "eval_mm"), data.validation, strict=False)
    return new_record(
        argv=["python", *run.argv] if run.argv[0].endswith(".py") else run.argv,
        arguments=run.arguments(),
        seeds={"seed": run.training.seed, "data_seed": run.training.data_seed or run.training.seed},
        model={
            "base": run.model.model,
            "revision": run.model.model_revision,
            "type": model.config.model_type,
            "layers": getattr(model.config, "num_hidden_layers", None),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
        data={
            "name": data.name,
            "source": data.source,
            "kind": data.kind,
            "fingerprint": data.fingerprint,
            "problem": data.problem,
            "label_names": data.label_names,
            "columns": data.columns,
            "metrics": data.metrics,
            "train_rows": len(ready["train"]) if "train" in ready else 0,
            "splits": {prefix: {"split": name, "rows": len(ready[name])} for prefix, name in prefixes},
            "subset": _subset(run, ready),
            "synthetic": data.kind == "builtin",
            "config": run.data.task or run.data.dataset_config,
            "validation": data.validation_note,
        },
        method={
            "name": mix.method,
            "mixer": mix.mixer,
            "site": mix.site if mix.mixes else None,
            "alpha": mix.alpha,
            "lam": mix.lam,
            **{f"w_{term}": weight for term, weight in mix.weights.items()},
        },
    )


def _subset(run: TextRun, ready: Mapping[str, Any]) -> str | None:
    """What was left out of the data on purpose, in words."""
    notes = []
    if run.data.max_train_samples is not None and "train" in ready:
        notes.append(f"trained on {len(ready['train'])} rows drawn by the seed (--max_train_samples)")
    if run.data.max_eval_samples is not None:
        notes.append(f"judged on the first {run.data.max_eval_samples} rows at most (--max_eval_samples)")
    return "; ".join(notes) or None


def finish(
    trainer: MixTrainer, folder: RunFolder, run: TextRun, data: TextData, began: float, target: hub.HubOptions | None
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
        location=str(folder.path),
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
    return 0 if target is None else push(folder, target)
