"""Finished runs joined: what their classifiers say together, and one folder that answers as one classifier."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoImageProcessor, AutoModelForImageClassification, AutoModelForSequenceClassification

from logitmix_hf.ensembles import join_models
from logitmix_hf.ensembles.joining import adapter_folder, over_their_network
from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation import REGRESSION, Predictions, evaluate_predictions, fit_halves
from logitmix_hf.evaluation.members import member_scores, members_of
from logitmix_hf.evaluation.pooling import difference, disagreement, gains, pool, without
from logitmix_hf.evaluation.scaling import NONE, TEMPERATURE, fitted_scaling
from logitmix_hf.models.folding import fold, forget, recorded, scaling_left
from logitmix_hf.models.long_texts import Windows
from logitmix_hf.models.pretrained import find_pretrained, load_config
from logitmix_hf.models.tokenizer import load_tokenizer
from logitmix_hf.reporting.comparison.grouping import same_rows
from logitmix_hf.reporting.comparison.runs import ComparedRun, read_run
from logitmix_hf.reporting.comparison.temperature import temper
from logitmix_hf.training import calibration as protocols

FEWEST = 2


@dataclass(frozen=True)
class Joined:
    """Finished runs whose predictions were joined.

    Attributes:
        runs: the members, in the order given.
        average: what is averaged, a name in ``logitmix_hf.evaluation.pooling.AVERAGES``.
        splits: by the prefix of the scores' keys, the name of the split and what all say together, before any temperature.
        facts: of the rows for the temperature, as ``calibration.describe`` has them; None for a regression.
        apart: what all say of such rows where they are no judged ones; else these are halved.
    """

    runs: Sequence[ComparedRun]
    average: str
    splits: Mapping[str, tuple[str, Predictions]]
    facts: Mapping[str, Any] | None
    apart: Predictions | None = None

    @property
    def names(self) -> list[str]:
        """What each member is called."""
        return _names(self.runs)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's scores, headline first."""
        return self.runs[0].metrics

    def calibrated(self, calibrator: str = TEMPERATURE) -> protocols.Calibration | None:
        """What is fitted on what all say together; None for a regression."""
        if self.facts is None:
            return None
        rows = next(iter(self.splits.values()))[1] if self.apart is None else self.apart
        return protocols.fit(self.facts, rows, calibrator)


