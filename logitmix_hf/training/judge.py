"""What a training leaves behind: predictions, scores, pictures, the card, the last table, the push."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from logitmix_hf.data.roles import JudgedSplit
from logitmix_hf.data.task_data import TaskData
from logitmix_hf.disk import expanded
from logitmix_hf.errors import say
from logitmix_hf.evaluation import Predictions, review
from logitmix_hf.evaluation.members import members_of
from logitmix_hf.evaluation.pooling import told_of_members
from logitmix_hf.evaluation.scaling import NONE, VECTOR, Scaling
from logitmix_hf.models.folding import scaling_left
from logitmix_hf.models.windows import first_windows
from logitmix_hf.reporting import hub
from logitmix_hf.reporting.card import write_card
from logitmix_hf.reporting.card.edits import is_marked
from logitmix_hf.reporting.card.readme import CARD
from logitmix_hf.reporting.class_lines import class_lines
from logitmix_hf.reporting.curves import training_plot
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.record import new_record, now, peak_memory
from logitmix_hf.reporting.results import INTERVALS, read_results, write_results
from logitmix_hf.reporting.suspects import write_suspects
from logitmix_hf.reporting.table import result_row, results_table
from logitmix_hf.trainer import MixTrainer
from logitmix_hf.trainer.sharded import plain_copy, whole_state
from logitmix_hf.training import calibration as protocols
from logitmix_hf.training import decisions, ood
from logitmix_hf.training import sets as conformal
from logitmix_hf.training.corruption import CorruptionJudge, corruption_lines
from logitmix_hf.training.folds import OUT_OF_FOLD
from logitmix_hf.training.job import Job
from logitmix_hf.training.last_evaluation import LastEvaluation
from logitmix_hf.training.loaded import Loaded
from logitmix_hf.training.push import push
from logitmix_hf.training.shift import PREFIX
from logitmix_hf.vision.colour import in_colour

OUTPUTS = ("logits", "member_logits")
"""What is kept of a model's outputs: (B, C), and of one that holds several members (B, M, C)."""


def predictions_of(
    output: Any, data: TaskData[Any], known: Mapping[str, np.ndarray] | None = None, scaling: Scaling = NONE
) -> Predictions:
    """What ``Trainer.predict`` returns with :data:`OUTPUTS` by name, in the row order of the data, its logits calibrated by
    ``scaling``; ``known`` is what the split says of its rows."""
    logits, labels = output.predictions["logits"], output.label_ids
    unknown = labels is None or (np.issubdtype(labels.dtype, np.integer) and (labels < 0).any())
    return Predictions(
        logits=scaling.apply(logits),
        labels=None if unknown else labels,
        label_names=data.label_names,
        problem=data.problem,
        members=output.predictions.get("member_logits"),
        **(known or {}),  # type: ignore[arg-type]
    )


