"""`logitmix calibrate` of image classifiers: which images it reads, and what it makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from calibraterun import calibrate, read, saved
from PIL import Image
from transformers import AutoModelForImageClassification, pipeline
from visionrun import pictures, tiny_resnet

from logitmix_hf.evaluation import fit_halves, fit_temperature
from logitmix_hf.models.folding import recorded


@pytest.mark.parametrize("inside", ["", "val", "test"])
def test_a_folder_of_images_needs_no_train(inside, tmp_path):
    model, data = tiny_resnet(tmp_path / "model"), tmp_path / "pets"
    pictures(data / inside, classes=("Dog", "cat"), count=6)
    words = ("--model", model, "--dataset", data, "--cache_dir", tmp_path / "c")
    assert calibrate(*words, "--output_dir", tmp_path / "out") == 0
    split = "test" if inside == "test" else "validation"
    told = read(tmp_path / "out" / "run.json")["data"]
    assert told["splits"] == {"eval": {"split": split, "rows": 12, "source": inside or "pets"}}
    assert (told["train_rows"], told["validation"]) == (0, f"the folder {inside or 'pets'}")


def test_images_of_their_own_that_the_temperature_is_fitted_on(tmp_path):
    model, data, apart = tiny_resnet(tmp_path / "model"), tmp_path / "pets", tmp_path / "more"
    pictures(data, classes=("Dog", "cat"), count=6)
    pictures(apart, classes=("cat",), count=9, size=48)
    words = ("--model", model, "--dataset", data, "--cache_dir", tmp_path / "c")
    assert calibrate(*words, "--calibration_folder", apart, "--output_dir", tmp_path / "out") == 0
    fitted, results = saved(tmp_path / "out", "calibration"), read(tmp_path / "out" / "eval_results.json")
    assert fitted.labels is not None
    assert fitted.labels.tolist() == [0] * 9  # the model's cat
    assert results["temperature"] == pytest.approx(fit_temperature(fitted.logits, fitted.labels).value)
    assert (results["calibration"]["protocol"], results["calibration"]["split"]) == ("file", "the folder more")
    assert len(saved(tmp_path / "out", "validation")) == 12


def test_images_that_are_judged_too_are_refused(tmp_path, capfd):
    model, data = tiny_resnet(tmp_path / "model"), tmp_path / "pets"
    pictures(data, classes=("Dog", "cat"), count=6)
    words = ("--model", model, "--dataset", data, "--calibration_file", f"{data}/", "--output_dir", tmp_path / "out")
    assert calibrate(*words) == 2
    assert "is what is judged too" in capfd.readouterr().err
    assert calibrate(*words[:4], "--calibration_file", tmp_path / "no", "--output_dir", tmp_path / "out") == 2
    assert "no" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_of_train_are_not_read_where_nothing_is_trained(tmp_path):
    model, data = tiny_resnet(tmp_path / "model"), tmp_path / "pets"
    pictures(data / "val", classes=("Dog", "cat"), count=6)
    pictures(data / "train", classes=("Dog", "cat"), count=2)
    for path in (data / "train").rglob("*.*"):
        path.write_bytes(b"no image")
    words = ("--model", model, "--dataset", data, "--cache_dir", tmp_path / "c")
    assert calibrate(*words, "--output_dir", tmp_path / "out") == 0
    assert calibrate(*words, "--calibration_split", "0.5", "--output_dir", tmp_path / "split") == 2


def test_an_image_classifier(tmp_path):
    model, data = tiny_resnet(tmp_path / "model"), tmp_path / "pets"
    pictures(data / "train", classes=("Dog", "cat"), count=12)
    pictures(data / "test", classes=("Dog", "cat"), count=12)
    out = tmp_path / "out"
    code = calibrate("--model", model, "--dataset", data, "--output_dir", out, "--save", "--cache_dir", tmp_path / "c")
    assert code == 0
    before, results = saved(out, "calibration"), read(out / "eval_results.json")
    assert before.label_names == ("cat", "dog")
    assert before.labels is not None
    # folders are sorted Dog, cat: twelve dogs first
    assert before.labels.tolist() == [1] * 12 + [0] * 12
    assert results["temperature"] == pytest.approx(fit_halves(before.logits, before.labels, 42).value)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8))
    sides = [pipeline("image-classification", model=str(folder)) for folder in (model, out)]
    first, second = ({row["label"]: row["score"] for row in side(picture)} for side in sides)  # type: ignore[union-attr]
    odds = np.log(first["cat"] / first["dog"]) / results["temperature"]
    assert np.log(second["cat"] / second["dog"]) == pytest.approx(odds, abs=1e-4)
    weights = AutoModelForImageClassification.from_pretrained(out)
    assert recorded(weights.config)["temperature"] == results["temperature"]