def join_runs(paths: Sequence[str], average: str = "logits") -> Joined:
    """Join the stored predictions of finished runs: no model is loaded.

    The members' own temperatures come out first; one is to be fitted on what all say together: on the rows that all members
    kept for theirs, where these are the same and apart from the judged ones, else by halves of the first judged split.

    Raises:
        UserError: for fewer than two runs, one that is not finished, and runs of other rows, labels or classes.
    """
    if len(paths) < FEWEST:
        raise UserError(f"an ensemble needs at least {FEWEST} runs, got {len(paths)}: logitmix ensemble runs/a runs/b.")
    for path in paths:
        if not Path(path).is_dir():
            raise UserError(f"There is no folder {path!r}: give the folders of finished runs.")
    places = [Path(path).resolve() for path in paths]
    for place, path in zip(places, paths, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{path!r} is given {places.count(place)} times: one classifier adds nothing to itself.")
    runs = [_read(path) for path in paths]
    prefixes = [prefix for prefix in runs[0].splits if all(prefix in run.splits for run in runs)]
    if not prefixes:
        judged = "; ".join(f"{run.name}: {', '.join(name for name, _ in run.splits.values())}" for run in runs)
        raise UserError(f"the runs were judged on different splits ({judged}), so their predictions cannot be joined.")
    splits = {prefix: (runs[0].splits[prefix][0], _pooled(runs, prefix, average)) for prefix in prefixes}
    return Joined(runs, average, splits, *_rows_apart(runs, splits[prefixes[0]][1], prefixes[0], average))


def _names(runs: Sequence[ComparedRun]) -> list[str]:
    """The folder of each, with as much of its path as tells it from the others."""
    parts = [run.path.resolve().parts for run in runs]
    found = list[str]()
    for count in range(1, max(map(len, parts)) + 1):
        found = ["/".join(one[-count:]) for one in parts]
        if len(set(found)) == len(found):
            break
    return found


def _read(path: str) -> ComparedRun:
    try:
        return read_run(Path(path))
    except UserError as problem:
        raise UserError(f"{path!r} cannot be a member: {problem}") from None


def _pooled(runs: Sequence[ComparedRun], prefix: str, average: str) -> Predictions:
    members = []
    for run in runs:
        judged = run.splits[prefix][1]
        tempered = temper(run, judged) if fitted_scaling(run.results) is not None else None
        members.append(judged if tempered is None else tempered.before)
    return _named(runs, members, average)


def _named(runs: Sequence[ComparedRun], members: Sequence[Predictions], average: str) -> Predictions:
    """:func:`pool`, its complaints with the names of the runs."""
    try:
        return pool(members, average)
    except UserError as problem:
        text, names = str(problem), _names(runs)
        for number, name in enumerate(names):
            text = text.replace(f"member {number} ", f"{name} ")
        raise UserError(text.replace("the first", names[0])) from None


def _rows_apart(
    runs: Sequence[ComparedRun], judged: Predictions, prefix: str, average: str
) -> tuple[dict[str, Any] | None, Predictions | None]:
    """On which rows a temperature of all is fitted, and what they say of them where these are not judged."""
    if judged.problem == REGRESSION:
        return None, None
    rows = [run.fitted for run in runs if run.fitted is not None and run.fitted.labels is not None]
    if len(rows) == len(runs) and same_rows(rows[0]) != same_rows(runs[0].splits[prefix][1]):
        try:
            apart = pool(rows, average)
        except UserError:  # each run kept other rows: the judged ones are halved
            pass
        else:
            words = str(runs[0].results.get("calibration", {}).get("split") or "rows apart")
            return {"split": words, "rows": len(apart), "protocol": "split", "seed": 31}, apart
    source = runs[0].data["splits"][prefix].get("source") or prefix
    words = f"halves of {source}, each judged by the other, seed 31"
    return {"split": words, "rows": len(judged), "protocol": "halves", "seed": 31}, None


# --- what is told ------------------------------------------------------------------------------------------------------


def told(joined: Joined, resamples: int = 1000) -> dict[str, Any]:
    """What the members are to each other on the first split: gains with their intervals, disagreement, d_re, and by how much
    the NLL (of a regression the mean square) is another without each of them, and of each alone; under ``splits`` the same
    of every further split, by its name."""
    (_, main), *rest = joined.splits.values()
    further = {name: told_of(joined, pooled, resamples) for name, pooled in rest}
    return {**told_of(joined, main, resamples), **({"splits": further} if further else {})}


def told_of(joined: Joined, pooled: Predictions, resamples: int) -> dict[str, Any]:
    """The same of one split, by what all say of it together."""
    found, together = gains(pooled, resamples), _loss(pooled)
    alone = {name: _loss(one) - together for name, one in zip(joined.names, members_of(pooled), strict=True)}
    return {
        "gain": {
            name: {"value": gain.value} | ({"interval": [gain.low, gain.high]} if resamples else {})
            for name, gain in found.items()
        },
        "disagreement": disagreement(pooled),
        "d_re": member_scores(pooled).get("d_re"),
        "without": {
            name: _loss(without(pooled, number, joined.average)) - together for number, name in enumerate(joined.names)
        },
        "alone": alone,
    }


def _loss(p: Predictions) -> float:
    """NLL under temperatures that each half fits for the other; of a regression the mean square."""
    if p.problem == REGRESSION:
        return evaluate_predictions(p, ("mse",))["mse"]
    logits = p.logits.astype(np.float64)
    if len(p) >= 4:
        logits = fit_halves(logits, p.labels).apply(logits)  # type: ignore[arg-type]
    return evaluate_predictions(replace(p, logits=logits), ())["nll"]


def lines(joined: Joined, facts: Mapping[str, Any]) -> list[str]:
    """The same in words, of several splits each under its name."""
    count, further = len(joined.runs), facts.get("splits", {})
    first = next(iter(joined.splits.values()))[0]
    where = {name: f"{name}: " if further else "" for name in (first, *further)}
    made = [line for name, one in {first: facts, **further}.items() for line in lines_of(joined, one, where[name])]
    return [*made, f"cost: {count} passes for each answer, {count} times the weights"]


def lines_of(joined: Joined, facts: Mapping[str, Any], where: str) -> list[str]:
    """The words of one split, each after ``where``."""
    names = {"accuracy": "accuracy", "nll": "NLL", "mse": "mean square"}
    parts, how = [], ""
    for name, gain in facts["gain"].items():
        part = f"{names[name]} {gain['value']:+.4f}"
        if "interval" in gain:
            part, how = f"{part} [{gain['interval'][0]:+.4f}, {gain['interval'][1]:+.4f}]", " (95 %, paired over rows)"
        parts.append(part)
    made = [f"gain over the mean of the members{how}: {', '.join(parts)}"]
    if facts["disagreement"] is not None:
        made.append(difference(facts["disagreement"], facts["d_re"]))
    loss = "mean square" if joined.facts is None else "NLL at T"
    changes = ", ".join(f"{name} {change:+.4f}" for name, change in facts["without"].items())
    least = min(facts["without"], key=facts["without"].__getitem__)
    advice = f"{least} could go" if facts["without"][least] <= 0 else "none could go without a loss"
    made.append(f"{loss} without one: {changes}: {advice}")
    best = min(facts["alone"], key=facts["alone"].__getitem__)
    if facts["alone"][best] <= 0:
        made.append(f"{best} alone does no worse than all together: {loss} {facts['alone'][best]:+.4f}")
    return [where + line for line in made]


# --- one classifier ----------------------------------------------------------------------------------------------------


def of_images(run: ComparedRun) -> bool:
    """Whether a run's classifier reads images."""
    config = load_config(find_pretrained(str(run.path), what="a classifier"))
    return any(str(one).endswith("ForImageClassification") for one in config.architectures or ())


def join_classifiers(joined: Joined) -> tuple[Any, Any]:
    """One model of all, each without its own temperature, and what prepares its inputs.

    Raises:
        UserError: for members of other inputs (tokenizer, image processor, tokens a text is cut to).
    """
    models, processors, image = [], [], of_images(joined.runs[0])
    for run in joined.runs:
        source = find_pretrained(str(run.path), what="a classifier")
        config = load_config(source)
        kind = AutoModelForImageClassification if image else AutoModelForSequenceClassification
        model = kind.from_pretrained(source.path, dtype="float32", **source.options())
        _as_before(model, run)
        if model.config.problem_type is None:
            model.config.problem_type = run.data.get("problem")
        models.append(model)
        processors.append(AutoImageProcessor.from_pretrained(source.path) if image else load_tokenizer(source, config))
    for run, processor, other in zip(joined.runs[1:], processors[1:], models[1:], strict=True):
        _check_inputs(joined.runs[0], run, processors[0], processor, image)
        _check_windows(joined.runs[0], run, models[0].config, other.config, joined.average)
    model = None if image else _over_one_network(joined, models)
    if model is None:
        model = join_models(models, joined.average)
    if image:
        model.config.pixel_scales = _pixel_scales(processors)
    return model, processors[0]


def _over_one_network(joined: Joined, models: Sequence[Any]) -> Any:
    """Members that are LoRA adapters over one network, which is then kept once; None where they are not."""
    folders = [adapter_folder(run.path) for run in joined.runs]
    if importlib.util.find_spec("peft") is None or not all(folders):
        return None
    found = over_their_network(models, [folder for folder in folders if folder is not None], joined.average)
    if isinstance(found, int):
        say(
            f"{joined.names[found]} is a LoRA adapter over another network than {joined.names[0]}: each member keeps a network"
            " of its own."
        )
        return None
    say(f"The members are LoRA adapters over one network, which is kept once, with {len(models)} adapters and heads.")
    return found


def _as_before(model: Any, run: ComparedRun) -> None:
    """Let the weights say what the run's joined predictions say: without the temperature that it fitted, and with one that
    was kept beside the weights all along. One that was in the weights before the run stays there."""
    record, own, factor = recorded(model.config), fitted_scaling(run.results), NONE
    inside = bool(record.get("folded"))
    if own is not None and inside:
        factor = own.undone()
    elif own is None and record and not inside:
        factor = scaling_left(model.config)
    if not factor.changes_nothing and (line := fold(model, factor)):
        raise UserError(f"{run.name} cannot be a member: {line}")
    forget(model.config)


def _pixel_scales(processors: Sequence[Any]) -> list[Any] | None:
    """By what the first member's normalised pixels become those of each: (factors, terms), a number a channel; None where
    all were normalised alike. Seeds that hold other rows out have other means of what they trained on."""
    means = [np.asarray(one.image_mean, float) for one in processors]
    stds = [np.asarray(one.image_std, float) for one in processors]
    scales = [
        ((stds[0] / std).tolist(), ((means[0] - mean) / std).tolist()) for mean, std in zip(means, stds, strict=True)
    ]
    return None if all(scale == scales[0] for scale in scales) else scales


def _check_inputs(first: ComparedRun, other: ComparedRun, one: Any, two: Any, image: bool) -> None:
    """Require two members to see the same of an input."""
    if image:
        mine, theirs = one.to_dict(), two.to_dict()
        keys = (mine.keys() | theirs.keys()) - {"image_mean", "image_std"}  # those are made up for in the model
        differing = sorted(key for key in keys if mine.get(key) != theirs.get(key))
        if differing:
            key = differing[0]
            raise UserError(
                f"{other.name} prepares images otherwise than {first.name} ({key}: {theirs.get(key)} and {mine.get(key)}):"
                " members of one classifier see the same pixels."
            )
        return
    lengths = [run.record["arguments"].get("max_length") for run in (first, other)]
    if lengths[0] != lengths[1]:
        raise UserError(
            f"{other.name} cuts texts at {lengths[1]} tokens, {first.name} at {lengths[0]}: members of one classifier see"
            " the same tokens (--max_length)."
        )
    if _vocabulary(one) != _vocabulary(two):
        raise UserError(f"{other.name} has another tokenizer than {first.name}: members of one classifier share one.")


def _check_windows(first: ComparedRun, other: ComparedRun, one: Any, two: Any, average: str) -> None:
    """Require two members to read a long text alike, in a way that the average is not in the way of."""
    mine, theirs = Windows.read(one), Windows.read(two)
    if mine != theirs:
        told = [f"in windows that share {w.overlap} tokens" if w else "cut" for w in (mine, theirs)]
        raise UserError(
            f"{other.name} reads long texts {told[1]}, {first.name} {told[0]}: members of one classifier read them"
            " alike (--long_texts, --window_overlap)."
        )
    if mine is not None and average != "logits":
        raise UserError(
            f"--average {average} of members that read long texts in windows would average each window before the"
            " windows of a row: one classifier of them takes --average logits. (Without --output_dir they join all the same.)"
        )


def _vocabulary(tokenizer: Any) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer.get_vocab()
    backend.no_truncation()
    backend.no_padding()
    return backend.to_str()