def judge(trainer: MixTrainer, folder: RunFolder, job: Job, loaded: Loaded, last: LastEvaluation | None = None) -> None:
    """Predict every split but the one of the ``last`` evaluation, and write model, predictions, scores and pictures."""
    main, data = trainer.is_world_process_zero(), loaded.data
    facts = protocols.describe(job, loaded)
    # A temperature that is to be fitted takes the place of one that the model brings along.
    unfolded = NONE if facts else scaling_left(loaded.model.config)
    if not unfolded.changes_nothing and main:
        say(f"The {unfolded.told} that the model's config.json keeps is applied.")
    state = whole_state(trainer) if job.training.do_train else None
    if main and job.training.do_train:
        folder.save_model(lambda path: _save(trainer, path, state=state))
    timings: dict[str, Any] = {}

    def predicted(name: str, prefix: str, scaling: Scaling = unfolded) -> Predictions:
        if name in loaded.given:
            return loaded.given[name]
        output = last and last.again(trainer, name, prefix)
        output = output or trainer.predict(loaded.splits[name], metric_key_prefix=prefix)
        wanted = ("_loss", "_runtime", "_samples_per_second", "_steps_per_second")
        timings.update({key: value for key, value in (output.metrics or {}).items() if key.endswith(wanted)})
        return predictions_of(output, data, loaded.known.get(name), scaling)

    judged = {split.prefix: split for split in judged_splits(job, data)}
    kept = protocols.SPLIT in loaded.splits or protocols.SPLIT in loaded.given
    apart = predicted(protocols.SPLIT, protocols.SPLIT, NONE) if kept else None
    before = {prefix: predicted(split.name, prefix) for prefix, split in judged.items()}
    unlabelled = {name: predicted(name, name) for name in data.test if name not in {s.name for s in judged.values()}}
    # What is of no class; told from the first rows that are judged.
    strangers = {name: p for name, p in unlabelled.items() if name.startswith(ood.PREFIX)}
    calibration, deciding, sets, batch = None, None, None, {}
    if facts:
        for split in list(loaded.splits.values())[:1]:
            batch = _some_inputs(trainer, split)  # by every process: loaders wait for each other
        rows = next(iter(before.values())) if apart is None else apart
        calibration = protocols.fit(facts, rows, job.run.calibrator, not main)
    corruption = None
    if loaded.corrupted:

        def predict(split: Any, prefix: str) -> Predictions:
            return predictions_of(trainer.predict(split, metric_key_prefix=prefix), data, scaling=unfolded)

        facts_of = loaded.data_record["corrupted"]
        corruption = CorruptionJudge(loaded.corrupted, predict, facts_of, job.run.bins)
        corruption.run(None if calibration is None else calibration.apply)
    if not main:
        return
    if calibration is not None:
        deciding, sets = decisions.fit(job.run, calibration), conformal.fit(calibration)
    after = {prefix: p if calibration is None else calibration.apply(p) for prefix, p in before.items()}
    if judged:
        times = {
            key: value for key, value in timings.items() if key.startswith(tuple(f"{prefix}_" for prefix in judged))
        }
        if calibration is not None or not unfolded.changes_nothing:  # what the network itself lost
            times = {key.replace("_loss", "_uncalibrated_loss"): value for key, value in times.items()}
        title, ranked = f"{job.title}: {next(iter(judged.values())).source}", None
        if calibration is not None:
            times |= calibration.results()
            times |= conformal.results(sets, calibration, before)
            if deciding is not None:
                times |= (told := deciding.results(after))
                say(decisions.line(told["decision"], next(iter(judged))))
            ranked = calibration.ranked()
            strangers = {name: calibration.apply(p) for name, p in strangers.items()}
            protocols.write_methods(folder, calibration, before, data.metrics, job.run.bins, title)
        if job.fold is not None:
            times |= job.fold.results(data.metrics[0])
        own = after[next(iter(judged))] if ranked is None else ranked
        times |= ood.judge_ood(own, next(iter(judged.values())).source, strangers)
        if corruption is not None:
            times |= corruption.results()
            clean = next(one for one in judged.values() if one.source == corruption.facts["source"])
            corruption.write(folder, after[clean.prefix], f"{job.title}: {corruption.facts['name']}")
        write_results(
            folder,
            {prefix: (split.name, after[prefix]) for prefix, split in judged.items()},
            data.metrics,
            bins=job.run.bins,
            resamples=job.run.bootstrap,
            uncalibrated=before if calibration is not None else None,
            same_answers=calibration is None or calibration.chosen.name != VECTOR,
            ranked={} if ranked is None else {next(iter(judged)): ranked},
            timings=times,
            title=title,
        )
    job.after_judging({split.name: before[prefix] for prefix, split in judged.items()}, folder)
    if job.training.do_train:
        training_plot(trainer.state.log_history, folder.path / "training.png", metric=data.metrics[0])
    for name in data.test:
        if name in unlabelled:
            p = unlabelled[name] if calibration is None else calibration.apply(unlabelled[name])
            p.save(folder.predictions_path(name))
        else:
            p = next(after[prefix] for prefix, split in judged.items() if split.name == name)
        if not name.startswith((PREFIX, ood.PREFIX)):
            job.write_submission(name, p, folder.path)
    if calibration is not None and job.saves:
        model: Any = trainer.accelerator.unwrap_model(trainer.model)  # type: ignore[arg-type]
        if state is not None:  # this process holds a part of it
            model = plain_copy(model, state)
            batch = {name: value.cpu() for name, value in batch.items()}
        more = {} if deciding is None else {"decision": deciding.thresholds.record()}
        more |= {} if sets is None else {"sets": sets.record()}
        protocols.put_into(model, calibration, folded=job.run.fold, batch=batch or None, **more)
        folder.save_model(lambda path: _save(trainer, path, model))


