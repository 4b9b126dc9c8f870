"""``logitmix demo-vision``: handwritten digits, one small network, six ways of training side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from logitmix_hf.errors import check_number
from logitmix_hf.flag_words import flag_words
from logitmix_hf.flags import FlagParser, option

SHOWN = {
    "vanilla": {"method": "vanilla"},
    "mixup": {"method": "mixup", "mixer": "mixup"},
    "cutmix": {"method": "mixup", "mixer": "cutmix"},
    "logitmix-mixup": {"method": "logitmix", "mixer": "mixup"},
    "logitmix-cutmix": {"method": "logitmix", "mixer": "cutmix"},
    "logitmix-puzzlemix": {"method": "logitmix", "mixer": "puzzlemix"},
}
"""The runs of the demo: folder, and what sets it apart."""

NOTE = (
    "Scikit-learn's digits are easy: all ways reach about the same accuracy, and in so few steps mixing leaves a network",
    "less sure than it could be (confidence below accuracy, so OE near 0). On harder images vanilla is the one that is too",
    "sure: docs/RESULTS.md.",
)


@dataclass(frozen=True)
class ImageDemoSettings:
    """What the demo trains."""

    output_dir: str = option("demo-vision", "folder of the runs and the picture")
    seed: int = option(42, "of weights, data order and mixing")
    num_train_epochs: float = option(15.0, "passes over the training rows")
    max_train_samples: int | None = option(None, "fewer training rows, for a quicker look")

    def __post_init__(self) -> None:
        check_number("num_train_epochs", self.num_train_epochs, low=0, high=1000, open_low=True)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([ImageDemoSettings], prog="logitmix demo-vision", description=__doc__).parse(argv)[0]
    # Here, and not at the top: torch and transformers take seconds, and a misspelt flag needs neither.
    from logitmix_hf.commands import vision
    from logitmix_hf.commands.side_by_side import QUIET, train_side_by_side

    home = Path(settings.output_dir)
    flags = {**asdict(settings), **QUIET, "dataset": "digits", "model": "digits", "per_device_train_batch_size": 32}
    jobs = {name: vision.parse(flag_words({**flags, **own, "output_dir": home / name})) for name, own in SHOWN.items()}
    return train_side_by_side(jobs, home / "comparison.png", "handwritten digits, 8 x 8 pixels", NOTE)
