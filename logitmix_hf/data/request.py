"""What data is wanted, as far as texts and images do not differ in it."""

from __future__ import annotations

from dataclasses import dataclass

from logitmix_hf.data.left_out import ON_BAD_ROW
from logitmix_hf.data.roles import Needs
from logitmix_hf.errors import UserError, check_choice, check_number


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """Which rows to read, and what for. One that differs in a field is made by ``dataclasses.replace``.

    Attributes:
        dataset_config: the configuration of a data set of the Hub; default the only one.
        label_column: default "label"; of texts else "labels".
        validation_share: where there is no validation split (``data.roles``), folder or file, this share of train is held
            out, stratified, by ``seed``; 0 for none.
        hold_out: judge on this share of the rows kept for training, stratified, by ``seed``, in the place of the validation
            data, which are not read: what flags may be chosen by.
        max_train_samples: keep so many rows of train, the first of a shuffle by ``seed``.
        max_eval_samples: keep so many rows of each validation split, the same whatever the seed. Test splits are always
            whole.
        need_test: read the test splits too.
        calibration_share: this share of the rows kept for training is set apart, stratified, by ``seed``.
        on_bad_row: "skip" leaves rows out that cannot be used, of all but test splits, and lists them; "stop" refuses them.
        training: False: a model that exists is judged. Train is read for ``calibration_share`` alone; without a
            validation split the test split is validation, or the only split there is; and one class is enough.

    Raises:
        UserError: when made, for numbers out of range. Nothing is read.
    """

    dataset_config: str | None = None
    label_column: str | None = None
    validation_share: float = 0.1
    hold_out: float | None = None
    seed: int = 42
    max_train_samples: int | None = None
    max_eval_samples: int | None = None
    need_test: bool = False
    calibration_share: float | None = None
    on_bad_row: str = "stop"
    training: bool = True

    def __post_init__(self) -> None:
        check_number("validation_share", self.validation_share, low=0, high=0.9)
        check_number("hold_out", self.hold_out, low=0, high=0.9, open_low=True, optional=True)
        check_number("calibration_split", self.calibration_share, low=0, high=0.9, open_low=True, optional=True)
        self.check_counts(max_train_samples=1, max_eval_samples=1)
        check_choice("on_bad_row", self.on_bad_row, ON_BAD_ROW)

    def check_counts(self, **lowest: int) -> None:
        """Require these fields to be whole numbers from a lowest one on, where they are given."""
        for name, low in lowest.items():
            if (value := getattr(self, name)) is not None:
                check_number(name, value, low=low)
                if not isinstance(value, int):
                    raise UserError(f"{name} must be a whole number, got {value!r}.")

    def check_held_out(self, validation: bool) -> None:
        """Require that what is judged otherwise is no part of train, of which ``hold_out`` is a share too."""
        if self.hold_out is not None and not validation and self.validation_share > 0:
            raise UserError(
                f"--hold_out {self.hold_out:g} is in the place of validation data, and there are none: a run without it judges"
                f" on a share of train (--validation_share {self.validation_share:g}), by which flags would be chosen too. Give"
                " validation data of their own; with a labelled test split of images --validation_share 0 judges on that."
            )

    @property
    def drawn(self) -> bool:
        """Whether ``seed`` draws the rows to judge on out of train, as far as this is known before anything is read."""
        return self.training and self.hold_out is None and self.validation_share > 0 and self._brings_none()

    def _brings_none(self) -> bool:
        return False

    @property
    def skips(self) -> bool:
        """Whether rows that cannot be used are left out."""
        return self.on_bad_row == "skip"

    @property
    def needs(self) -> Needs:
        """What is to be done with the splits."""
        return Needs(self.need_test, self.training or self.calibration_share is not None, not self.training)
