"""``logitmix demo``: one synthetic task, one small pretrained model, three methods side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from logitmix_hf.errors import check_number, pick
from logitmix_hf.flag_words import flag_words
from logitmix_hf.flags import FlagParser, option

METHODS_SHOWN = ("vanilla", "mixup", "logitmix")
TASKS_SHOWN = ("sst2", "rte", "cola")
NOTE = (
    "The data is synthetic, so that p(y|x) is known: 'true error' is the mean distance of the stated confidence",
    "from the true probability of the predicted class; ECE estimates it from labels alone.",
)


@dataclass(frozen=True)
class TextDemoSettings:
    """What the demo trains."""

    task: str = option("sst2", f"a built-in task with classes: {', '.join(TASKS_SHOWN)}")
    output_dir: str = option("demo", "folder of the runs and the picture")
    seed: int = option(42, "of weights, data order and mixing")
    num_train_epochs: float = option(10.0, "passes over the training rows")
    max_train_samples: int | None = option(400, "training rows: few, seen often, make a classifier too sure of itself")

    def __post_init__(self) -> None:
        pick(dict.fromkeys(TASKS_SHOWN), self.task, "demo task")
        check_number("num_train_epochs", self.num_train_epochs, low=0, high=1000, open_low=True)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([TextDemoSettings], prog="logitmix demo", description=__doc__).parse(argv)[0]
    # Here, and not at the top: torch and transformers take seconds, and a misspelt flag needs neither.
    from logitmix_hf.commands import glue
    from logitmix_hf.commands.side_by_side import QUIET, train_side_by_side

    home = Path(settings.output_dir)
    flags = {
        **asdict(settings),
        **QUIET,
        "dataset_name": "builtin",
        "model": "builtin",
        "learning_rate": 1e-4,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 64,
        "max_length": 64,
    }
    jobs = {
        method: glue.parse(flag_words({**flags, "method": method, "output_dir": home / method}))
        for method in METHODS_SHOWN
    }
    return train_side_by_side(jobs, home / "comparison.png", f"{settings.task}, built-in data", NOTE)
