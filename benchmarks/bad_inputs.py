"""Sixty mistakes, to every command: each must end with exit code 2 and one line, `python -m benchmarks.bad_inputs`.

Each runs in a process forked from this one, with an output folder of its own. What is counted: an exit code that is not 2, a
traceback, more lines on stderr that begin with ``error:`` than one, and an output folder that is there afterwards.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.reliability import Run, make_inputs

TEXT = "glue --model {d}/model --validation_file {d}/validation.csv --label_column stars --max_length 32 --max_steps 1"
TRAINED = f"{TEXT} --train_file {{d}}/train.csv --output_dir {{d}}/out"
IMAGES = "vision --dataset digits --model digits --max_steps 1 --output_dir {d}/out"

CASES = [
    # glue: flags
    f"{TRAINED} --learning_rate nan",
    f"{TRAINED} --learning_rate 1e400",
    f"{TRAINED} --num_train_epochs 0",
    f"{TRAINED} --per_device_train_batch_size 0",
    f"{TRAINED} --gradient_accumulation_steps -3",
    f"{TRAINED} --alpha -1",
    f"{TRAINED} --alpha nan",
    f"{TRAINED} --site layer.9",
    f"{TRAINED} --site layer.",
    f"{TRAINED} --method logitmix --mix_prob 1.5",
    f"{TRAINED} --max_length 1000000",
    f"{TRAINED} --max_length 0",
    f"{TRAINED} --text_columns text,text2",
    f"{TRAINED} --label_column text2",
    f"{TRAINED} --calibration_split 1.5",
    f"{TRAINED} --bins 0",
    f"{TRAINED} --bootstrap -1",
    f"{TRAINED} --fsdp full_shards",
    f"{TRAINED} --deepspeed {{d}}/nothing.json",
    f"{TRAINED} --warmup_steps -5",
    f"{TRAINED} --max_steps 1.5",
    f"{TRAINED} --seed one",
    f"{TRAINED} --class_weights upp=2",
    f"{TRAINED} --resume",
    f"{TRAINED} --output_dir {{d}}/train.csv",
    f"{TRAINED} --recipe no-such-recipe",
    f"{TRAINED} --recipe {{d}}/list.json",
    # glue: data
    f"{TEXT} --output_dir {{d}}/out --train_file {{d}}/empty.csv",
    f"{TEXT} --output_dir {{d}}/out --train_file {{d}}/one_class.csv",
    f"{TEXT} --output_dir {{d}}/out --train_file {{d}}/nul.csv",
    f"{TEXT} --output_dir {{d}}/out --train_file {{d}}/latin1.csv",
    f"{TEXT} --output_dir {{d}}/out --train_file {{d}}/deep.jsonl",
    f"{TEXT} --output_dir {{d}}/out --train_file {{d}}",
    f"{TEXT} --output_dir {{d}}/out --train_file /dev/null",
    f"{TEXT} --output_dir {{d}}/out --train_file {{d}}/broken.parquet",
    "glue --task sst3 --model {d}/model --output_dir {d}/out",
    "glue --task sst2 --dataset_name {d}/nowhere --model {d}/model --output_dir {d}/out",
    "glue --task sst2 --dataset_name builtin --model {d}/train.csv --output_dir {d}/out",
    "glue --task sst2 --dataset_name builtin --model {d}/broken_model --output_dir {d}/out",
    # vision
    f"{IMAGES} --mixer cutmix --mixer_options size=9",
    f"{IMAGES} --mixer puzzlemix --mixer_options blocks=3",
    f"{IMAGES} --mixer cutmix,mixup --mixer_probs .5,.9",
    f"{IMAGES} --sync_bn true",
    f"{IMAGES} --image_size -8",
    f"{IMAGES} --max_train_samples 0",
    f"{IMAGES} --lr_milestones 2 .5",
    f"{IMAGES} --ema 1.5",
    "vision --dataset {d}/no_images --model digits --output_dir {d}/out",
    "vision --dataset {d}/bad_images --model digits --output_dir {d}/out",
    "vision --dataset digits --model wideresnet-0-0 --output_dir {d}/out",
    # calibrate, predict
    "calibrate --task sst2 --dataset_name builtin --model {d}/nowhere",
    "calibrate --task sst2 --dataset_name builtin --model {d}/classifier --bins -1",
    "predict --model {d}/nowhere --input {d}/train.csv",
    "predict --model {d}/classifier --input {d}/nothing.csv",
    "predict --model {d}/broken_model --input {d}/train.csv",
    "predict --model {d}/classifier --input {d}/train.csv --batch_size 0",
    # export, report, card, push
    "export {d}/nowhere",
    "export {d}/broken_model",
    "report {d}/nowhere",
    "report {d}/empty_run",
    "card {d}/model",
    "card {d}/broken_run",
    "push {d}/nowhere",
    "push {d}/broken_run",
]


def make_broken(folder: Path) -> None:
    """What the cases name."""
    files = {
        "empty.csv": b"",
        "one_class.csv": b"text,stars\ngood,up\nfine,up\n",
        "nul.csv": b"text,stars\ngood\x00,up\nbad,do\x00wn\n" * 3,
        "latin1.csv": "text,stars\nschön,up\nübel,down\n".encode("latin-1") * 3,
        "deep.jsonl": b'{"text": ' + b"[" * 20_000,
        "broken.parquet": b"PAR1" + bytes(64) + b"PAR1",
        "list.json": b"[1, 2]",
        "no_images/readme.txt": b"none",
        **{f"bad_images/cat/{n}.png": b"\x89PNG\r\n\x1a\n no more" for n in range(12)},
        **{f"bad_images/dog/{n}.png": b"GIF89a" for n in range(12)},
        "broken_model/config.json": b'{"model_type": "bert", "hidden_size": -1}',
        "broken_model/model.safetensors": bytes(16),
        "empty_run/run.json": b"{}",
        "broken_run/run.json": json.dumps({"status": "done", "data": [], "model": 3}).encode(),
    }
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    model.save_pretrained(folder / "classifier")
    AutoTokenizer.from_pretrained(folder / "model").save_pretrained(folder / "classifier")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def trouble(code: int, told: str) -> str:
    """What is wrong with how a mistake ended; "" where nothing is."""
    errors = [line for line in told.splitlines() if line.startswith("error:") or ": error:" in line]
    if "Traceback (most recent call last)" in told:
        return "a traceback"
    if code != 2:
        return f"exit code {code}"
    return "" if len(errors) == 1 else f"{len(errors)} lines of error"


def main() -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        make_inputs(folder)
        make_broken(folder)
        os.chdir(folder)
        for number, case in enumerate(CASES):
            told = folder / f"told-{number}.txt"
            output = folder / f"out-{number}"  # one that is left behind must not answer for the next
            words = shlex.split(case.format(d=folder).replace(f"{folder}/out", str(output)))
            code = Run(words, 1, told).wait()
            text = told.read_text(errors="replace")
            found = trouble(code, text) or ("something was written" if output.exists() else "")
            bad += bool(found)
            said = text.strip().splitlines()[-1] if text.strip() else ""
            line = said.replace(str(folder), "DIR")[:160]
            print(f"{number + 1:3}  {case.format(d='DIR')}: {found or 'one line'}\n       {line}", flush=True)
    print(f"\n{len(CASES)} mistakes, {bad} that did not end in one line with exit code 2.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
