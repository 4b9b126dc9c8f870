"""What is done is not done again: resuming a run whose training ended changes neither weights nor scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tinyrun import flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision

KEPT = ("model.safetensors", "train_results.json", "trainer_state.json", "calibration.json")


def state(folder: Path) -> dict[str, object]:
    files = {name: (folder / name).read_bytes() for name in KEPT if (folder / name).is_file()}
    scores = json.loads((folder / "eval_results.json").read_text())
    own = {name: value for name, value in scores.items() if "runtime" not in name and "per_second" not in name}
    return {**files, "scores": own, "steps": json.loads((folder / "trainer_state.json").read_text())["global_step"]}


def digits(output: Path, **changes: object) -> list[str]:
    values = {
        "dataset": "digits", "model": "digits", "max_train_samples": 200, "per_device_train_batch_size": 32,
        "max_eval_samples": 60, "output_dir": output, "disable_tqdm": "true", "use_cpu": "true", "bootstrap": 0, **changes,
    }  # fmt: skip
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


@pytest.mark.parametrize(
    "changes",
    [
        {"max_steps": 10},  # ends inside an epoch of 7 steps
        {"max_steps": 10, "keep_checkpoints": "true"},
        {"num_train_epochs": 2, "keep_checkpoints": "true"},
        {"max_steps": 9, "ema": 0.9, "keep_checkpoints": "true"},
        {"max_steps": 9, "keep_checkpoints": "true", "save_strategy": "steps", "save_steps": 3, "protocol": "halves"},
    ],
)
def test_images(tmp_path, changes):
    argv = digits(tmp_path / "out", method="logitmix", **changes)
    assert vision(argv) == 0
    before = state(tmp_path / "out")
    for _ in range(2):
        assert vision([*argv, "--resume"]) == 0
        assert state(tmp_path / "out") == before


def test_texts_with_a_temperature_and_after_the_folder_was_moved(tiny_model, files, tmp_path):
    argv = flags(tiny_model, files, tmp_path / "out", max_steps=2, calibration_split=0.3, bootstrap=0)
    argv.append("--keep_checkpoints")
    assert glue(argv) == 0
    before = state(tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    argv[argv.index(str(tmp_path / "out"))] = str(tmp_path / "moved")
    assert glue([*argv, "--resume"]) == 0
    assert state(tmp_path / "moved") == before


def test_a_run_killed_while_it_was_judged_ends_with_the_weights_it_had(tiny_model, files, tmp_path):
    argv = [*flags(tiny_model, files, tmp_path / "out", max_steps=2, bootstrap=0), "--keep_checkpoints"]
    assert glue(argv) == 0
    before = state(tmp_path / "out")
    for name in ("eval_results.json", "model.safetensors"):
        (tmp_path / "out" / name).unlink()
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    (tmp_path / "out" / "run.json").write_text(json.dumps({**record, "status": "running"}))
    assert glue([*argv, "--resume"]) == 0
    assert state(tmp_path / "out") == before


def test_a_run_without_checkpoints_is_not_trained_again(tiny_model, files, tmp_path, capfd):
    argv = flags(tiny_model, files, tmp_path / "out", save_strategy="no", max_steps=2, bootstrap=0)
    assert glue(argv) == 0
    before = state(tmp_path / "out")
    capfd.readouterr()
    assert glue([*argv, "--resume"]) == 0
    assert "is done: nothing is left to go on with" in capfd.readouterr().out
    assert state(tmp_path / "out") == before


def test_checkpoints_go_when_a_run_is_whole_and_not_before(tiny_model, files, tmp_path, capfd, monkeypatch):
    """The best model was loaded from one of them; a run that failed while it was judged goes on from them."""
    best = {"load_best_model_at_end": "true", "metric_for_best_model": "nll", "num_train_epochs": 3, "bootstrap": 0}
    argv = flags(tiny_model, files, tmp_path / "out", **best)
    monkeypatch.setattr("logitmix_hf.training.judge.write_results", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        glue(argv)
    assert list((tmp_path / "out").glob("checkpoint-*/optimizer.pt"))
    monkeypatch.undo()
    capfd.readouterr()
    assert glue([*argv, "--resume"]) == 0
    assert "its checkpoints were removed (" in capfd.readouterr().out
    assert not list((tmp_path / "out").rglob("optimizer.pt"))
    assert not list((tmp_path / "out").glob("checkpoint-*"))
    before = state(tmp_path / "out")
    assert glue([*argv, "--resume", "--keep_checkpoints"]) == 0
    assert state(tmp_path / "out") == before
    kept = tmp_path / "kept"
    assert glue([*flags(tiny_model, files, kept, **best), "--keep_checkpoints"]) == 0
    assert list(kept.glob("checkpoint-*/optimizer.pt"))
    assert state(kept)["model.safetensors"] == before["model.safetensors"]
