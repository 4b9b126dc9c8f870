"""``logitmix vision --method cut_mixmo``: the whole road, from the first step to the folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from drawing import drawn
from safetensors.torch import load_file
from test_vision_mistakes import ends_in_one_line
from transformers import AutoModelForImageClassification
from visionrun import flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main
from logitmix_hf.evaluation import Predictions

MIXMO = {"method": "cut_mixmo", "batch_repetition": 2, "learning_rate": 0.05}


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixmo") / "run"
    with drawn():
        assert main(flags(folder, **MIXMO, protocol="halves", num_train_epochs=2)) == 0
    return folder


def test_the_folder_loads_and_its_members_average_to_its_logits(run):
    model = AutoModelForImageClassification.from_pretrained(run)
    assert model.config.members == 2
    with torch.no_grad():
        out = model(torch.randn(3, 1, 8, 8))
    torch.testing.assert_close(out.logits, out.member_logits.mean(1))


def test_members_are_in_the_predictions_and_judged(run):
    kept = Predictions.load(run / "predictions" / "validation.parquet")
    assert kept.members.shape == (len(kept), 2, 10)
    found = read(run, "eval_results.json")
    wrong = kept.members.argmax(2) != kept.labels[:, None]
    np.testing.assert_allclose(found["eval_member_accuracies"], 1 - wrong.mean(0))
    assert found["eval_ensemble_gain"] == pytest.approx(found["eval_accuracy"] - found["eval_member_accuracy"])
    both = (wrong.sum(1) == 2).sum()
    expected = (wrong.sum(1) == 1).sum() / both if both else None
    assert found["eval_d_re"] == (None if expected is None else pytest.approx(expected))


def test_an_epoch_sees_every_image_twice(run):
    """64 images, twice each, in batches of 16: eight steps an epoch."""
    assert read(run, "trainer_state.json")["global_step"] == 16
    logged = [line for line in read(run, "trainer_state.json")["log_history"] if "loss_mix" in line]
    assert all(0.5 <= line["lam"] <= 1 for line in logged)


def test_the_record_says_what_the_members_were(run):
    method = read(run, "run.json")["method"]
    assert (method["name"], method["members"], method["member_mask"], method["weight_root"]) == (
        "cut_mixmo", 2, "cutmix", 3.0,
    )  # fmt: skip
    assert (run / "mix_preview.png").is_file()


def test_a_resumed_training_ends_with_the_weights_of_one_never_stopped(tmp_path, capsys):
    options = {**MIXMO, "num_train_epochs": 3, "save_strategy": "steps", "save_steps": 5, "save_total_limit": 5}
    options["keep_checkpoints"] = "true"
    assert main(flags(tmp_path / "whole", **options)) == 0
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    # Gone on from the middle of the second epoch: eight steps are one.
    for checkpoint in (tmp_path / "whole").glob("checkpoint-*"):
        if checkpoint.name != "checkpoint-10":
            for path in sorted(checkpoint.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
            checkpoint.rmdir()
    record = read(tmp_path / "whole", "run.json")
    (tmp_path / "whole" / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
    capsys.readouterr()
    assert main([*flags(tmp_path / "whole", **options), "--resume"]) == 0
    assert "checkpoint-10" in capsys.readouterr().out
    again = load_file(tmp_path / "whole" / "model.safetensors")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_both_networks_of_a_swap_of_methods_start_alike(tmp_path):
    """Batches of one copy are what they were: a plain method trains the same with the flag at 1."""
    ends = []
    for name, options in (("one", {}), ("two", {"batch_repetition": 1})):
        assert main(flags(tmp_path / name, method="mixup", **options)) == 0
        ends.append(load_file(tmp_path / name / "model.safetensors"))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_equal_weights_are_recorded_and_resumed(tmp_path, capsys):
    """``inf`` is no number of JSON."""
    argv = flags(tmp_path / "run", **MIXMO, weight_root="inf", max_steps=2)
    assert main(argv) == 0
    record = read(tmp_path / "run", "run.json")
    assert record["method"]["weight_root"] == record["arguments"]["weight_root"] == "inf"
    assert main([*argv, "--resume"]) == 0
    capsys.readouterr()
    other = flags(tmp_path / "run", **MIXMO, max_steps=2)
    assert main([*other, "--resume"]) == 2
    assert "weight_root" in capsys.readouterr().err
    assert (
        main([*flags(tmp_path / "run", **{**MIXMO, "weight_root": "inf", "members": 3}, max_steps=2), "--resume"]) == 2
    )
    assert "members" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_repetition": 3}, ["--batch_repetition 3", "16", "batch of 15"]),
        ({"members": 17, "member_mask": "linear"}, ["--members 17", "16"]),
        ({"method": "mixup", "members": 2}, ["members 2", "mixup", "cut_mixmo"]),
        ({"member_mask": "resizemix"}, ["resizemix", "cutmix"]),
        ({"weight_root": "0"}, ["weight_root", "above 0"]),
        ({"site": "stage.1"}, ["stage.1", "first convolution"]),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capfd, changes, words):
    ends_in_one_line(flags(tmp_path / "run", **{**MIXMO, **changes}), capfd, *words)
    assert not (tmp_path / "run").exists()


def test_a_pretrained_network_has_no_members(tmp_path, capfd):
    from visionrun import tiny_resnet

    model = tiny_resnet(tmp_path / "resnet")
    argv = flags(tmp_path / "run", model=model, method="cut_mixmo")
    ends_in_one_line(argv, capfd, "2 members", str(model), "wideresnet-d-w")


def test_text_is_told_that_members_are_for_images(tmp_path, capfd):
    argv = ["--task", "sst2", "--model", "builtin", "--dataset_name", "builtin", "--method", "cut_mixmo"]
    ends_in_one_line([*argv, "--output_dir", tmp_path / "run"], capfd, "cut_mixmo", "images", "vanilla", command=glue)
    assert not (tmp_path / "run").exists()
