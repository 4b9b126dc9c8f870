"""``--shift NAME=PLACE``: the finished model on data of another origin."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tinyrun import flags as text_flags
from tinyrun import rows
from visionrun import flags, pictures

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import Predictions
from logitmix_hf.serving.classifier import load_classifier
from logitmix_hf.training.shift import read_shifts

OTHER = [("a good film", "up"), ("the bad meal", "down"), ("very poor", "down")]


def results(folder):
    return json.loads((folder / "eval_results.json").read_text())


@pytest.fixture
def other(tmp_path):
    """The same labels, in another order and under another column of text."""
    path = tmp_path / "other.csv"
    path.write_text("review,stars\n" + "".join(f"{text},{label}\n" for text, label in OTHER))
    return path


def test_texts_of_another_origin_are_judged_by_the_temperature_of_the_own_data(tiny_model, files, other, tmp_path):
    run = tmp_path / "run"
    assert glue([*text_flags(tiny_model, files, run, calibration_split=0.3), "--shift", f"other={other}"]) == 0
    found, kept = results(run), Predictions.load(run / "predictions" / "shift_other.parquet")
    names = kept.label_names
    assert [names[label] for label in kept.labels] == [label for _, label in OTHER]
    classifier = load_classifier(str(run))  # the temperature of the own data is in its weights
    np.testing.assert_allclose(kept.logits, classifier.logits([text for text, _ in OTHER]), atol=1e-4)
    assert found["shift_other_samples"] == 3
    assert found["shift_other_accuracy"] == pytest.approx((kept.predictions == kept.labels).mean())
    assert {"shift_other_ece", "shift_other_nll", "shift_other_uncalibrated_nll"} <= found.keys()
    splits = json.loads((run / "run.json").read_text())["data"]["splits"]
    assert splits["shift_other"] == {
        "split": "shift_other",
        "rows": 3,
        "source": "other.csv (other)",
        "test": True,
    }
    card = (run / "README.md").read_text()
    assert "other.csv (other)" in card
    assert "are the ones to quote, for data of that kind" in card


def test_nothing_is_chosen_by_it(tiny_model, files, other, tmp_path):
    """The same weights with and without."""
    ends = []
    for name, words in (("plain", []), ("shifted", ["--shift", f"a={other}", "--shift", f"b={other}"])):
        assert glue([*text_flags(tiny_model, files, tmp_path / name), *words]) == 0
        ends.append(results(tmp_path / name))
    assert ends[1]["shift_a_nll"] == ends[1]["shift_b_nll"]
    same = [key for key in ends[0] if key.startswith("eval_") and not key.endswith(("runtime", "second"))]
    assert all(ends[0][key] == ends[1][key] for key in same)


def test_images_of_another_origin_keep_the_numbers_of_the_classes(tmp_path):
    own = pictures(tmp_path / "own", size=16)
    for name in ("dog", "cat"):  # of one class fewer rows, and a class whose name differs in case
        (tmp_path / "other" / name.upper()).mkdir(parents=True)
        for row in range(3):
            level = 200 if name == "cat" else 60
            Image.new("RGB", (16, 16), (level, level, level + row)).save(
                tmp_path / "other" / name.upper() / f"{row}.png"
            )
    run = tmp_path / "run"
    argv = flags(run, dataset=own, model="digits", image_size=16, max_train_samples=None, max_eval_samples=None)
    assert vision([*argv, "--shift", f"light={tmp_path / 'other'}"]) == 0
    kept = Predictions.load(run / "predictions" / "shift_light.parquet")
    assert kept.label_names == ("cat", "dog")
    assert sorted(kept.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert results(run)["shift_light_samples"] == 6


@pytest.mark.parametrize(
    "content", ["text\na good film\nthe bad meal\n", "text,label\na good film,\nthe bad meal,\n", None]
)
def test_texts_without_labels_are_predicted_and_not_scored(tiny_model, files, tmp_path, capfd, content):
    place, run = tmp_path / ("bare.txt" if content is None else "bare.csv"), tmp_path / "run"
    place.write_text(content or "a good film\nthe bad meal\n")
    assert glue([*text_flags(tiny_model, files, run, calibration_split=0.3), "--shift", f"bare={place}"]) == 0
    assert f"--shift bare={place}: it has no labels, so its rows are predicted" in capfd.readouterr().err
    kept = Predictions.load(run / "predictions" / "shift_bare.parquet")
    assert kept.labels is None
    classifier = load_classifier(str(run))
    np.testing.assert_allclose(kept.logits, classifier.logits(["a good film", "the bad meal"]), atol=1e-4)
    assert not [key for key in results(run) if key.startswith("shift_")]


def test_images_without_classes_are_predicted_and_not_scored(tmp_path, capfd):
    (tmp_path / "flat").mkdir()
    for row in range(3):
        Image.new("L", (8, 8), 60 * row).save(tmp_path / "flat" / f"{row}.png")
    run = tmp_path / "run"
    assert vision([*flags(run), "--shift", f"bare={tmp_path / 'flat'}"]) == 0
    assert "it has no labels, so its rows are predicted" in capfd.readouterr().err
    kept = Predictions.load(run / "predictions" / "shift_bare.parquet")
    assert (len(kept), kept.labels) == (3, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,stars\na good film,good\nthe bad meal,poor\n", ["--shift other=", "'good'", "'up'"]),
        ("a,b,stars\nx,y,up\nz,w,down\n", ["--shift other=", "2 columns of text (a, b)", "--text_columns"]),
        ("text,stars\na good film,1.5\nthe bad meal,2.5\n", ["--shift other=", "regression"]),
    ],
)
def test_other_labels_or_columns_are_told_before_training(tiny_model, files, tmp_path, capfd, content, words):
    (tmp_path / "other.csv").write_text(content)
    run = tmp_path / "run"
    assert glue([*text_flags(tiny_model, files, run), "--shift", f"other={tmp_path / 'other.csv'}"]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line
    assert not run.exists()


@pytest.mark.parametrize("flag", ["shift", "ood"])
def test_a_place_that_is_not_there_is_told_by_its_flag(tiny_model, files, tmp_path, capfd, flag):
    assert glue([*text_flags(tiny_model, files, tmp_path / "run"), f"--{flag}", "second=nope.csv"]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: --{flag} second=nope.csv: ")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["other.csv"], "'other.csv' is no NAME=PLACE"),
        (["=other.csv"], "is no NAME=PLACE"),
        (["a="], "is no NAME=PLACE"),
        (["a b=other.csv"], "is no NAME=PLACE"),
        (["a=one.csv", "a=two.csv"], "names 'a' twice"),
        (["a=one.csv", "A=two.csv"], "names 'A' twice"),  # one file of predictions where letters' case tells nothing
        ([f"{'n' * 101}=one.csv"], "at most 100 letters"),
    ],
)
def test_a_word_that_is_no_name_and_place(given, words):
    with pytest.raises(UserError, match=words):
        read_shifts(given)


def test_a_place_that_does_not_exist_is_told_at_once(tiny_model, files, tmp_path, capfd):
    assert glue([*text_flags(tiny_model, files, tmp_path / "run"), "--shift", f"a={tmp_path / 'nothing'}"]) == 2
    assert "nothing" in capfd.readouterr().err


def test_pairs_whose_columns_stand_in_another_order_are_not_turned_round(tiny_model, tmp_path):
    """Columns go by their names; one that is called otherwise takes the place that is left."""
    rows = [("a good film", "the bad meal", "up"), ("very poor", "a good film", "down"), ("good", "bad film", "up")] * 8
    texts = {
        "train": "premise,hypothesis,stars\n" + "".join(f"{a},{b},{y}\n" for a, b, y in rows),
        "turned": "hypothesis,premise,stars\n" + "".join(f"{b},{a},{y}\n" for a, b, y in rows),
        "half": "hypothesis,other,stars\n" + "".join(f"{b},{a},{y}\n" for a, b, y in rows),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    place, run = tmp_path / "train.csv", tmp_path / "run"
    argv = text_flags(tiny_model, tmp_path, run, validation_file=place, text_columns=None)
    shifts = [f"{name}={tmp_path / name}.csv" for name in ("turned", "half")]
    assert glue([*argv, "--shift", *shifts]) == 0
    own = Predictions.load(run / "predictions" / "validation.parquet").logits
    for name in ("turned", "half"):
        kept = Predictions.load(run / "predictions" / f"shift_{name}.parquet").logits
        np.testing.assert_allclose(kept, own, atol=1e-5)


def test_labels_that_are_numbers_are_said_to_be_taken_as_such(tiny_model, files, tmp_path, capfd):
    (tmp_path / "numbers.csv").write_text("text,stars\na good film,1\nthe bad meal,0\n")
    assert glue([*text_flags(tiny_model, files, tmp_path / "run"), "--shift", f"b={tmp_path / 'numbers.csv'}"]) == 0
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("--shift b=")]
    assert "labels are numbers" in line


def test_every_split_of_a_shift_is_judged(tiny_model, files, tmp_path):
    """A data set with two validation splits: each has keys and predictions of its own."""
    (tmp_path / "shops" / "data").mkdir(parents=True)
    for number, (split, count) in enumerate({"validation_books": 5, "validation_food": 7}.items()):
        pq.write_table(rows(count, number), tmp_path / "shops" / "data" / f"{split}-00000-of-00001.parquet")
    run = tmp_path / "run"
    assert glue([*text_flags(tiny_model, files, run), "--shift", f"shop={tmp_path / 'shops'}"]) == 0
    found = results(run)
    assert (found["shift_shop_validation_books_samples"], found["shift_shop_validation_food_samples"]) == (5, 7)
    assert len(Predictions.load(run / "predictions" / "shift_shop_validation_food.parquet")) == 7


def test_images_of_train_among_those_of_another_origin_are_told(tmp_path, capfd):
    own = pictures(tmp_path / "own", size=8)
    argv = flags(tmp_path / "run", dataset=own, model="digits", max_train_samples=None, max_eval_samples=None)
    assert vision([*argv, "--shift", f"a={own}"]) == 0
    assert "18 of the 20 rows of shift_a are in train too, which flatters" in capfd.readouterr().err
