"""``logitmix demo``: one synthetic task, one small pretrained model, three methods side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from logitmix_hf.ends import guarded
from logitmix_hf.errors import UserError, check_number, pick
from logitmix_hf.evaluation import Predictions
from logitmix_hf.flags import FlagParser, formatter
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.plots import compare_reliability
from logitmix_hf.reporting.record import check_same_arguments
from logitmix_hf.reporting.table import result_row, results_table

METHODS_SHOWN = ("vanilla", "mixup", "logitmix")
TASKS_SHOWN = ("sst2", "rte", "cola")


@dataclass(frozen=True)
class DemoSettings:
    """What the demo trains."""

    task: str = field(default="sst2", metadata={"help": f"a built-in task with classes: {', '.join(TASKS_SHOWN)}"})
    output_dir: str = field(default="demo", metadata={"help": "folder of the runs and the picture"})
    seed: int = field(default=42, metadata={"help": "of weights, data order and mixing"})
    num_train_epochs: float = field(default=3.0, metadata={"help": "passes over the training rows"})
    max_train_samples: int | None = field(default=None, metadata={"help": "fewer training rows, for a quicker look"})

    def __post_init__(self) -> None:
        pick(dict.fromkeys(TASKS_SHOWN), self.task, "demo task")
        check_number("num_train_epochs", self.num_train_epochs, low=0, open_low=True)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    return guarded(lambda: _demo(list(argv)))


def _demo(argv: list[str]) -> int:
    parser = FlagParser([DemoSettings], prog="logitmix demo", formatter_class=formatter, description=__doc__)
    settings: DemoSettings = parser.parse(argv)[0]
    home = Path(settings.output_dir)
    rows, pictured = [], {}
    for method in METHODS_SHOWN:
        print(f"\n=== {method} ===", flush=True)
        folder = RunFolder(home / method)
        code = _train(settings, method, folder)
        if code:
            return code
        results, record = folder.read_json("eval_results.json"), folder.read_json("run.json")
        site = record["method"]["site"]
        label = f"{method} {site}" if site else method
        metric = record["data"]["metrics"][0]
        rows.append(result_row(label, results, metric, seconds=record["seconds"], folder=str(folder.path)))
        pictured[label] = Predictions.load(folder.predictions_path("validation"))
    picture = home / "comparison.png"
    compare_reliability(pictured, picture, title=f"{settings.task}, built-in data")
    print(f"\n{results_table(rows)}\n")
    print("The data is synthetic, so that p(y|x) is known: 'true error' is the mean distance of the stated confidence")
    print("from the true probability of the predicted class; ECE estimates it from labels alone.\n")
    print(f"picture: {picture}")
    print(f"models:  {', '.join(row['folder'] for row in rows)} (each loads with from_pretrained)")
    return 0


def _train(settings: DemoSettings, method: str, folder: RunFolder) -> int:
    from logitmix_hf.text.run import fine_tune, parse

    flags = {
        "task": settings.task,
        "dataset_name": "builtin",
        "model": "builtin",
        "method": method,
        "output_dir": folder.path,
        "seed": settings.seed,
        "num_train_epochs": settings.num_train_epochs,
        "learning_rate": 5e-5,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 64,
        "max_length": 64,
        "logging_steps": 10,
        "save_strategy": "no",
    }
    if settings.max_train_samples is not None:
        flags["max_train_samples"] = settings.max_train_samples
    run = parse([word for name, value in flags.items() for word in (f"--{name}", str(value))])
    if folder.holds_run() and folder.read_json("run.json").get("status") == "done":
        try:
            check_same_arguments(folder.read_json("run.json")["arguments"], run.arguments())
        except UserError:
            pass  # another demo was here: train anew
        else:
            print(f"{folder.path} holds this run already; delete it to train again.")
            return 0
    run.run = type(run.run)(overwrite=folder.holds_run())
    return fine_tune(run)
