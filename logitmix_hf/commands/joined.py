"""What ``logitmix ensemble`` writes and judges: one classifier of finished runs, by the story that every run shares.

Its own rows are not asked again: what the members said of them is joined. The model is asked for other data alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from logitmix_hf.arguments import MixArguments
from logitmix_hf.data.match_labels import match_labels
from logitmix_hf.data.roles import JudgedSplit
from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation import Predictions
from logitmix_hf.modality import IMAGE
from logitmix_hf.models.long_texts import Windows
from logitmix_hf.models.windows import answer_windows
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.text.data import TextData
from logitmix_hf.training.calibration import SPLIT
from logitmix_hf.training.ensemble import Joined, join_classifiers, lines, lines_of, of_images, told, told_of
from logitmix_hf.training.job import Job
from logitmix_hf.training.loaded import Loaded, known_of
from logitmix_hf.training.ood import check_ood_flags
from logitmix_hf.training.run_settings import RunSettings
from logitmix_hf.training.settings import TrainSettings
from logitmix_hf.training.shift import PREFIX, read_shifts
from logitmix_hf.training.text.job import TextJob
from logitmix_hf.training.text.settings import TextDataSettings, TextModelSettings
from logitmix_hf.training.vision.corrupted import corrupted_images, record_of
from logitmix_hf.training.vision.job import VisionJob
from logitmix_hf.training.vision.settings import ImageDataSettings, ImageModelSettings, VisionTrainSettings
from logitmix_hf.vision.data import ImageData, load_image_data
from logitmix_hf.vision.data.augment import Augment

_OF_THE_FIRST = ("use_cpu", "per_device_eval_batch_size", "disable_tqdm")
"""Arguments of the trainer that the first run's command decides."""


def joined_job(joined: Joined, run: RunSettings, output_dir: str, argv: list[str], **data: Any) -> JoinedJob:
    """The job that writes and judges one classifier of all.

    Args:
        data: flags about the data beside those of the first run (``corrupted``, ``corruptions``).

    Raises:
        UserError: for corrupted images of texts.
    """
    image = of_images(joined.runs[0])
    if not image and (given := [name for name, value in data.items() if value is not None]):
        raise UserError(f"--{given[0]} {data[given[0]]} is of images, and the members read texts: leave it out.")
    kinds: Any = (JoinedText, TextDataSettings, TextModelSettings, TrainSettings)
    if image:
        kinds = (JoinedImages, ImageDataSettings, ImageModelSettings, VisionTrainSettings)
    kind, of_data, of_model, of_training = kinds
    first = joined.runs[0].record["arguments"]
    given = {each.name: first[each.name] for each in fields(of_data) if each.name in first}
    given |= data if image else {}
    trained = {name: first[name] for name in _OF_THE_FIRST if name in first}
    quiet = {"do_train": False, "eval_strategy": "no", "save_strategy": "no", "report_to": "none", "seed": 0}
    job = kind(
        of_data(**given), of_model(), MixArguments(method="vanilla"), run,
        of_training(output_dir=output_dir, **quiet, **trained), argv,
    )  # fmt: skip
    job.joined = joined
    return job


class JoinedJob(Job):
    """What joining texts and images has in common."""

    joined: Joined

    @property
    def name(self) -> str:
        return str(self.joined.runs[0].data.get("name"))

    @property
    def label(self) -> str:
        return f"all {len(self.joined.runs)} ({self.joined.average})"

    @property
    def title(self) -> str:
        return f"{self.name}: ensemble"

    @property
    def member_names(self) -> list[str]:
        return self.joined.names

    @property
    def method_record(self) -> dict[str, Any]:
        return {"name": "ensemble", "members": len(self.joined.runs), "average": self.joined.average}

    @property
    def saves(self) -> bool:
        return True

    def arguments(self) -> dict[str, Any]:
        own = {name: value for name, value in asdict(self.run).items() if value is not None and name != "runs"}
        method = {**self.method_record, "method": "ensemble"}
        return {**asdict(self.data), **own, **{name: value for name, value in method.items() if name != "name"}}

    def check(self) -> None:
        self.check_beside()  # type: ignore[attr-defined]  that of text or images
        for name, place in read_shifts(self.run.shift).items():
            if any(prefix == PREFIX + name or prefix.startswith(f"{PREFIX}{name}_") for prefix in self.joined.splits):
                raise UserError(
                    f"--shift {name}={place}: the runs were judged on data of that name, and what they said of it is joined:"
                    " give another name, or leave it out."
                )
        check_ood_flags(self.run.ood, self.joined.facts is None, self.name)

    def check_model(self, token: str | None) -> None:
        pass  # the members are folders here, and each is read at once

    def before_training(self, trainer: Any, loaded: Loaded, folder: Path) -> None:
        facts = told(self.joined, self.run.bootstrap)
        RunFolder(folder).write_json("ensemble.json", {"members": self.joined.names, **facts})
        say(*lines(self.joined, facts), "", out=True)

    def after_judging(self, splits: Mapping[str, Predictions], folder: RunFolder) -> None:
        """What the members are to each other on the data that the joined model was asked of."""
        known = {name for name, _ in self.joined.splits.values()}
        asked = {name: p for name, p in splits.items() if name not in known and p.members is not None}
        facts = {name: told_of(self.joined, p, self.run.bootstrap) for name, p in asked.items()}
        if not facts:
            return
        before = folder.read_json("ensemble.json")
        folder.write_json("ensemble.json", {**before, "splits": {**before.get("splits", {}), **facts}})
        say(*(line for name, one in facts.items() for line in lines_of(self.joined, one, f"{name}: ")), out=True)

    def own(self, kind: Any, **more: Any) -> Any:
        """The data of the first run, as its record has it, without rows."""
        first, pooled = self.joined.runs[0].data, next(iter(self.joined.splits.values()))[1]
        each = [
            JudgedSplit(name, prefix, first["splits"][prefix].get("source") or name, bool(first["splits"][prefix].get("test")))
            for prefix, (name, _) in self.joined.splits.items()
        ]  # fmt: skip
        return kind(
            train=None,
            validation={},
            test={},
            label_names=pooled.label_names,
            problem=pooled.problem,
            metrics=self.joined.metrics,
            name=self.name,
            source=str(first.get("source") or ""),
            kind=str(first.get("kind") or ""),
            fingerprint=str(first.get("fingerprint") or ""),
            judged=tuple(one for one in each if not one.test),
            tested=tuple(one for one in each if one.test),
            validation_note=str(first.get("validation") or ""),
            **more,
        )

    def ready(self, data: Any, model: Any, **more: Any) -> Loaded:
        """All that is judged, the own rows by what the members said of them."""
        joined, first = self.joined, self.joined.runs[0]
        given = dict(joined.splits.values())
        given |= {} if joined.apart is None else {SPLIT: joined.apart}
        facts = Path(first.path) / "data.json"
        record = {name: value for name, value in first.data.items() if name not in ("splits", "ood", "calibration")}
        return Loaded(
            data=data,
            model=model,
            given=given,
            calibrated_on=joined.facts,
            facts=RunFolder(first.path).read_json("data.json") if facts.is_file() else {},
            model_record={
                "base": first.record["model"].get("base"),
                "local": first.record["model"].get("local"),
                "members": joined.names,
                "member_seeds": [run.seed for run in joined.runs],
                **({"pipeline_tag": "image-classification"} if self.modality == IMAGE else {}),
            },
            data_record={**record, **more.pop("data_record")},
            **more,
        )


