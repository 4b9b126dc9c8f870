"""The flags by which every run is judged and treats its folder: names and checks, which load nothing of training."""

from __future__ import annotations

from dataclasses import dataclass

from logitmix_hf.errors import UserError, check_number, pick
from logitmix_hf.evaluation.chosen import CALIBRATORS
from logitmix_hf.evaluation.scaling import TEMPERATURE
from logitmix_hf.evaluation.thresholds import GOALS, read_cost
from logitmix_hf.flags import flag, repeated
from logitmix_hf.training.ood import read_oods
from logitmix_hf.training.shift import read_shifts


@dataclass(frozen=True)
class RunSettings:
    """How the run treats its folder, and what it reports."""

    recipe: str | None = flag(
        "run", None, "flags of a published row, by its name in recipes/ or the path of a JSON file"
    )
    config: str | None = flag("run", None, "a YAML file of flags; those of the command line override it")
    resume: bool = flag("run", False, "go on from the last checkpoint in the output folder")
    overwrite: bool = flag("run", False, "replace the run that the output folder holds")
    keep_checkpoints: bool = flag(
        "run", False, "keep the checkpoints of a run that is whole; else they go, with the optimizer's state"
    )
    prepare: bool = flag(
        "run", False, "fetch data, model and tokenizer, say what is where, and end; the run then needs no network"
    )
    early_stopping: int | None = flag("run", None, "stop after this many evaluations without a better score")
    bins: int = flag("run", 15, "bins of ECE and of every other score that has bins")
    bootstrap: int = flag("run", 1000, "resamples for the intervals of the final scores; 0: no intervals")
    shift: list[str] | None = repeated(
        "data",
        {
            "text": "NAME=PLACE …: judge the finished model on this labelled data as well, a file or a data set; keys"
            " shift_NAME_…",
            "image": "NAME=PLACE …: judge the finished model on these images as well, a folder or a data set; keys"
            " shift_NAME_…",
        },
    )
    ood: list[str] | None = repeated(
        "data",
        {
            "text": "NAME=PLACE …: tell rows of no class from the own by confidence, a file or a data set; keys ood_NAME_…",
            "image": "NAME=PLACE …: tell images of no class from the own by confidence, a folder or a data set; keys"
            " ood_NAME_…",
        },
    )
    calibration_split: float | None = flag(
        "calibration", None, "share of train that is set apart, stratified, and the temperature fitted on"
    )
    calibration_file: str | None = flag(
        "calibration",
        None,
        {
            "text": "or rows of their own that it is fitted on: a file",
            "image": "or images of their own that it is fitted on: a folder of class folders, or a data set",
        },
        "--calibration_folder",
    )
    protocol: str | None = flag(
        "calibration", None, "halves: or each half of the judged rows is judged by a temperature of the other half"
    )
    folds: int | None = flag(
        "data",
        None,
        "K models judge every row of train that they did not see; one trained on all rows is kept, with the temperature and the"
        " thresholds of those scores",
    )
    calibrate_on_eval: bool = flag("calibration", False, "or on the very rows that it is judged on; results say so")
    calibrator: str = flag(
        "calibration",
        "temperature",
        "temperature, vector (a scale and a shift for each class), or auto: the lower cross-validated NLL on these rows",
    )
    thresholds: str | None = flag(
        "calibration",
        None,
        "label, macro or micro: thresholds with the highest F1 on the same rows (of each label, or one for all)",
    )
    cost: str | None = flag(
        "calibration", None, "FN=5,FP=1: or thresholds with the lowest cost of misses and false alarms"
    )
    positive_label: str | None = flag(
        "calibration", None, "of two classes the one that has the threshold; default the second"
    )
    fold: bool = flag("calibration", True, "temperature into the last layer's weights; false: config.json alone")

    def __post_init__(self) -> None:
        check_number("bins", self.bins, low=1, high=10_000)
        check_number("bootstrap", self.bootstrap, low=0, high=100_000)
        read_shifts(self.shift)
        read_oods(self.ood)
        check_number("calibration_split", self.calibration_split, low=0, high=0.9, open_low=True, optional=True)
        if self.protocol is not None:
            pick({"halves": ""}, self.protocol, "protocol")
        pick(CALIBRATORS, self.calibrator, "calibrator")
        self._check_decisions()
        if self.folds is not None:
            check_number("folds", self.folds, low=2, high=1000)
            if self.calibration not in (None, "halves"):
                raise UserError(
                    f"--folds fits the temperature on the rows out of fold, and --{self._given[0]} on others: take one."
                )
        asked = {"thresholds": self.thresholds, "cost": self.cost}
        asked["calibrator"] = None if self.calibrator == TEMPERATURE else self.calibrator
        for name, value in asked.items():
            if value is not None and not self._given and self._needs_rows and self.folds is None:
                raise UserError(
                    f"--{name} {value} needs rows to be fitted on: give --calibration_split, --calibration_file,"
                    " --protocol halves or --calibrate_on_eval."
                )
        if len(self._given) > 1:
            raise UserError(
                f"--{' and --'.join(self._given)} were given, but a temperature is fitted on one set of rows: take one."
            )

    def _check_decisions(self) -> None:
        if self.thresholds is not None:
            pick(GOALS, self.thresholds, "goal of --thresholds")
        if self.cost is not None:
            read_cost(self.cost)
            if self.thresholds is not None:
                raise UserError(
                    f"--thresholds {self.thresholds} and --cost {self.cost} choose by two things: take one."
                )
        if self.positive_label is not None and not self.decides:
            raise UserError(
                f"--positive_label {self.positive_label} has no threshold: add --thresholds label or --cost."
            )

    @property
    def decides(self) -> bool:
        """Whether thresholds are asked for."""
        return self.thresholds is not None or self.cost is not None

    @property
    def _needs_rows(self) -> bool:
        """Whether no flag means no calibration."""
        return True

    @property
    def _given(self) -> list[str]:
        names = ("calibration_split", "calibration_file", "protocol", "calibrate_on_eval")
        return [name for name in names if getattr(self, name) not in (None, False)]

    @property
    def calibration(self) -> str | None:
        """What a temperature is fitted on: "split", "file", "halves", "eval"; None for no temperature."""
        words = {"calibration_split": "split", "calibration_file": "file", "protocol": "halves"}
        return words.get(self._given[0], "eval") if self._given else None
