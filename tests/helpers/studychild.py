"""A command that trains nothing and behaves as one that trains: what studies are tested with.

``python studychild.py glue FLAGS``. It counts in ``step.txt`` to ``--steps``, keeps ``checkpoint-N`` as a training does, and
writes a ``line`` into ``trained.txt`` when it is done. ``--fate`` names how it ends: ``done``, or one of ``FATES``; a fate
with ``-once`` befalls the first attempt alone. With ``--hold`` it takes the lock of its folder, as a training does, and a
while to save when it is told to end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def flag(name, default):
    words = sys.argv
    return words[words.index(f"--{name}") + 1] if f"--{name}" in words else default


def record(folder, status):
    write(folder / "run.json", json.dumps({"format": "logitmix_hf run 1", "status": status}))


def write(path, text):
    """Whole or not at all: a kill may come at any moment."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


def main():
    if "--hold" in sys.argv:
        from logitmix_hf.errors import UserError
        from logitmix_hf.lock import writing

        try:
            with writing(Path(flag("output_dir", ""))):
                return count()
        except UserError as mistake:
            print(f"error: {mistake}", file=sys.stderr)
            return 2
    return count()


def count():
    folder = Path(flag("output_dir", ""))
    steps, pause = int(flag("steps", 3)), float(flag("pause", 0))
    fate, first = flag("fate", "done"), not (folder / "step.txt").exists()
    if "--resume" in sys.argv and not (folder / "run.json").exists():
        sys.exit("error: nothing to resume")
    if (folder / "run.json").exists() and "--resume" not in sys.argv and "--overwrite" not in sys.argv:
        print("error: already holds a run", file=sys.stderr)
        return 2
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    record(folder, "running")
    at = int((folder / "step.txt").read_text()) if "--resume" in sys.argv and not first else 0
    while at < steps:
        time.sleep(pause)
        at += 1
        (folder / f"checkpoint-{at}").mkdir(exist_ok=True)
        write(folder / "step.txt", str(at))
        if stopped:
            time.sleep(0.2 if "--hold" in sys.argv else 0)
            record(folder, "interrupted")
            return 143
        if at == 2 and fate.removesuffix("-once") in FATES and (first or not fate.endswith("-once")):
            return FATES[fate.removesuffix("-once")](folder)
    with open(folder / "trained.txt", "a") as file:
        file.write("trained\n")
    if "--alpha" in sys.argv:  # a score with its best at 3, of trials and, told apart, of the others
        loss = (float(flag("alpha", 0)) - 3) ** 2 + ("--hold_out" not in sys.argv)
        (folder / "eval_results.json").write_text(json.dumps({"eval_nll_refined": loss, "eval_accuracy": -loss}))
    record(folder, "done")
    return 3 if fate == "push" else 0


def says(text, code):
    def end(folder):
        record(folder, "failed")
        print(text, file=sys.stderr)
        return code

    return end


def disk(folder):
    record(folder, "failed")
    with open("/dev/full", "w") as full:  # the disk that has no room
        full.write("weights")


def preempted(folder):
    record(folder, "interrupted")
    return 143


FATES = {
    "killed": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
    "preempted": preempted,
    "diverged": says("logitmix_hf.trainer.mix_trainer.TrainingDiverged: the loss is nan at step 2", 1),
    "failed": says("Traceback (most recent call last):\n  File x\nValueError: no such thing", 1),
    "mistake": says("error: Out of memory on cuda:0 with --per_device_train_batch_size 64: take 32.", 2),
    "disk": disk,
}

if __name__ == "__main__":
    sys.exit(main())