class JoinedText(JoinedJob, TextJob):
    """Classifiers of texts."""

    def load(self) -> Loaded:
        model, tokenizer = join_classifiers(self.joined)
        columns = tuple(self.joined.runs[0].data.get("columns") or ())
        data = self.with_beside(self.own(TextData, columns=columns))
        if (windows := Windows.read(model.config)) is not None:
            answer_windows(model)
        self._windows = windows
        made = self.tokens(data.splits, tokenizer, columns)
        return self.ready(
            data,
            model,
            splits={name: split for name, (split, _) in made.items()},
            processor=tokenizer,
            collator=self.collator(tokenizer),
            known={name: known_of(split) for name, split in data.splits.items()},
            data_record={
                "cut" if windows is None else "in_windows": {name: count for name, (_, count) in made.items() if count}
            },
        )


class JoinedImages(JoinedJob, VisionJob):
    """Classifiers of images."""

    def load(self) -> Loaded:
        model, processor = join_classifiers(self.joined)
        first = self.joined.runs[0].data
        names = ("channels", "image_size", "mean", "std", "statistics")
        kept = {name: tuple(one) if isinstance(one := first[name], list) else one for name in names}
        data = self.own(ImageData, augment=Augment(), **kept)
        data, corrupted = self.with_beside(data, self.request), None
        if self.data.corrupted is not None:
            corrupted = corrupted_images(
                self._clean(data), self.data.corrupted, self.data.corruptions, self._known, self.data.cache_dir
            )
        data = data.to(self.training.device)
        return self.ready(
            data,
            model,
            splits=data.splits,
            processor=processor,
            collator=data.collator(beside=() if corrupted is None else corrupted.splits.values()),
            known={name: known_of(split) for name, split in data.splits.items()},
            corrupted={} if corrupted is None else corrupted.splits,
            data_record={"corrupted": record_of(corrupted)},
        )

    def _clean(self, data: ImageData) -> ImageData:
        """The images that the members were judged on, read again as the first of them read them.

        Raises:
            UserError: where they are no longer the same.
        """
        arguments = self.joined.runs[0].record["arguments"]
        training = bool(arguments.get("do_train", True))
        request = replace(
            self.request,
            seed=arguments.get("seed", 42),
            need_test=bool(arguments.get("do_predict")),
            validation_share=self.data.validation_share if training else 0.0,
            calibration_share=arguments.get("calibration_split"),
            training=training,
            image_size=data.image_size,
            channels=data.channels,
        )
        found = load_image_data(request)
        self._known = found.label_names
        found = found.relabelled(data.label_names, match_labels(data.label_names, found.label_names).numbers)
        for name, pooled in self.joined.splits.values():
            split = found.splits.get(name)
            if not name.startswith(PREFIX) and (split is None or not _same(split, pooled)):
                raise UserError(
                    f"--corrupted {self.data.corrupted}: {self.name} is not the data that the members were judged on"
                    f" (its {name} has other rows): judge runs of today's data."
                )
        return found


def _same(split: Any, pooled: Predictions) -> bool:
    """Whether a split holds the rows of these predictions, in any order."""
    mine, theirs = (np.asarray(idx) for idx in (split.idx, pooled.idx))
    one, other = np.argsort(mine), np.argsort(theirs)
    labels = split.labels.cpu().numpy()[one], np.asarray(pooled.labels)[other]
    return np.array_equal(mine[one], theirs[other]) and np.array_equal(*labels)
