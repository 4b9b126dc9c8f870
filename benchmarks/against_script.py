"""From command to first step, and the speed of preparing and judging, against a plain script of transformers."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from benchmarks.timing import quartiles
from logitmix_hf.builtin.tasks import generate

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("sentence1", "sentence2")


def measure_startup(folder: Path, scratch: Path, rounds: int) -> dict[str, Any]:
    """Seconds from command to the end of the first step, and rows a second of preparation and evaluation.

    Both sides do the same job on the same CSV files of generated pairs, turn by turn.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    files = {split: scratch / f"{split}.csv" for split in ("train", "validation")}
    for split, path in files.items():
        write_rows(path, split)
    sides = {"ours": _ours(folder, files, scratch), "stock": _stock(folder, files, scratch)}
    begun: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in sorted(sides, reverse=bool(turn % 2)):
            begun[name].append(_seconds_to_first_step(sides[name], scratch / f"cache-{turn}-{name}"))
    result = {"seconds to first step": _compare(begun)}
    for what, pair in (("rows prepared a second", _preparation), ("rows judged a second", _evaluation)):
        steps, rows = pair(folder, files, scratch)
        took: dict[str, list[float]] = {name: [] for name in steps}
        for step in steps.values():
            step()  # warms up
        for turn in range(rounds):
            for name in sorted(steps, reverse=bool(turn % 2)):
                start = time.perf_counter()
                steps[name]()
                took[name].append(rows / (time.perf_counter() - start))
        result[what] = _compare(took)
    return result


def _compare(found: dict[str, list[float]]) -> dict[str, Any]:
    ratios = [ours / stock for ours, stock in zip(found["ours"], found["stock"], strict=True)]
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {**medians, "ratio": statistics.median(ratios), "quartiles": quartiles(ratios)}


def startup_table(found: dict[str, Any]) -> str:
    """The numbers as Markdown."""
    lines = ["| | ours | stock | ratio | quartiles |", "|---|---|---|---|---|"]
    for what, row in found.items():
        low, high = row["quartiles"]
        numbers = f"{row['ours']:.1f} | {row['stock']:.1f} | {row['ratio']:.3f} | {low:.3f} to {high:.3f}"
        lines.append(f"| {what} | {numbers} |")
    return "\n".join(lines)


def write_rows(path: Path, split: str) -> None:
    """Generated pairs as a CSV of two sentences and a label."""
    table = generate("rte", split, rows=800)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "label"])
        writer.writerows(zip(*(table[name] for name in (*COLUMNS, "label")), strict=True))


# --- from command to first step ------------------------------------------------------------------------------------


def _ours(folder: Path, files: dict[str, Path], scratch: Path) -> list[str]:
    return [
        *("run_glue.py", "--model", str(folder), "--method", "logitmix", "--overwrite"),
        *("--train_file", str(files["train"]), "--validation_file", str(files["validation"])),
        *("--text_columns", ",".join(COLUMNS), "--label_column", "label"),
        *("--per_device_train_batch_size", "8", "--report_to", "none", "--output_dir", str(scratch / "ours")),
    ]


def _stock(folder: Path, files: dict[str, Path], scratch: Path) -> list[str]:
    return ["benchmarks/stock_glue.py", *map(str, (folder, files["train"], files["validation"], scratch / "stock"))]


def _seconds_to_first_step(command: list[str], cache: Path) -> float:
    environment = {**os.environ, "HF_DATASETS_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_step", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    took = time.perf_counter() - start
    if "first step done" not in process.stdout:
        raise RuntimeError(f"{command[0]} never came to a step:\n{process.stderr[-2000:]}")
    return took


# --- preparation and evaluation ------------------------------------------------------------------------------------


def stock_data(tokenizer: Any, files: dict[str, Path], cache: Path) -> Any:
    """Read and tokenize as the example script of transformers does, but for its padding to the full length."""
    from datasets import load_dataset

    def tokenize(rows: dict[str, Any]) -> Any:
        return tokenizer(*(rows[name] for name in COLUMNS), truncation=True, max_length=128)

    paths = {split: str(path) for split, path in files.items()}
    data: Any = load_dataset("csv", data_files=paths, cache_dir=str(cache))
    return data.map(tokenize, batched=True)


def _preparation(folder: Path, files: dict[str, Path], scratch: Path) -> tuple[dict[str, Callable[[], Any]], int]:
    """Files to tokens, nothing cached."""
    from datasets import disable_caching, disable_progress_bars

    from logitmix_hf.text.data import TextRequest, load_text_data, tokenize

    disable_caching()
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    train, validation = str(files["train"]), str(files["validation"])
    fresh = (scratch / f"files-{number}" for number in count())

    def ours() -> Any:
        data = load_text_data(
            TextRequest(train_file=train, validation_file=validation, text_columns=COLUMNS, label_column="label")
        )
        splits = [data.train, *data.validation.values()]
        return [tokenize(split, tokenizer, data.columns, 128) for split in splits if split is not None]

    rows = sum(len(split) for split in ours())
    return {"ours": ours, "stock": lambda: stock_data(tokenizer, files, next(fresh))}, rows


def _evaluation(folder: Path, files: dict[str, Path], scratch: Path) -> tuple[dict[str, Callable[[], Any]], int]:
    """`evaluate` of the same model on the same tokens."""
    from logitmix_hf import MixTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    data = stock_data(tokenizer, files, scratch / "files-judged")["validation"]
    arguments = TrainingArguments(
        output_dir=str(scratch / "judge"),
        per_device_eval_batch_size=8,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    common = {
        "model": model,
        "args": arguments,
        "eval_dataset": data,
        "data_collator": DataCollatorWithPadding(tokenizer),
    }
    trainers = {"ours": MixTrainer(**common), "stock": Trainer(**common)}
    for trainer in trainers.values():
        trainer.remove_callback(PrinterCallback)
    return {name: trainer.evaluate for name, trainer in trainers.items()}, len(data)