def judged_splits(job: Job, data: TaskData[Any]) -> list[JudgedSplit]:
    """What is compared with labels: the validation splits, unless they are not to be, and the labelled test splits."""
    return [*(data.judged if job.training.do_eval else ()), *data.tested]


def _some_inputs(trainer: MixTrainer, split: Any) -> dict[str, torch.Tensor]:
    """A batch as the model takes it, without labels."""
    inputs = trainer._prepare_inputs(next(iter(trainer.get_test_dataloader(split))))
    return first_windows(
        {key: value for key, value in inputs.items() if isinstance(value, torch.Tensor) and key != "labels"}
    )


def _save(trainer: MixTrainer, path: str, model: Any = None, state: Mapping[str, torch.Tensor] | None = None) -> None:
    """``model``: another than the trainer's own; ``state``: weights that are not its own, where it holds a part of them."""
    model = trainer.accelerator.unwrap_model(trainer.model) if model is None else model  # type: ignore[arg-type]
    with in_colour(model, state) as weights:
        model.save_pretrained(path, state_dict=weights)
    trainer.processing_class.save_pretrained(path)  # type: ignore[union-attr]


def record_of(job: Job, loaded: Loaded) -> dict[str, Any]:
    """The content of ``run.json`` at the start."""
    data, splits = loaded.data, loaded.splits
    return new_record(
        argv=["python", *job.argv] if job.argv[0].endswith(".py") else job.argv,
        asked=job.arguments(),
        changed={name: (change.value, change.why) for name, change in loaded.changed.items()},
        seeds={"seed": job.training.seed, "data_seed": job.training.data_seed or job.training.seed},
        model={
            "base": job.model.model,
            "local": expanded(job.model.model).is_dir(),
            "type": loaded.model.config.model_type,
            "parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
            **loaded.model_record,
        },
        data={
            "name": data.name,
            "source": data.source,
            "kind": data.kind,
            "fingerprint": data.fingerprint,
            "problem": data.problem,
            "label_names": data.label_names,
            "metrics": data.metrics,
            "train_rows": len(splits["train"]) if "train" in splits else 0,
            "splits": {
                one.prefix: {"split": one.name, "rows": loaded.rows(one.name), "source": one.source}
                | ({"test": True} if one.test else {})
                for one in (*data.judged, *data.tested)
            },
            "ood": {name: {"rows": len(splits[name])} for name in data.test if name.startswith(ood.PREFIX)},
            "subset": _subset(job, splits),
            "synthetic": data.kind == "builtin",
            "validation": data.validation_note,
            "calibration": protocols.describe(job, loaded),
            **loaded.data_record,
        },
        method=job.method_record,
    )


def _subset(job: Job, splits: Mapping[str, Any]) -> str | None:
    """What was left out of the data on purpose, in words."""
    notes = []
    if job.data.max_train_samples is not None and "train" in splits:
        notes.append(f"trained on {len(splits['train'])} rows drawn by the seed (--max_train_samples)")
    if job.data.max_eval_samples is not None:
        which = "rows drawn from the split, the same in every run" if job.modality == "image" else "first rows"
        notes.append(f"judged on at most {job.data.max_eval_samples} {which} (--max_eval_samples)")
    return "; ".join(notes) or None


