"""What was asked for stays as it was; what a run had to take in its place is told, recorded, and no obstacle to --resume."""

from __future__ import annotations

import pytest
from calibraterun import read
from tinyrun import flags
from visionrun import assert_same_weights, weights
from visionrun import flags as image_flags

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.commands.vision import parse
from logitmix_hf.trainer.resolved import resolved
from logitmix_hf.training.run import fine_tune

# 33 images in batches of 16: the last batch of an epoch is one image, of which ResNet-18 makes a single pixel.
ODD = {"model": "resnet18", "max_train_samples": 33, "max_eval_samples": 8, "num_train_epochs": 2}


def test_a_run_that_left_an_image_out_goes_on_by_its_own_command(tmp_path, capfd):
    words = image_flags(tmp_path / "out", **ODD)
    assert vision(words) == 0
    told = "--dataloader_drop_last true in place of false: the last batch of an epoch would be one image (33 images,"
    assert capfd.readouterr().err.count(told) == 1
    record, first = read(tmp_path / "out" / "run.json"), weights(tmp_path / "out")
    assert record["arguments"]["dataloader_drop_last"] is True
    change = record["changed"]["dataloader_drop_last"]
    assert (change["asked"], change["taken"]) == (False, True)
    assert "BatchNorm" in change["why"]
    assert vision([*words, "--resume"]) == 0
    assert_same_weights(weights(tmp_path / "out"), first)
    assert vision([*words, "--resume", "--dataloader_drop_last", "true"]) == 2  # another run was asked for
    assert "--dataloader_drop_last was False, is now True" in capfd.readouterr().err


def test_a_training_leaves_what_was_asked_for_alone(tmp_path):
    words = image_flags(tmp_path / "out", **ODD, hub_model_id="ada/stars")
    job, again = parse(words), parse(words)
    assert fine_tune(job) == 0
    assert job.arguments() == again.arguments()
    assert read(tmp_path / "out" / "run.json")["changed"].keys() == {"dataloader_drop_last"}


def test_streamed_images_get_workers_and_say_so(tmp_path, capfd):
    changes = {"memory_limit": 0, "max_steps": 1, "eval_strategy": "no", "save_strategy": "no", "max_eval_samples": 8}
    assert vision(image_flags(tmp_path / "out", **changes)) == 0
    record = read(tmp_path / "out" / "run.json")
    workers = record["arguments"]["dataloader_num_workers"]
    assert workers == record["changed"]["dataloader_num_workers"]["taken"] >= 1
    assert f"--dataloader_num_workers {workers} in place of 0: " in capfd.readouterr().err


def test_resolved_is_a_copy_and_knows_its_arguments(tmp_path):
    asked = parse(image_flags(tmp_path / "out")).training
    taken = resolved(asked, seed=7)
    assert (asked.seed, taken.seed, type(taken)) == (42, 7, type(asked))
    with pytest.raises(AttributeError, match="no argument 'sead'"):
        resolved(asked, sead=7)


# --- batches that would leave nothing to train on ---------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "steps"), [(48, 1), (24, 2), (17, 2)])
def test_whole_batches_are_trained_on(tmp_path, tiny_model, files, batch, steps):
    """48 rows: what does not fill a batch is left out, as asked."""
    changes = {"per_device_train_batch_size": batch, "dataloader_drop_last": "true", "eval_strategy": "no"}
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes, bootstrap=0)) == 0
    assert read(tmp_path / "out" / "trainer_state.json")["global_step"] == steps


@pytest.mark.parametrize("length", [{"max_steps": 4}, {"num_train_epochs": 2}])
def test_rows_that_fill_no_batch_are_refused(tmp_path, tiny_model, files, capfd, length):
    changes = {"per_device_train_batch_size": 49, "dataloader_drop_last": "true", **length}
    assert glue(flags(tiny_model, files, tmp_path / "text", **changes)) == 2
    told = "the 48 training rows give no whole batch of 49"
    assert told in capfd.readouterr().err
    changes |= {"max_train_samples": 48, "eval_strategy": "no"}
    assert vision(image_flags(tmp_path / "images", **changes)) == 2
    assert told in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_rows_set_apart_for_the_temperature_fill_no_batch(tmp_path, tiny_model, files, capfd):
    changes = {"per_device_train_batch_size": 48, "dataloader_drop_last": "true", "calibration_split": 0.25}
    assert glue(flags(tiny_model, files, tmp_path / "out", **changes)) == 2
    assert "the 36 training rows give no whole batch of 48" in capfd.readouterr().err
