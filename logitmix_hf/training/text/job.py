"""``logitmix glue``: a text classifier on a GLUE task or on anybody's own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import DataCollatorWithPadding

from logitmix_hf.ensembles import LogitmixAdaptersForSequenceClassification, check_single
from logitmix_hf.errors import UserError, say
from logitmix_hf.evaluation import Predictions
from logitmix_hf.models.long_texts import Windows, settle_windows
from logitmix_hf.models.pretrained import find_pretrained, load_config
from logitmix_hf.models.tokenizer import check_length, grow_embeddings, load_tokenizer
from logitmix_hf.models.unwrap import unwrap
from logitmix_hf.models.windows import WindowCollator, answer_windows, check_splits
from logitmix_hf.text.data import TextData, TextRequest, check_data, load_text_data
from logitmix_hf.text.overview import overview, text_facts
from logitmix_hf.text.submission import write_submission
from logitmix_hf.text.tasks import TASKS
from logitmix_hf.text.tokens import tokenize_and_count
from logitmix_hf.training.calibration import check_flags
from logitmix_hf.training.job import Job
from logitmix_hf.training.loaded import Loaded, known_of
from logitmix_hf.training.ood import check_ood_flags, read_oods
from logitmix_hf.training.shift import of_flag, read_shifts
from logitmix_hf.training.text import model as load
from logitmix_hf.training.text.adapters import check_adapters, record_of_adapters, settle, with_adapters
from logitmix_hf.training.text.beside import check_texts
from logitmix_hf.training.text.ood import with_ood_texts
from logitmix_hf.training.text.settings import AdapterSettings, TextDataSettings, TextModelSettings
from logitmix_hf.training.text.shifted import with_shifted_texts


@dataclass
class TextJob(Job):
    """Everything that the flags of ``logitmix glue`` say."""

    modality = "text"

    data: TextDataSettings
    model: TextModelSettings
    adapters: AdapterSettings = field(default_factory=AdapterSettings)
    _windows: Windows | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """The task, or the data set's last word."""
        data = self.data
        named = data.task or data.dataset_name or data.train_file or data.validation_file or "data"
        return named.rstrip("/").rpartition("/")[2].partition(".")[0]

    @property
    def label(self) -> str:
        mix, count = self.mix.filled(), self.adapters.count
        site = f" {mix.site}" if mix.mixes and mix.mixer == "linear" else ""
        return mix.method + site + ("" if not count else " LoRA" if count == 1 else f", {count} LoRA members")

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), **asdict(self.adapters)}

    def check(self) -> None:
        self.mix.filled(self.modality)
        check_adapters(self.adapters, self.training)
        check_data(self.request)
        self.check_beside()
        files = self.data.validation_file and not (self.data.train_file or self.data.task or self.data.dataset_name)
        if self.training.do_train and files:
            raise UserError("Training needs rows to train on: give a --train_file beside the --validation_file.")
        regression = bool(self.data.regression) or (self.data.task is not None and TASKS[self.data.task].regression)
        check_flags(self, regression)
        check_ood_flags(self.run.ood, regression, self.name)

    def check_beside(self) -> None:
        """What can be said of the places of ``--shift`` and ``--ood`` before anything is read."""
        for flag, places in (("shift", read_shifts(self.run.shift)), ("ood", read_oods(self.run.ood))):
            for name, place in places.items():
                with of_flag(f"--{flag} {name}={place}"):
                    check_texts(place, self.request)

    def check_calibration_rows(self, data: TextData) -> None:
        """Require a calibration file to hold other rows than those that are judged."""
        if self.run.calibration_file is None or data.calibration is None:
            return
        own = set(zip(*(data.calibration[column] for column in data.columns), strict=True))
        judged = {
            row for split in data.validation.values() for row in zip(*(split[c] for c in data.columns), strict=True)
        }
        both = len(own & judged)
        if both == len(own):
            raise UserError(
                f"--calibration_file {self.run.calibration_file} holds no row that is not judged too: a temperature fitted"
                " on the rows that it is judged on flatters. Give others, --protocol halves, or in place of the file"
                " --calibrate_on_eval."
            )
        if both and self.training.process_index == 0:
            say(f"{both} of the {len(own)} texts in the calibration file are judged too.")

    def check_model(self, token: str | None) -> None:
        self._source = find_pretrained(self.model.model, self.model.model_revision, token)
        self._config = load_config(self._source)
        if self.training.do_train:
            check_single(self._config, f"--model {self.model.model}")
        load.check_depth(self._config, self.mix.filled().site if self.mix.mixes else None)
        other = self.model.tokenizer
        source = self._source if other is None else find_pretrained(other, token=self._source.token)
        self._tokenizer = load_tokenizer(source, self._config, grow=self.training.do_train)
        check_length(self.data.max_length, self._config, self.model.model)
        self._windows = self._read_windows()
        if self._windows is not None:
            check_splits(self._tokenizer)
            if self.training.torch_compile:
                raise UserError(
                    "--long_texts windows gives batches of ever new shapes, which --torch_compile would trace each time:"
                    " leave one out."
                )

    def _read_windows(self) -> Windows | None:
        data = self.data
        if data.long_texts is None and not self.training.do_train:
            return Windows.read(self._config, data.max_length)
        return Windows.of(data.max_length, data.window_overlap) if data.long_texts == "windows" else None

    def load(self) -> Loaded:
        with self.training.main_process_first(desc="data"):
            data = load_text_data(self.request)
        self.tell(data.notes)
        data = self.with_beside(self.aligned(data))
        has_head = load.has_head(self._config) and self._config.num_labels == max(len(data.label_names), 1)
        config, tokenizer = load.fit_config(self._config, data, self.model), self._tokenizer
        settle_windows(config, windows := self._windows)
        model, note = load.load_model(self._source, config, self.model.ignore_mismatched_sizes)
        self.tell([note] if note else [], out=True)
        if new := grow_embeddings(model, tokenizer):
            self.tell([f"The tokenizer has {new} more tokens than {self.model.model}, which gets embeddings for them."])
        adapters: dict[str, Any] = {}
        if self.adapters.count:
            model = with_adapters(model, self.adapters, self._source, self.training.seed, has_head)
            adapters = record_of_adapters(model)
            self.tell(self._told_of(adapters["lora"]))
        if windows is not None:
            answer_windows(model)
        self.check_calibration_rows(data)
        given = {name: split for name, split in data.splits.items() if name != "train" or self.training.do_train}
        made = self.tokens(given, tokenizer, data.columns)
        long = {name: count for name, (_, count) in made.items()}
        facts = text_facts(data, long, self.data.max_length, windows)
        self.tell_of_rows(overview(data, sum(long.values()), self.data.max_length, facts, windows))
        return Loaded(
            data=data,
            splits={name: split for name, (split, _) in made.items()},
            model=model,
            processor=tokenizer,
            collator=self.collator(tokenizer),
            known={name: known_of(split) for name, split in given.items() if name != "train"},
            has_head=has_head,
            facts=facts,
            model_record={
                "revision": self.model.model_revision,
                "layers": getattr(config, "num_hidden_layers", None),
                **adapters,
            },
            data_record={
                "columns": data.columns,
                "config": self.request.config,
                "max_length": self.data.max_length,
                "cut" if windows is None else "in_windows": {name: count for name, count in long.items() if count},
            },
        )

    def with_beside(self, data: TextData) -> TextData:
        """The data with that of ``--shift`` and ``--ood``."""
        if shifts := read_shifts(self.run.shift):
            with self.training.main_process_first(desc="shifts"):
                data, notes = with_shifted_texts(data, shifts, self.request)
            self.tell(notes)
        if places := read_oods(self.run.ood):
            with self.training.main_process_first(desc="data of no class"):
                data, notes = with_ood_texts(data, places, self.request)
            self.tell(notes)
        return data

    def tokens(self, splits: Mapping[str, Any], tokenizer: Any, columns: Sequence[str]) -> dict[str, tuple[Any, int]]:
        """Each split as ``Trainer`` takes it, and how many of its rows are longer than ``max_length``."""
        with self.training.main_process_first(desc="tokens"):
            return {
                name: tokenize_and_count(split, tokenizer, tuple(columns), self.data.max_length, self._windows)
                for name, split in splits.items()
            }

    def collator(self, tokenizer: Any) -> Any:
        """What makes a batch of rows."""
        kind = DataCollatorWithPadding if self._windows is None else WindowCollator
        return kind(tokenizer, pad_to_multiple_of=8 if self.training.fp16 or self.training.bf16 else None)

    def settle(self, trainer: Any, folder: Path | None) -> None:
        model = unwrap(trainer.model)
        if isinstance(model, LogitmixAdaptersForSequenceClassification) and model.count == 1:
            settle(trainer, model, folder)
            if self._windows is not None:
                answer_windows(trainer.model)

    def _told_of(self, lora: dict[str, Any]) -> list[str]:
        """What is trained, in words."""
        count, trained = self.adapters.count, lora["parameters_trained"]
        what = "a LoRA adapter" if count == 1 else f"{count} LoRA adapters beside each other over one network"
        implied = "" if self.adapters.lora else " (--members implies --lora)"
        layers = ", ".join(lora["target_modules"])
        return [
            f"Training {what}{implied}: rank {lora['r']} at {layers}, {trained:,} weights with the heads'.",
            *[f"Each step takes the passes of {count} runs; the network is in memory once."] * (count > 1),
        ]

    def aligned(self, data: TextData) -> TextData:
        """The data with labels numbered as a model does that already knows them by name."""
        known = [str(self._config.id2label.get(number)) for number in range(self._config.num_labels)]
        if sorted(known) != sorted(data.label_names):
            return data
        return data.relabelled(known, [known.index(name) for name in data.label_names])

    def write_submission(self, name: str, predictions: Predictions, folder: Path) -> None:
        if self.data.task and TASKS[self.data.task].submission:
            write_submission(self.data.task, name, predictions.predictions, predictions.label_names, folder)

    @property
    def request(self) -> TextRequest:
        """What rows the flags mean."""
        return self.request_of(
            TextRequest,
            text_columns=self.data.texts,
            need_test=self.training.do_predict or self.data.test_file is not None,
            calibration_file=self.run.calibration_file,
        )
