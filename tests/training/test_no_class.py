"""``--ood NAME=PLACE``: how well the finished model tells rows of no class from its own."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score
from tinyrun import flags as text_flags
from visionrun import flags, pictures

from logitmix_hf.cli import main
from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.evaluation import Predictions
from logitmix_hf.serving.classifier import load_classifier

STRANGE = ["meal meal meal", "is was is", "a the a", "not not very film"]


def results(folder):
    return json.loads((folder / "eval_results.json").read_text())


@pytest.fixture
def strange(tmp_path):
    """Lines, which no training could read."""
    (tmp_path / "strange.txt").write_text("\n".join(STRANGE) + "\n")
    return tmp_path / "strange.txt"


def test_texts_of_no_class_are_told_apart_as_deployed(tiny_model, files, strange, tmp_path, capfd):
    run = tmp_path / "run"
    assert glue([*text_flags(tiny_model, files, run, calibration_split=0.3), "--ood", f"odd={strange}"]) == 0
    out = capfd.readouterr().out
    assert "no class" in out
    assert "FPR95" in out
    assert "24 rows of validation.csv" in out
    kept = Predictions.load(run / "predictions" / "ood_odd.parquet")
    assert kept.labels is None
    classifier = load_classifier(str(run))  # the temperature is in its weights
    np.testing.assert_allclose(kept.logits, classifier.logits(STRANGE), atol=1e-4)
    own, found = Predictions.load(run / "predictions" / "validation.parquet"), results(run)
    truth = [0] * len(own) + [1] * len(kept)
    both = np.concatenate([own.probabilities, kept.probabilities])
    assert found["ood_odd_max_probability_auroc"] == pytest.approx(roc_auc_score(truth, -both.max(1)))
    assert found["ood_odd_entropy_aupr_out"] == pytest.approx(
        average_precision_score(truth, stats.entropy(both, axis=1))
    )
    assert found["ood_odd_samples"] == 4
    every = json.loads((run / "all_results.json").read_text())
    assert every["ood_odd_energy_fpr95"] == found["ood_odd_energy_fpr95"]
    card = (run / "README.md").read_text()
    assert "## Data of no class" in card
    assert "| odd | 4 | energy |" in card
    assert "from validation.csv" in card
    page = tmp_path / "page"
    assert main(["report", str(run), "--output_dir", str(page), "--bootstrap", "0"]) == 0
    assert "Data of no class" in (page / "report.html").read_text()
    assert "Data of no class" in (page / "report.md").read_text()
    (row,) = csv.DictReader(io.StringIO((page / "results.csv").read_text()))
    assert float(row["ood_odd_energy_auroc"]) == pytest.approx(found["ood_odd_energy_auroc"])


def test_nothing_is_chosen_by_it_and_labels_are_not_looked_at(tiny_model, files, tmp_path, capfd):
    """The same weights with and without; a labelled file and the same texts alone say the same."""
    (tmp_path / "labelled.csv").write_text("review,stars\n" + "".join(f"{text},elsewhere\n" for text in STRANGE))
    (tmp_path / "alone.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in STRANGE))
    ends = []
    for name, words in (
        ("plain", []),
        ("odd", ["--ood", f"a={tmp_path / 'labelled.csv'}", f"b={tmp_path / 'alone.jsonl'}"]),
    ):
        assert glue([*text_flags(tiny_model, files, tmp_path / name), *words]) == 0
        ends.append(results(tmp_path / name))
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("--ood ")]
    assert "'stars' is not looked at" in line
    assert line.startswith("--ood a=")
    assert ends[1]["ood_a_energy_auroc"] == ends[1]["ood_b_energy_auroc"]
    same = [key for key in ends[0] if key.startswith("eval_") and not key.endswith(("runtime", "second"))]
    assert all(ends[0][key] == ends[1][key] for key in same)


def test_by_halves_one_temperature_orders_the_own_rows(tiny_model, files, strange, tmp_path):
    """The rows of two halves have two temperatures; energy would order the halves."""
    run = tmp_path / "run"
    assert glue([*text_flags(tiny_model, files, run, protocol="halves"), "--ood", f"odd={strange}"]) == 0
    found = results(run)
    first, second = found["calibration"]["temperatures"]
    own, kept = (Predictions.load(run / "predictions" / f"{name}.parquet") for name in ("calibration", "ood_odd"))
    z = np.concatenate([own.logits / found["temperature"], kept.logits])  # the first as the model gave them
    energy = -np.logaddexp(z[:, 0], z[:, 1])
    truth = [0] * len(own) + [1] * len(kept)
    assert first != second
    assert found["ood_odd_energy_auroc"] == pytest.approx(roc_auc_score(truth, energy))


@pytest.fixture
def own(tmp_path):
    return pictures(tmp_path / "own", size=16)


def image_flags(run, own, **changes):
    return flags(
        run, dataset=own, model="digits", image_size=16, max_train_samples=None, max_eval_samples=None, **changes
    )


def test_images_of_no_class_need_no_folders(own, tmp_path):
    """Lying flat, below folders that are no classes, of another size and in grey."""
    (tmp_path / "flat").mkdir()
    for row in range(3):
        Image.new("L", (20, 12), 80 * row).save(tmp_path / "flat" / f"{row}.png")
    sorted_ones = pictures(tmp_path / "sorted", size=16, count=4, classes=("owl", "newt"))
    run = tmp_path / "run"
    words = ["--ood", f"flat={tmp_path / 'flat'}", "--ood", f"sorted={sorted_ones}", "--ood", "digits=digits"]
    assert vision([*image_flags(run, own), *words]) == 0
    found = results(run)
    assert (found["ood_flat_samples"], found["ood_sorted_samples"]) == (3, 8)
    assert found["ood_digits_samples"] > 100
    assert found["ood"]["names"] == ["ood_flat", "ood_sorted", "ood_digits"]
    for name in found["ood"]["names"]:
        assert 0 <= found[f"{name}_energy_auroc"] <= 1
        assert Predictions.load(run / "predictions" / f"{name}.parquet").labels is None


def test_a_data_set_of_several_splits_and_no_label_column(tiny_model, files, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "odd" / "data").mkdir(parents=True)
    for split, count in {"validation_a": 2, "validation_b": 3}.items():
        pq.write_table(
            pa.table({"words": STRANGE[:count]}), tmp_path / "odd" / "data" / f"{split}-00000-of-00001.parquet"
        )
    run = tmp_path / "run"
    assert glue([*text_flags(tiny_model, files, run), "--ood", f"odd={tmp_path / 'odd'}"]) == 0
    found = results(run)
    assert (found["ood_odd_validation_a_samples"], found["ood_odd_validation_b_samples"]) == (2, 3)


def one_error(capfd):
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["odd.txt"], ["--ood 'odd.txt' is no NAME=PLACE", "poems=poems.txt"]),
        (["a=x.txt", "a=y.txt"], ["--ood names 'a' twice"]),
        (["a=/no/where.txt"], ["no file '/no/where.txt'"]),
        (["a={pair}"], ["--ood a=", "2 columns of text (one, two)", "the data 1 (text)"]),
        (["a={empty}"], ["is empty"]),
        (["a={numbers}"], ["no columns of texts", "--text_columns"]),
    ],
)
def test_mistakes_are_told_before_training(tiny_model, files, tmp_path, capfd, words, told):
    (tmp_path / "pair.csv").write_text("one,two\nx,y\nz,w\n")
    (tmp_path / "numbers.csv").write_text("one,two\n1,2\n3,4\n")
    (tmp_path / "empty.txt").write_text("")
    places = {
        name: tmp_path / f"{name}.{kind}" for name, kind in (("pair", "csv"), ("numbers", "csv"), ("empty", "txt"))
    }
    run = tmp_path / "run"
    given = [word.format(**places) for word in words]
    assert glue([*text_flags(tiny_model, files, run), "--ood", *given]) == 2
    line = one_error(capfd)
    for word in told:
        assert word in line or (word == "no columns of texts" and "0 columns of texts" in line)
    assert not run.exists()


def test_a_regression_has_no_confidence(tiny_model, strange, tmp_path, capfd):
    (tmp_path / "rated.csv").write_text("text,stars\n" + "".join(f"{t},{n / 7}\n" for n, t in enumerate(STRANGE * 5)))
    argv = text_flags(tiny_model, tmp_path, tmp_path / "run", train_file=tmp_path / "rated.csv")
    argv = [*argv, "--validation_file", str(tmp_path / "rated.csv")]
    for words in (["--regression", "true"], []):
        assert glue([*argv, *words, "--ood", f"odd={strange}"]) == 2
        assert "is a regression" in one_error(capfd)
    assert not (tmp_path / "run").exists()


def test_there_must_be_own_rows_to_tell_them_from(tiny_model, files, strange, tmp_path, capfd):
    assert (
        glue(
            [
                *text_flags(tiny_model, files, tmp_path / "run", do_eval="false"),
                "--ood",
                f"odd={strange}",
            ]
        )
        == 2
    )
    assert "no rows are judged" in one_error(capfd)


def test_several_labels_a_row(tiny_model, strange, tmp_path):
    rows = [{"text": text, "stars": [["up"], ["down", "up"], []][n % 3]} for n, text in enumerate(STRANGE * 6)]
    (tmp_path / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    place, run = tmp_path / "tags.jsonl", tmp_path / "run"
    argv = text_flags(tiny_model, tmp_path, run, train_file=place, validation_file=place)
    assert glue([*argv, "--ood", f"odd={strange}"]) == 0
    own, kept = (Predictions.load(run / "predictions" / f"{name}.parquet") for name in ("validation", "ood_odd"))
    z = np.concatenate([own.logits, kept.logits]).astype(float)
    energy = -np.log1p(np.exp(z)).sum(1)
    truth = [0] * len(own) + [1] * len(kept)
    assert results(run)["ood_odd_energy_auroc"] == pytest.approx(roc_auc_score(truth, energy))
