"""The flags of ``logitmix vision`` about data, model and training; those of every run are in ``run_settings``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from logitmix_hf.data.left_out import ON_BAD_ROW
from logitmix_hf.errors import UserError, check_choice, check_number, pick
from logitmix_hf.flags import flag, option
from logitmix_hf.training.settings import TrainSettings
from logitmix_hf.vision.data import NAMED
from logitmix_hf.vision.data.augment import CROPS, PADDINGS
from logitmix_hf.vision.data.augmix import FORMS
from logitmix_hf.vision.data.decode import MOST_PIXELS
from logitmix_hf.vision.data.repetition import check_repetition
from logitmix_hf.vision.network_table import NETWORKS, STEMS


@dataclass(frozen=True)
class ImageDataSettings:
    """Which images to train and judge on, and how they are augmented."""

    dataset: str | None = flag(
        "data", None, f"{', '.join(NAMED)} (digits needs no network), a data set of the Hub, or a folder", "--dataset_name"
    )  # fmt: skip
    dataset_config: str | None = flag("data", None, "configuration of a Hub data set", "--dataset_config_name")
    image_column: str | None = flag("data", None, "column of the image", "--image_column_name")
    label_column: str | None = flag("data", None, "column of the label", "--label_column_name")
    image_size: int | None = flag("data", None, "side that images are resized to; default by data or model")
    channels: int | None = flag("data", None, "1 (grey) or 3 (colour); default by the data")
    validation_share: float = flag(
        "data", 0.1, "share of train held out where there is no validation data; 0: judge on test"
    )
    hold_out: float | None = flag(
        "data",
        None,
        "judge on this share of train in place of validation or test, which is not read: to choose flags by",
    )
    max_train_samples: int | None = flag("data", None, "train on this many rows, drawn by the seed")
    max_eval_samples: int | None = flag("data", None, "judge on this many rows, the same in every run")
    corrupted: str | None = flag(
        "data",
        None,
        "judge the finished model on corrupted images: the folder of CIFAR-10-C or CIFAR-100-C (.npy files), or like, which"
        " makes some as they were made; keys corrupted_…",
    )
    corruptions: str | None = flag("data", None, "of these corruptions alone: names joined by commas; default all")
    skip_corrupt: bool = flag("data", False, "leave out images that cannot be read, and say how many")
    on_bad_row: str = flag(
        "data", "stop", "stop, or skip: as --skip_corrupt, and images left out are listed"
    )  # fmt: skip
    max_pixels: int = flag("data", MOST_PIXELS, "a larger image is not decoded: it may be made to fill the memory")
    cache_dir: str | None = flag("data", None, "where decoded images are kept")
    memory_limit: float | None = flag("data", None, "GiB that decoded images may take; more is streamed from files")
    crop: str | None = flag("data", None, f"{', '.join(CROPS)}: how training cuts its window; default by the data")
    padding: int | None = flag("data", None, "pixels around the image before a window is cut")
    padding_mode: str | None = flag("data", None, f"{', '.join(PADDINGS)}: what they show")
    flip: float | None = flag("data", None, "share of training images that are mirrored")
    augmix: str | None = flag("data", None, f"{', '.join(FORMS)}: AugMix after crop and flip, in training")

    def __post_init__(self) -> None:
        check_choice("on_bad_row", self.on_bad_row, ON_BAD_ROW)
        if self.augmix is not None:
            pick(FORMS, self.augmix, "form of AugMix")
        check_number("max_pixels", self.max_pixels, low=1)
        check_number("memory_limit", self.memory_limit, low=0, optional=True)
        if self.crop is not None:
            pick(CROPS, self.crop, "crop")
        if self.padding_mode is not None:
            pick(PADDINGS, self.padding_mode, "padding mode")

    @property
    def augmentation(self) -> dict[str, object]:
        """What of the data's own augmentation is overridden."""
        given = {name: getattr(self, name) for name in ("crop", "padding", "padding_mode", "flip", "augmix")}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class ImageModelSettings:
    """Which network to start from."""

    model: str = flag(
        "model", "resnet18", f"{', '.join(NETWORKS)} (random weights), a Hub id, or a folder", "--model_name_or_path"
    )
    model_revision: str = flag("model", "main", "branch, tag or commit of a Hub model")
    stem: str | None = flag("model", None, f"{', '.join(STEMS)}: first layers of our networks; default by image size")
    dropout: float | None = flag("model", None, "of our networks that have it (vgg16_bn); default 0.5")

    def __post_init__(self) -> None:
        if self.stem is not None:
            pick(STEMS, self.stem, "stem")
        check_number("dropout", self.dropout, low=0, high=1, optional=True)


