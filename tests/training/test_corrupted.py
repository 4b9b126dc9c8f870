"""``--corrupted``: the finished model on corrupted images, made here or by the benchmark's authors."""

from __future__ import annotations

import csv
import io
import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from visionrun import flags, pictures, read

from logitmix_hf.cli import main
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.data.roles import JudgedSplit
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import Predictions, bin_confidences, ece
from logitmix_hf.evaluation.corruption import CorruptionTable, Outcome
from logitmix_hf.training.vision.corrupted import clean_split
from logitmix_hf.vision.data.corruptions import NAMES


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Class folders of train and test; of the test split twelve images, six a class."""
    root = tmp_path_factory.mktemp("own")
    pictures(root / "train", count=10)
    draw = np.random.default_rng(5)
    for number, name in enumerate(("cat", "dog")):
        (root / "test" / name).mkdir(parents=True)
        for row in range(6):
            pixels = draw.integers(0, 256 // (number + 1), (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "test" / name / f"{row}.png")
    return root


def clean(root):
    files = [root / "test" / name / f"{row}.png" for name in ("cat", "dog") for row in range(6)]
    return np.stack([np.asarray(Image.open(file)) for file in files]), np.repeat([0, 1], 6)


@pytest.fixture
def official(own, tmp_path):
    """Files of two corruptions that do nothing, and one that is black."""
    images, labels = clean(own)
    folder = tmp_path / "CIFAR-2-C"
    folder.mkdir()
    for name in ("fog", "saturate"):
        np.save(folder / f"{name}.npy", np.tile(images, (5, 1, 1, 1)))
    np.save(folder / "contrast.npy", np.zeros((60, 32, 32, 3), np.uint8))
    np.save(folder / "labels.npy", np.tile(labels, 5))
    return folder


def words(run, own, **changes):
    small = {"dataset": own, "model": "digits", "max_train_samples": None, "max_eval_samples": None}
    return flags(run, **{**small, "do_predict": "true", "bootstrap": 0, **changes})


def test_official_files_are_judged_by_the_temperature_of_the_own_data(own, official, tmp_path, capfd):
    run = tmp_path / "run"
    (official / "fogg.npy").touch()
    assert vision(words(run, own, corrupted=official, calibration_split=0.3)) == 0
    out, err = capfd.readouterr()
    assert "has no 'gaussian_noise', 'shot_noise'" in err  # nor twelve more
    assert "'fogg', unknown: what is averaged is over the 3 that are there" in err
    found, tested = read(run / "eval_results.json"), read(run / "test_results.json")
    for score in ("accuracy", "nll", "ece"):  # what does nothing to the images does nothing to the score
        assert found[f"corrupted_fog_{score}"] == pytest.approx(tested[f"test_{score}"], abs=1e-5)
        assert found[f"corrupted_saturate_{score}"] == pytest.approx(tested[f"test_{score}"], abs=1e-5)
    pooled = np.mean([found[f"corrupted_{name}_nll"] for name in ("fog", "saturate", "contrast")])
    assert found["corrupted_all3_nll"] == pytest.approx(pooled)
    plain = found["corrupted_all3_uncalibrated_nll"]
    assert plain != pytest.approx(pooled, abs=1e-6)
    assert found["corrupted"]["official"] is True
    assert "CIFAR-2-C: 12 images of test" in out
    assert "not CIFAR-C" not in out
    table = read(run / "corruptions.json")
    assert len(table["severities"]["fog"]["accuracy"]) == 5
    assert set(table["severities"]["contrast"]["accuracy"]) == {0.5}  # black is always of one class
    assert (run / "corruptions.png").stat().st_size > 10_000
    card = (run / "README.md").read_text()
    assert "## Corrupted images" in card
    assert "`CIFAR-2-C`, as the authors of the benchmark hand them out" in card
    every = read(run / "all_results.json")
    assert every["corrupted_all3_ece"] == found["corrupted_all3_ece"]


def test_made_ones_are_named_as_such_kept_and_the_same_again(own, tmp_path, capfd):
    ends = []
    for name in ("one", "two"):
        argv = words(tmp_path / name, own, corrupted="like", corruptions="fog,glass_blur", cache_dir=tmp_path / "kept")
        assert vision(argv) == 0
        ends.append(read(tmp_path / name / "eval_results.json"))
    kept = [path for path in (tmp_path / "kept").iterdir() if path.suffix == ".safetensors"]
    assert len(kept) >= 10
    keys = [key for key in ends[0] if key.startswith("corrupted_")]
    assert len(keys) == 9
    assert all(ends[0][key] == ends[1][key] for key in keys)
    assert ends[0]["corrupted"]["name"] == f"{own.name}-c-like"
    assert "made here, and not CIFAR-C" in capfd.readouterr().out
    card = (tmp_path / "one" / "README.md").read_text()
    assert "**these are not CIFAR-C**" in card
    page = tmp_path / "page"
    runs = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert main(["report", *runs, "--output_dir", str(page), "--bootstrap", "0"]) == 0
    assert "Corrupted images" in (page / "report.md").read_text()
    rows = list(csv.DictReader(io.StringIO((page / "results.csv").read_text())))
    told = [row["corrupted_fog_accuracy"] for row in rows if row["corrupted_fog_accuracy"]]
    assert [float(value) for value in told] == [pytest.approx(ends[0]["corrupted_fog_accuracy"])] * 2


def test_what_is_corrupted_is_the_datas_own_and_never_a_shift():
    shift = JudgedSplit("shift_shop", "shift_shop", "shop (shop)", test=True)
    held = JudgedSplit("validation", "eval", "held out of train")
    test = JudgedSplit("test", "test", "test", test=True)
    for tested, chosen in (((shift,), held), ((shift, test), test), ((test, shift), test)):
        data = cast(Any, SimpleNamespace(tested=tested, judged=(held,)))
        assert clean_split(data, None) == (chosen.name, chosen.source)
    with pytest.raises(UserError, match="needs judged images"):
        clean_split(cast(Any, SimpleNamespace(tested=(shift,), judged=())), None)


def test_without_a_cache_the_same_bytes(own, tmp_path, monkeypatch):
    """What is too large to keep is made batch by batch, whatever the batches."""
    found = []
    for name, most, batch in (("kept", 2**27, 256), ("made", 0, 5)):
        monkeypatch.setattr("logitmix_hf.vision.data.corruptions.splits.MOST_BYTES", most)
        changes = {"corruptions": "snow,elastic_transform", "cache_dir": tmp_path / name}
        argv = words(tmp_path / f"run-{name}", own, corrupted="like", per_device_eval_batch_size=batch, **changes)
        assert vision(argv) == 0
        found.append(read(tmp_path / f"run-{name}" / "corruptions.json")["severities"])
    for corruption, scores in found[0].items():
        np.testing.assert_allclose(scores["nll"], found[1][corruption]["nll"], atol=1e-5)


def broken(folder, what):
    images = np.zeros((60, 32, 32, 3), np.uint8)
    if what == "short":
        np.save(folder / "fog.npy", images[:50])
    if what == "large":
        np.save(folder / "fog.npy", np.zeros((60, 64, 64, 3), np.uint8))
    if what == "real":
        np.save(folder / "fog.npy", images.astype(np.float32))
    if what == "labels":
        labels = np.load(folder / "labels.npy")
        labels[17] = 1
        np.save(folder / "labels.npy", labels)
    if what == "others":
        np.save(folder / "labels.npy", np.tile([0, 1], 30))
    if what == "fewer":
        for path in folder.glob("*.npy"):
            np.save(path, np.load(path)[:50])
    if what == "none":
        (folder / "labels.npy").unlink()
    if what == "text":
        (folder / "fog.npy").write_text("no array")
    if what == "zip":
        with open(folder / "fog.npy", "wb") as file:
            np.savez(file, images=np.zeros(60))
    if what == "odd":
        np.save(folder / "labels.npy", np.zeros(61, int))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("short", ["fog.npy has the shape (50, 32, 32, 3)", "60 images"]),
        ("large", ["fog.npy has the shape (60, 64, 64, 3)", "32 x 32 x 3"]),
        ("real", ["float32"]),
        ("labels", ["differs from the labels of the test split in 1 of 60 rows", "row 5 (from 0) of severity 2"]),
        ("others", ["differs from the labels", "row 1 (from 0) of severity 1"]),
        ("fewer", ["10 labels a severity", "12 rows"]),
        ("none", ["no labels.npy"]),
        ("text", ["fog.npy cannot be read"]),
        ("zip", ["fog.npy cannot be read"]),
        ("odd", ["5 equal blocks"]),
    ],
)
def test_files_that_are_not_those_are_told_before_training(own, official, tmp_path, capfd, what, told):
    broken(official, what)
    run = tmp_path / "run"
    assert vision(words(run, own, corrupted=official)) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    for word in told:
        assert word in line
    assert not run.exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"corrupted": "/no/where"}, "'--corrupted /no/where does not exist"),
        ({"corrupted": "like", "corruptions": "fogg"}, "'fogg'"),
        ({"corruptions": "fog"}, "give that too"),
        ({"corrupted": "official", "corruptions": "snow"}, "has no snow.npy"),
        ({"corrupted": "official", "do_predict": "false"}, "--do_predict"),
        ({"corrupted": "official", "channels": 1}, "1 channel"),
    ],
)
def test_flags_that_do_not_fit_are_told_before_training(own, official, tmp_path, capfd, changes, told):
    if changes.get("corrupted") == "official":
        changes = {**changes, "corrupted": official}
    run = tmp_path / "run"
    assert vision(words(run, own, **changes)) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert told.strip("'") in line
    assert not run.exists()


def test_pools_are_over_all_rows_together():
    """Two corruptions at two severities; ECE of all rows is no mean of theirs."""
    rng, table = np.random.default_rng(0), CorruptionTable(("fog",), bins=10)
    parts = []
    for name in ("fog", "snow"):
        for _ in range(2):
            p = Predictions(rng.normal(size=(40, 3)) * 2, rng.integers(0, 3, 40))
            parts.append(p)
            table.add(name, Outcome.of(p))
    found = table.results()
    logits, labels = np.concatenate([p.logits for p in parts]), np.concatenate([p.labels for p in parts])
    whole = Predictions(logits, labels)
    right = whole.predictions == labels
    assert found["corrupted_all2_accuracy"] == pytest.approx(right.mean())
    assert found["corrupted_all2_ece"] == pytest.approx(ece(bin_confidences(whole.probabilities.max(1), right, 10)))
    assert found["corrupted_all2_nll"] == pytest.approx(-np.log(whole.probabilities[np.arange(160), labels]).mean())
    assert table.pools == {"all2": ("fog", "snow"), "all1": ("fog",)}
    accuracies = [(p.predictions == p.labels).mean() for p in parts[:2]]
    assert found["corrupted_fog_accuracy"] == pytest.approx(np.mean(accuracies))


def test_of_nineteen_there_are_two_averages():
    from logitmix_hf.vision.data.corruptions import USUAL

    table = CorruptionTable(USUAL)
    for name in NAMES:
        table.add(name, Outcome.of(Predictions([[1.0, 0.0]], [0])))
    assert list(table.pools) == ["all19", "all15"]
    assert json.loads(json.dumps(table.pools))["all15"] == list(USUAL)
