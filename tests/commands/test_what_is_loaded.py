"""What a command loads before its arguments are right: a person who asks for help, or misspells a flag, waits for nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from logitmix_hf.cli import COMMANDS

OF_TRAINING = ("glue", "vision", "calibrate")
LIGHT = sorted(set(COMMANDS) - set(OF_TRAINING))
WAIT = {
    "torch",
    "transformers",
    "datasets",
    "evaluate",
    "accelerate",
    "scipy",
    "sklearn",
    "pandas",
    "pyarrow",
    "matplotlib",
}
PROBE = """
import contextlib, io, json, sys
from logitmix_hf.cli import main
kept = io.StringIO()
with contextlib.redirect_stdout(kept), contextlib.redirect_stderr(kept):
    try:
        code = main(sys.argv[1:])
    except SystemExit as end:
        code = end.code or 0
print(json.dumps([code, kept.getvalue(), sorted(sys.modules)]))
"""


def loaded(*words: str) -> tuple[int, str, set[str]]:
    """Exit code and output of ``logitmix WORDS`` in a process of its own, and every module that it imported."""
    done = subprocess.run([sys.executable, "-c", PROBE, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    code, output, modules = json.loads(done.stdout)
    return code, output, set(modules)


@pytest.mark.parametrize("command", LIGHT)
def test_help_and_a_misspelt_flag_need_no_library_of_training(command: str) -> None:
    code, output, modules = loaded(command, "--help")
    assert code == 0
    assert output.startswith(f"usage: logitmix {command}")
    assert not modules & WAIT
    code, output, modules = loaded(command, "--otput", "x")
    assert code == 2
    assert "There is no flag --otput." in output
    assert not modules & WAIT


@pytest.mark.parametrize("command", OF_TRAINING)
def test_help_of_a_training_loads_its_arguments_and_nothing_that_trains(command: str) -> None:
    """``TrainingArguments`` brings torch and transformers along; what we add must be names and tables."""
    code, output, modules = loaded(command, "--help")
    assert code == 0
    assert "--gradient_accumulation_steps" in output
    assert not modules & {"datasets", "evaluate", "sklearn", "pandas", "pyarrow", "matplotlib"}
    ours = {name.removeprefix("logitmix_hf.") for name in modules if name.startswith("logitmix_hf.")}
    assert not {name for name in ours if name.split(".")[0] in ("steps", "reporting", "serving")}
    assert not ours & {
        "trainer.mix_trainer",
        "training.run",
        "training.job",
        "text.data",
        "text.forward",
        "vision.forward",
    }
    assert not ours & {"vision.data.load", "vision.mixers.functions", "text.sites", "vision.sites"}


MIX = """
import sys
from logitmix_hf import METHODS, MixArguments
mix = MixArguments(mixer="puzzlemix,cutmix", mixer_probs=".5,.5", site="input", mixer_options="blocks=8")
assert mix.record("image")["mixer_source"].startswith("Kim et al.") and len(METHODS) > 4
for wrong in ({"mixer": "cutmx"}, {"mixer_options": "blokcs=8"}, {"site": "layer"}, {"method": "x"}):
    try:
        MixArguments(**wrong)
    except ValueError:
        continue
    raise AssertionError(wrong)
from logitmix_hf.vision import MIXERS
assert MIXERS["puzzlemix"].needs_saliency and MIXERS["resizemix"].options["largest"] == 0.8
print(*sorted(sys.modules))
"""


def test_arguments_of_mixing_are_checked_without_the_code_that_mixes() -> None:
    done = subprocess.run([sys.executable, "-c", MIX], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    modules = set(done.stdout.split())
    assert not modules & (WAIT | {"numpy"})
    assert "logitmix_hf.vision.mixers.table" in modules
    assert not {
        name for name in modules if name.endswith(("functions", "boxes", "puzzlemix", "text.sites", "vision.sites"))
    }


def test_the_list_of_commands_needs_nothing() -> None:
    code, output, modules = loaded("--help")
    assert code == 0
    assert "commands:" in output
    assert not modules & (WAIT | {"numpy", "yaml"})
