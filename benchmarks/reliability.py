"""Kill runs at random moments, resume them, and compare what they leave with runs that nobody stopped, bit for bit.

    python -m benchmarks.reliability --kills 30 --seed 0     # texts and images, steps and epochs, one and two processes
    python -m benchmarks.reliability --pairs 4               # two --resume of one folder at once

A kill is SIGKILL to every process of a run, at a moment drawn evenly from the time that an undisturbed run takes
from the claim of its folder to its end. Where nothing was claimed yet the command is given again, else with
``--resume``. Both print one line a trial and a table, and end with 1 where a trial was lost.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}  # sums of several threads need not come out the same twice

import matplotlib.pyplot
import sklearn.metrics
import torch
import torchvision
from safetensors.torch import load_file
from transformers.models.bert import modeling_bert

from logitmix_hf.cli import main as main_of_commands
from logitmix_hf.commands import glue, vision
from logitmix_hf.reporting import plots
from logitmix_hf.training import run as _training
from logitmix_hf.training.text import job as _text_job
from logitmix_hf.training.vision import job as _image_job

IMPORTED = (matplotlib.pyplot, sklearn.metrics, torchvision, modeling_bert, glue, vision, plots)
IMPORTED += (_training, _text_job, _image_job)
"""What a run would import by and by; it is forked from here."""

WORDS = ["good", "bad", "fine", "poor", "film", "meal", "very", "not", "the", "a", "was", "is"]


@dataclass(frozen=True)
class Kind:
    """A kind of run: what it trains on, how its length is given, in how many processes."""

    modality: str
    length: str
    processes: int

    def __str__(self) -> str:
        return f"{self.modality}, {self.length}, {self.processes} process{'es' if self.processes > 1 else ''}"


KINDS = tuple(
    Kind(modality, length, processes)
    for processes in (1, 2)
    for modality in ("texts", "images")
    for length in ("epochs", "max_steps")
)


def make_inputs(folder: Path) -> None:
    """A tiny BERT with a tokenizer of a few words, and sentences with labels."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    names = {f"{kind}_token": f"[{kind.upper()}]" for kind in ("unk", "pad", "cls", "sep", "mask")}
    vocabulary = {word: number for number, word in enumerate([*names.values(), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder / "model")
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
    }
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, pad_token_id=1, **sizes)
    BertModel(config).save_pretrained(folder / "model")
    draw = random.Random(0)
    for name, rows in {"train": 96, "validation": 48}.items():
        with open(folder / f"{name}.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["text", "stars"])
            for _ in range(rows):
                words = draw.choices(WORDS, k=5)
                table.writerow([" ".join(words), "up" if sum(w in ("good", "fine") for w in words) else "down"])


def command(kind: Kind, inputs: Path, output: Path) -> list[str]:
    """The command of a run; a temperature is fitted, so that there is something to write twice."""
    own = {
        "texts": f"glue --model {inputs}/model --train_file {inputs}/train.csv --validation_file {inputs}/validation.csv"
        " --label_column stars --max_length 32 --site layer.1 --learning_rate 1e-3",
        "images": "vision --dataset digits --model digits --mixer cutmix --max_train_samples 200 --max_eval_samples 100",
    }[kind.modality]
    batch = 8 if kind.modality == "texts" else 16
    # 20 steps end inside an epoch, whose end is no end of the training.
    length = "--num_train_epochs 2" if kind.length == "epochs" else "--max_steps 20 --num_train_epochs 9"
    shared = (
        f"--per_device_train_batch_size {batch // kind.processes} --save_strategy steps --save_steps 3 --use_cpu true"
    )
    shared += " --save_total_limit 2 --calibrate_on_eval true --bootstrap 0 --disable_tqdm true"
    return f"{own} {length} {shared} --output_dir {output}".split()


class Run:
    """A command in processes of their own, forked from this one, which has imported what they need: nine tenths of a short run
    would be imports. Several are what ``torchrun`` makes of them: one a rank, with the same environment.
    """

    def __init__(self, words: list[str], processes: int, told: Path) -> None:
        self.words, self.told = words, told
        port = _free_port()
        self.pids = [self._fork(rank, processes, port) for rank in range(processes)]
        self.codes: dict[int, int] = {}

    def _fork(self, rank: int, processes: int, port: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            with open(self.told, "a") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            if processes > 1:
                group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
                group |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                os.environ.update({name: str(value) for name, value in group.items()})
            code = main_of_commands(self.words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def running(self) -> bool:
        for pid in set(self.pids) - set(self.codes):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self.codes[pid] = os.waitstatus_to_exitcode(status)
        return len(self.codes) < len(self.pids)

    def wait(self) -> int:
        """The largest exit code; a rank that is left alone when another one has failed is ended, as torchrun does."""
        while self.running():
            if any(self.codes.values()):
                time.sleep(5)
                self.kill()
            time.sleep(0.05)
        return max(map(abs, self.codes.values()))

    def kill(self) -> None:
        self.running()
        for pid in set(self.pids) - set(self.codes):
            os.kill(pid, signal.SIGKILL)
        while self.running():
            time.sleep(0.01)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def finish(words: list[str], processes: int, told: Path) -> None:
    if code := Run(words, processes, told).wait():
        raise RuntimeError(f"{' '.join(words)} ended with {code}: {told.read_text()[-2000:]}")


def claimed(output: Path) -> bool:
    return (output / "run.json").is_file()


def wait_for_claim(run: Run, output: Path) -> float:
    while not claimed(output) and run.running():
        time.sleep(0.01)
    return time.monotonic()


def phase(output: Path) -> str:
    """What a killed run was at, by what lies in its folder."""
    if not claimed(output):
        return "before its folder was claimed"
    if '"done"' in (output / "run.json").read_text():
        return "when it was done"
    if any(output.glob(".saving*")) or any(output.glob(".incoming*")) or any(output.glob("**/.*.tmp")):
        return "writing a model or a checkpoint"
    if (output / "train_results.json").is_file():
        return "judging, calibrating, writing results"
    return "training"


def same_weights(one: Path, other: Path) -> bool:
    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def undisturbed(kind: Kind, inputs: Path, work: Path) -> tuple[Path, float]:
    """The folder of a run that nobody stops, and its seconds from its claim to its end."""
    output = work / f"whole-{KINDS.index(kind)}"
    run = Run(command(kind, inputs, output), kind.processes, work / "told.txt")
    began = wait_for_claim(run, output)
    if code := run.wait():
        raise RuntimeError(f"{kind} ended with {code}: {(work / 'told.txt').read_text()[-2000:]}")
    return output, time.monotonic() - began


def killed(kind: Kind, inputs: Path, output: Path, seconds: float) -> str:
    """Begin a run and kill it so many seconds after its claim; what it was at."""
    run = Run(command(kind, inputs, output), kind.processes, output.with_suffix(".txt"))
    wait_for_claim(run, output)
    time.sleep(seconds)
    run.kill()
    return phase(output)


def kills(count: int, seed: int, inputs: Path, work: Path) -> bool:
    """Returns whether every run survived."""
    draw, whole, lost, table = random.Random(seed), dict[Kind, tuple[Path, float]](), 0, Counter[str]()
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        if kind not in whole:
            whole[kind] = undisturbed(kind, inputs, work)
        reference, seconds = whole[kind]
        output = work / f"killed-{number}"
        at = killed(kind, inputs, output, draw.uniform(0, seconds))
        words = [*command(kind, inputs, output), *(["--resume"] if claimed(output) else [])]
        try:
            finish(words, kind.processes, output.with_suffix(".txt"))
            held = "bit-equal" if same_weights(reference, output) else "OTHER WEIGHTS"
        except (RuntimeError, OSError) as problem:
            held = f"LOST: {problem}"
        lost += held != "bit-equal"
        table[at] += 1
        print(f"{number + 1:3}  {kind}: killed {at}; after --resume {held}", flush=True)
        shutil.rmtree(output, ignore_errors=True)
    print(f"\n{count} kills, {count - lost} survived; {', '.join(f'{n} {at}' for at, n in table.most_common())}.")
    return not lost


def pairs(count: int, seed: int, inputs: Path, work: Path) -> bool:
    """Two ``--resume`` at once of a killed run; returns whether each time one went on and one was told."""
    draw, lost = random.Random(seed), 0
    for number in range(count):
        kind = KINDS[number % 4]  # of one process: the main one of several holds the lock for all
        reference, seconds = undisturbed(kind, inputs, work)
        output = work / f"pair-{number}"
        killed(kind, inputs, output, draw.uniform(0, seconds / 2))
        words = [*command(kind, inputs, output), "--resume"]
        both = [Run(words, 1, work / f"pair-{number}-{one}.txt") for one in range(2)]
        codes = [run.wait() for run in both]
        told = [
            run.told.read_text().strip().splitlines()[-1] for run, code in zip(both, codes, strict=True) if code == 2
        ]
        held = sorted(codes) == [0, 2] and same_weights(reference, output)
        lost += not held
        line = told[0] if told else "nobody was told"
        print(
            f"{number + 1:3}  {kind}: ended with {codes}, {'bit-equal' if held else 'LOST'}; told: {line}", flush=True
        )
        shutil.rmtree(output)
        shutil.rmtree(reference)
    print(f"\n{count} pairs, {count - lost} as promised.")
    return not lost


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_inputs(work)
        good = kills(asked.kills, asked.seed, work, work) if asked.kills else True
        return 0 if (pairs(asked.pairs, asked.seed, work, work) if asked.pairs else True) and good else 1


if __name__ == "__main__":
    sys.exit(main())
