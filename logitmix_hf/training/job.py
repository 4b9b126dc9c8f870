"""What a command brings to the story that every training shares: its flags, its data and its model."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from logitmix_hf.arguments import MixArguments
from logitmix_hf.data.request import DataRequest
from logitmix_hf.errors import say
from logitmix_hf.evaluation import Predictions
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.trainer import MixTrainer
from logitmix_hf.trainer.resolved import resolved
from logitmix_hf.training.folds import Fold
from logitmix_hf.training.loaded import Loaded
from logitmix_hf.training.run_settings import RunSettings
from logitmix_hf.training.settings import TrainSettings

RequestT = TypeVar("RequestT", bound=DataRequest)


@dataclass
class Job(ABC):
    """Everything that the flags say. A command derives from it and says how its data and model come to be.

    Attributes:
        argv: the words of the command, the program's first.
        fold: of ``--folds``, which of the trainings this is.
    """

    modality: ClassVar[str]
    trainer_class: ClassVar[type[MixTrainer]] = MixTrainer
    compares: ClassVar[bool] = False
    """Whether the last table sets every way of calibrating beside the others."""

    data: Any
    model: Any
    mix: MixArguments
    run: RunSettings
    training: TrainSettings
    argv: Sequence[str]
    fold: Fold | None = field(default=None, init=False, kw_only=True)

    @property
    @abstractmethod
    def name(self) -> str:
        """What the data is called in names."""

    @property
    @abstractmethod
    def request(self) -> DataRequest:
        """What rows the flags mean."""

    @abstractmethod
    def check(self) -> None:
        """Raise for every mistake that can be seen before anything long begins, in little time."""

    @abstractmethod
    def check_model(self, token: str | None) -> None:
        """The same for the model, of which only the configuration may be fetched, with the token of the Hub."""

    @abstractmethod
    def load(self) -> Loaded:
        """Data and model; called once, after both checks."""

    def trainer_options(self) -> dict[str, Any]:
        """Further arguments of the trainer."""
        return {"ema": self.training.ema}

    def callbacks(self) -> list[Any]:
        """Further callbacks of the trainer."""
        return []

    def before_training(self, trainer: Any, loaded: Loaded, folder: Path) -> None:  # noqa: B027
        """Called by the main process once the folder is claimed."""

    def settle(self, trainer: Any, folder: Path | None) -> None:  # noqa: B027
        """Called by every process once the weights are trained, before the model is judged and saved; ``folder`` is None for
        those that write nothing."""

    def after_judging(self, splits: Mapping[str, Predictions], folder: RunFolder) -> None:  # noqa: B027
        """Called with the labelled predictions by the name of their split, before any temperature."""

    def write_submission(self, name: str, predictions: Predictions, folder: Path) -> None:  # noqa: B027
        """Called with the predictions of each test split."""

    def request_of(self, kind: type[RequestT], **own: Any) -> RequestT:
        """The request that the flags mean: of its fields those that flags are called after, those that every run decides,
        and ``own``, which differ."""
        named = {each.name: getattr(self.data, each.name) for each in fields(kind) if hasattr(self.data, each.name)}
        of_run = {
            "seed": self.training.seed,
            "need_test": self.training.do_predict,
            "calibration_share": self.run.calibration_split,
        }
        if not self.training.do_eval and named["validation_share"] == kind.validation_share:
            named["validation_share"] = 0.0  # nobody would look at the rows held out
        return kind(**{**named, **of_run, **own})

    def tell(self, lines: Sequence[str], out: bool = False) -> None:
        """Lines for whoever watches, said by one process; on stdout (``out``) what surprises nobody."""
        if lines and self.training.process_index == 0:
            say(*lines, out=out)

    def tell_of_rows(self, lines: Sequence[str]) -> None:
        """What was read, in the first line, and what is odd about it: Python's ``fit`` says the second alone."""
        self.tell(lines[:1], out=True)
        self.tell(lines[1:])

    @property
    def label(self) -> str:
        """The method as the last table calls it."""
        return self.mix.method

    @property
    def title(self) -> str:
        """Above pictures."""
        return f"{self.name}, {self.mix.method}"

    @property
    def member_names(self) -> Sequence[str]:
        """What the last table calls the members of one model; none where they are numbered."""
        return ()

    @property
    def method_record(self) -> dict[str, Any]:
        """What ``run.json`` says of the method."""
        return self.mix.record(self.modality)

    @property
    def saves(self) -> bool:
        """Whether the model is written into the run folder at the end."""
        return self.training.do_train

    def arguments(self) -> dict[str, Any]:
        """All of them by flag, as they were asked for: with defaults, and with what the method implies."""
        own = {**asdict(self.data), **asdict(self.model), **asdict(self.mix.filled(self.modality)), **asdict(self.run)}
        # JSON has no infinity, and null would say that nothing was asked for.
        own = {name: "inf" if value == math.inf else value for name, value in own.items()}
        return {**self.training.to_dict(), **own}

    def name_folder(self, network: str, detail: str = "") -> None:
        """Name the run folder after the run, where the user did not; ``detail`` follows the method."""
        if self.training.output_dir in (None, "trainer_output"):  # the second is TrainingArguments' word for None
            model = network.rstrip("/").rpartition("/")[2]
            name = f"{self.name}-{model}-{self.mix.row.name}{detail}-s{self.training.seed}"
            self.training = resolved(self.training, output_dir=f"runs/{name}")