def finish(folder: RunFolder, job: Job, data: TaskData[Any], began: float, target: hub.HubOptions | None) -> int:
    """Everything local first, the push last."""
    seconds = time.monotonic() - began
    train = folder.read_json("train_results.json") if job.training.do_train else {}
    judged = judged_splits(job, data)
    results = read_results(folder) if judged else {}
    folder.write_json("all_results.json", {**train, **results})
    folder.update_record(
        status="done",
        finished=now(),
        seconds=seconds,
        examples_per_second=train.get("train_samples_per_second"),
        peak_memory=peak_memory(),
    )
    write_last_card(folder)
    if job.training.do_train and not job.run.keep_checkpoints and (freed := folder.remove_checkpoints()):
        say(
            f"The training is complete, so its checkpoints were removed ({freed / 1e6:.1f} MB; --keep_checkpoints keeps them).",
            out=True,
        )
    if results:
        metric = data.metrics[0]
        common = {"metric": metric, "seconds": seconds, "folder": str(folder.path)}
        ends = folder.optional_json(INTERVALS)

        def row(label: str, values: Mapping[str, Any], split: JudgedSplit) -> dict[str, Any]:
            key = f"{split.prefix}_{metric}"
            same = values.get(key) == results.get(key)  # a way of calibrating may change the score
            values = {f"{split.prefix}_samples": results.get(f"{split.prefix}_samples"), **values}
            name = f"{label}, {split.source}" if len(judged) > 1 else label
            return result_row(name, values, **common, prefix=split.prefix, intervals=ends if same else None)

        rows = [
            row(label, values, split)
            for split in judged
            for label, values in (
                *protocols.table_rows(job, folder, results, split.prefix, metric),
                *_member_rows(folder, split, metric, job),
            )
        ]
        paths = {split.source: folder.predictions_path(split.name) for split in judged}
        told = {source: Predictions.load(path) for source, path in paths.items() if path.is_file()}
        by_class, silent = class_lines(told, data.metrics, job.run.bins)
        say("", *by_class, *[""] * bool(by_class), *results_table(rows).split("\n"), out=True)
        wheres = {source: f"{source}: " if len(judged) > 1 else "" for source in told}
        apart = {} if job.member_names else told  # what joined members are to each other was told before
        of_members = [wheres[source] + line for source, p in apart.items() for line in told_of_members(p) if line]
        judged = [split for split in judged if not split.name.startswith(PREFIX)]
        own = {split.name: told[split.source] for split in judged if split.source in told}
        suspects = write_suspects(folder, own, _texts_of(data, own))
        for line in (*of_members, *silent, *[suspects] * bool(suspects)):
            say(line)
        for lines in (ood.ood_lines(results), corruption_lines(results)):
            if lines:
                say("", *lines, out=True)
    else:
        say(f"seconds: {seconds:.0f}", f"folder: {folder.path}", out=True)
    return 0 if target is None else push(folder, target)


def _texts_of(data: TaskData[Any], names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """The text columns of splits, in the order of their rows; images have none."""
    columns = getattr(data, "columns", ())
    if not columns:
        return {}
    splits = {**data.splits, OUT_OF_FOLD: data.train}
    return {
        name: {column: splits[name].data.column(column).to_pylist() for column in columns}
        for name in names
        if name in splits
    }


def _member_rows(folder: RunFolder, split: JudgedSplit, metric: str, job: Job) -> list[tuple[str, dict[str, Any]]]:
    """Rows of the last table for the members of one model, each by itself, before any temperature."""
    path = folder.predictions_path(split.name)
    singles = members_of(Predictions.load(path)) if path.is_file() else []
    names = job.member_names or [f"member {number}" for number in range(len(singles))]
    return [
        (name, {f"{split.prefix}_{key}": value for key, value in review(one, (metric,), job.run.bins).items()})
        for name, one in zip(names, singles, strict=True)
    ]


def write_last_card(folder: RunFolder) -> None:
    """The card at the end of a training: around what somebody wrote into one of ours that stands there, because the run
    went on; one that does not say what of it is ours is of an older version, and is replaced."""
    card = folder.path / CARD
    edited = write_card(folder, overwrite=not (card.is_file() and is_marked(card.read_text(encoding="utf-8"))))
    if edited:
        say(f"{card}: kept as you changed them: {', '.join(edited)}")
