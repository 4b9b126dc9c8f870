"""What a command loads before its arguments are right: a person who asks for help, or misspells a flag, waits for nothing."""

from __future__ import annotations

import json
import subprocess
import sys

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
for words in json.loads(sys.argv[1]):
    kept = io.StringIO()
    with contextlib.redirect_stdout(kept), contextlib.redirect_stderr(kept):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([code, kept.getvalue(), sorted(sys.modules)]))
"""


def loaded(*commands: list[str]) -> list[tuple[int, str, set[str]]]:
    """Exit code and output of each ``logitmix WORDS`` in one process, and every module that was imported by then."""
    words = json.dumps(commands)
    done = subprocess.run([sys.executable, "-c", PROBE, words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [(code, output, set(modules)) for code, output, modules in map(json.loads, done.stdout.splitlines())]


def test_help_and_a_misspelt_flag_need_no_library_of_training() -> None:
    found = loaded(["--help"], *([command, *words] for command in LIGHT for words in (["--help"], ["--otput", "x"])))
    code, output, modules = found.pop(0)
    assert (code, "commands:" in output) == (0, True)
    assert not modules & (WAIT | {"numpy", "yaml"})  # the list of commands needs nothing at all
    for command, helped, misspelt in zip(LIGHT, found[::2], found[1::2], strict=True):
        assert helped[0] == 0
        assert helped[1].startswith(f"usage: logitmix {command}")
        assert misspelt[0] == 2
        assert "There is no flag --otput." in misspelt[1]
        assert not misspelt[2] & WAIT, command


def test_help_of_a_training_loads_its_arguments_and_nothing_that_trains() -> None:
    """``TrainingArguments`` brings torch and transformers along; what we add must be names and tables."""
    for code, output, modules in loaded(*([command, "--help"] for command in OF_TRAINING)):
        assert code == 0
        assert "--gradient_accumulation_steps" in output
        assert not modules & {"datasets", "evaluate", "sklearn", "pandas", "pyarrow", "matplotlib"}
        ours = {name.removeprefix("logitmix_hf.") for name in modules if name.startswith("logitmix_hf.")}
        assert not {name for name in ours if name.split(".")[0] in ("steps", "reporting", "serving")}
        assert not ours & {"trainer.mix_trainer", "training.run", "training.job"}
        assert not ours & {"text.data", "text.forward", "text.sites", "vision.forward", "vision.sites"}
        assert not ours & {"vision.data.load", "vision.mixers.functions"}


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