@dataclass
class VisionTrainSettings(TrainSettings):
    """``TrainSettings`` with the defaults of CIFAR networks from scratch: SGD with Nesterov momentum, cosine.

    A pretrained model starts from those of :data:`FINE_TUNING` instead.
    """

    optim: str = option("sgd", "sgd, or what TrainingArguments knows (adamw_torch)")  # type: ignore[assignment]
    learning_rate: float = option(0.1, "peak learning rate; pretrained models: 5e-5")
    weight_decay: float = option(5e-4, "weight decay; pretrained models: 0.01")
    num_train_epochs: float = option(30.0, "epochs; pretrained models: 3; the papers: 200")
    per_device_train_batch_size: int = option(128, "batch size; pretrained models: 32")
    per_device_eval_batch_size: int = option(256, "batch size of evaluation")
    lr_scheduler_type: SchedulerType | str = option("cosine", "shape without lr_milestones")
    max_grad_norm: float = option(0.0, "clip gradients; pretrained models: 1; 0: never")
    remove_unused_columns: bool = option(False, "leave it: rows are numbers here")
    momentum: float = option(0.9, "of sgd")
    nesterov: bool = option(True, "Nesterov's form of momentum")
    decay_norm_and_bias: bool = option(
        True, "weight decay for biases and norms too, as the papers' codes; pretrained: false"
    )
    lr_milestones: list[float] | None = option(None, "shares of training at which the learning rate drops, as .3 .6 .8")
    lr_gamma: float = option(0.2, "factor of each drop")
    batch_repetition: int = option(
        1, "copies of each image in a batch, each augmented anew; an epoch is as many times as long"
    )
    sync_bn: bool = option(False, "BatchNorm over the images of all GPUs in place of each one's own")
    memory_format: Literal["channels_last", "contiguous"] = option(
        "channels_last", "how images and convolutions lie in memory"
    )

    def __post_init__(self) -> None:
        check_number("momentum", self.momentum, low=0, high=1)
        check_repetition(self.batch_repetition, self.per_device_train_batch_size)
        check_number("lr_gamma", self.lr_gamma, low=0, high=1)
        pick(
            {name.value: name for name in OptimizerNames},
            str(getattr(self.optim, "value", self.optim)),
            "optimiser (optim)",
        )
        if self.remove_unused_columns:
            raise UserError(
                "--remove_unused_columns true leaves nothing of a row, which is a number here: leave it out."
            )
        if self.nesterov and not self.momentum and self.optim == "sgd":
            raise UserError("--nesterov true needs --momentum above 0: give one, or --nesterov false.")
        drops: list[float] = list(self.lr_milestones or [])
        if drops != sorted(set(drops)) or any(not 0 < share < 1 for share in drops):
            raise UserError(
                f"--lr_milestones must rise within (0, 1), got {' '.join(f'{share:g}' for share in drops)}: they are shares"
                " of training (60 of 200 epochs: .3)."
            )
        super().__post_init__()
        if self.sync_bn and self.device.type != "cuda":
            raise UserError(
                f"--sync_bn shares statistics between GPUs (torch has SyncBatchNorm there alone), and this training is on"
                f" {self.device.type}: leave it out."
            )


FINE_TUNING = {
    "optim": "adamw_torch",
    "learning_rate": 5e-5,
    "weight_decay": 0.01,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 32,
    "decay_norm_and_bias": "false",
    "lr_scheduler_type": "linear",
    "max_grad_norm": 1.0,
}
"""Flags that stand before the user's where the model comes with weights."""
