"""``logitmix ensemble``: from runs to one classifier that every other command takes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax
from tinyrun import flags as text_flags
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)
from visionrun import flags

import logitmix_hf.ensembles  # noqa: F401  what somebody who loads an ensemble writes
from logitmix_hf import MixArguments
from logitmix_hf.cli import main
from logitmix_hf.errors import UserError
from logitmix_hf.evaluation import Predictions
from logitmix_hf.models.folding import unfold
from logitmix_hf.serving.classifier import load_classifier
from logitmix_hf.steps import build_step


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    found = []
    for name, options in (
        ("one", {"method": "vanilla", "seed": 1}),
        ("two", {"method": "vanilla", "seed": 2}),
        ("mimo", {"method": "mimo", "seed": 3}),
    ):
        argv = flags(home / name, protocol="halves", learning_rate=0.05, num_train_epochs=3, **options)
        assert main(["vision", *argv]) == 0
        found.append(home / name)
    return found


def raw(run):
    """What a run's network says, by its own weights without the temperature."""
    model = AutoModelForImageClassification.from_pretrained(run).eval()
    unfold(model)
    return model


@pytest.fixture(scope="module")
def joined(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joined") / "all"
    assert main(["ensemble", *map(str, runs), "--output_dir", str(folder)]) == 0
    return folder


def test_nothing_is_written_without_an_output_folder(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = {run: sorted(path.name for path in run.rglob("*")) for run in runs}
    assert main(["ensemble", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert "gain over the mean" in out
    assert "all 3 (logits)" in out
    assert "3 passes for each answer" in out
    assert not list(tmp_path.iterdir())
    assert before == {run: sorted(path.name for path in run.rglob("*")) for run in runs}


@pytest.mark.parametrize("average", ["logits", "probs"])
def test_the_folder_answers_as_averaging_by_hand(runs, tmp_path, average):
    folder = tmp_path / "all"
    assert main(["ensemble", *map(str, runs), "--output_dir", str(folder), "--average", average]) == 0
    classifier = load_classifier(str(folder))
    temperature = json.loads((folder / "eval_results.json").read_text())["temperature"]
    pictures = [
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)) for seed in range(5)
    ]
    with torch.no_grad():
        # Each by its own processor: the rows that a seed held out move the mean of what it trained on.
        each = torch.stack(
            [raw(run)(**AutoImageProcessor.from_pretrained(run)(pictures, return_tensors="pt")).logits for run in runs]
        )
    expected = each.mean(0) if average == "logits" else each.softmax(2).mean(0).log()
    found = torch.from_numpy(classifier.logits(pictures))
    torch.testing.assert_close(found.softmax(1), (expected / temperature).softmax(1), atol=1e-6, rtol=1e-5)


def test_what_is_stored_is_what_the_model_says(joined, runs):
    kept = Predictions.load(joined / "predictions" / "validation.parquet")
    assert kept.members.shape[1] == 3
    scores = json.loads((joined / "eval_results.json").read_text())
    assert scores["eval_samples"] == len(kept)
    assert len(scores["eval_member_accuracies"]) == 3
    record = json.loads((joined / "run.json").read_text())
    assert (record["status"], record["method"]["name"], record["method"]["members"]) == ("done", "ensemble", 3)
    assert "ensemble" in (joined / "README.md").read_text()


def test_pipeline_predict_report_export_and_another_ensemble_take_it(joined, runs, tmp_path, capsys):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8))
    (tmp_path / "pictures").mkdir()
    picture.save(tmp_path / "pictures" / "one.png")
    best = pipeline("image-classification", str(joined), device="cpu")(picture)[0]
    out = tmp_path / "answers.csv"
    argv = ["--model", joined, "--input", tmp_path / "pictures", "--output", out]
    assert main(["predict", *map(str, argv)]) == 0
    assert best["label"] in out.read_text().splitlines()[1]
    assert (
        main(["report", str(joined), *map(str, runs), "--output_dir", str(tmp_path / "report"), "--bootstrap", "0"])
        == 0
    )
    assert main(["card", str(joined)]) == 0
    assert main(["ensemble", str(joined), str(runs[0]), "--output_dir", str(tmp_path / "nested")]) == 0
    assert load_classifier(str(tmp_path / "nested")).model.config.member_configs[0]["model_type"] == "logitmix_ensemble"
    pytest.importorskip("onnxruntime")
    assert main(["export", str(joined), "--output", str(tmp_path / "onnx")]) == 0


def test_the_same_run_under_many_names_is_that_run(runs, tmp_path, capsys):
    copies = [shutil.copytree(runs[0], tmp_path / f"copy{number}") for number in range(3)]
    folder = tmp_path / "all"
    assert main(["ensemble", *map(str, copies), "--output_dir", str(folder)]) == 0
    images = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        together, alone = raw(folder)(images).logits, raw(runs[0])(images).logits
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_runs_of_one_name_in_different_folders_are_told_apart(runs, tmp_path, capsys):
    copies = [shutil.copytree(run, tmp_path / place / "run") for run, place in zip(runs, "abc", strict=True)]
    folder = tmp_path / "all"
    assert main(["ensemble", *map(str, copies), "--output_dir", str(folder)]) == 0
    out = capsys.readouterr().out
    assert all(f"{place}/run" in out for place in "abc")
    facts = json.loads((folder / "ensemble.json").read_text())
    assert len(facts["without"]) == len(facts["alone"]) == 3


def test_no_path_of_the_machine_is_in_what_an_ensemble_tells_of_its_members(joined, runs):
    told = (joined / "ensemble.json").read_text()
    assert str(runs[0].parent) not in told
    assert json.loads(told)["members"] == [run.name for run in runs]


def test_without_resamples_there_is_no_interval(runs, capsys):
    assert main(["ensemble", *map(str, runs), "--bootstrap", "0"]) == 0
    out = capsys.readouterr().out
    assert "nan" not in out
    assert "gain over the mean of the members: accuracy" in out


def test_what_an_overwritten_run_said_of_its_filters_and_members_is_gone(joined, tmp_path):
    folder = shutil.copytree(joined, tmp_path / "again")
    (folder / "inspect.json").write_text("{}")
    (folder / "filters.png").write_bytes(b"old")
    assert main(["vision", *flags(folder, method="vanilla"), "--overwrite"]) == 0
    assert not {"ensemble.json", "inspect.json", "filters.png"} & {path.name for path in folder.iterdir()}


def test_few_rows_lose_their_temperature_too(tmp_path):
    """Of fewer than four rows no report fits a temperature, but a run's own is known."""
    for seed in (1, 2):
        argv = flags(tmp_path / f"s{seed}", method="vanilla", seed=seed, max_eval_samples=3, calibration_split=0.5)
        assert main(["vision", *argv]) == 0
    folder = tmp_path / "all"
    runs = [tmp_path / "s1", tmp_path / "s2"]
    assert main(["ensemble", *map(str, runs), "--output_dir", str(folder), "--bootstrap", "0"]) == 0
    members = Predictions.load(folder / "predictions" / "validation.parquet").members
    for number, run in enumerate(runs):
        value = json.loads((run / "eval_results.json").read_text())["temperature"]
        kept = Predictions.load(run / "predictions" / "validation.parquet").logits
        np.testing.assert_allclose(members[:, number], kept * value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fold", ["true", "false"])
def test_only_what_a_run_divided_by_comes_out_of_its_weights(runs, tmp_path, fold):
    """A classifier that was calibrated before and is calibrated once more holds two temperatures; its predictions know
    of the second alone."""
    again = tmp_path / "again"
    words = ["calibrate", "--model", runs[0], "--dataset", "digits", "--protocol", "halves", "--fold", fold]
    words += ["--save", "true", "--output_dir", again, "--max_eval_samples", "40"]
    words += ["--use_cpu", "true", "--report_to", "none", "--disable_tqdm", "true"]
    assert main([str(word) for word in words]) == 0
    judged = Predictions.load(again / "predictions" / "validation.parquet")
    value = json.loads((again / "eval_results.json").read_text())["temperature"]
    folder = tmp_path / "all"
    assert main(["ensemble", str(again), str(runs[1]), "--output_dir", str(folder)]) == 0
    member = AutoModelForImageClassification.from_pretrained(folder).members[0].eval()
    first = AutoModelForImageClassification.from_pretrained(runs[0]).eval()
    images = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        # As the calibrating run saw it: with the first temperature in, which is no business of the second.
        expected = first(images).logits
        found = member(images).logits
    total = json.loads((folder / "eval_results.json").read_text())["temperature"]
    torch.testing.assert_close(found * total, expected, atol=1e-4, rtol=1e-4)
    assert len(judged) == 40
    assert value > 0


def test_images_are_judged_on_other_data_as_every_run(runs, tmp_path, capsys):
    """What is stored of other data is what the saved classifier says of it, by the temperature of the own rows."""
    draw = np.random.default_rng(0)
    for name in ("3", "7"):
        (tmp_path / "shop" / name).mkdir(parents=True)
        for row in range(2):
            Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / "shop" / name / f"{row}.png")
    folder = tmp_path / "all"
    words = [
        *runs[:2],
        "--output_dir",
        folder,
        "--shift",
        f"shop={tmp_path / 'shop'}",
        "--ood",
        f"far={tmp_path / 'shop'}",
    ]
    words += ["--corrupted", "like", "--corruptions", "contrast", "--calibrator", "vector", "--bootstrap", "0"]
    assert main(["ensemble", *map(str, words)]) == 0
    out = capsys.readouterr().out
    found = json.loads((folder / "eval_results.json").read_text())
    assert found["calibration"]["calibrator"] == "vector"
    kept = Predictions.load(folder / "predictions" / "shift_shop.parquet")
    assert [kept.label_names[label] for label in kept.labels] == ["3", "3", "7", "7"]
    pictures = [Image.open(path) for path in sorted((tmp_path / "shop").rglob("*.png"))]
    np.testing.assert_allclose(kept.logits, load_classifier(str(folder)).logits(pictures), atol=1e-4)
    assert found["shift_shop_accuracy"] == pytest.approx((kept.logits.argmax(1) == kept.labels).mean())
    assert {
        "ood_far_max_probability_auroc",
        "corrupted_contrast_accuracy",
        "shift_shop_uncalibrated_nll",
    } <= found.keys()
    severities = json.loads((folder / "corruptions.json").read_text())
    assert severities["clean"]["accuracy"] == pytest.approx(found["eval_accuracy"])
    assert all(part in out for part in ("shop (shop)", "no class", "digits-c-like"))


def test_an_ensemble_is_judged_but_not_trained(joined, tmp_path, capsys):
    """The list of its members would pass for the stages of one network."""
    assert main(["vision", *flags(tmp_path / "run", model=joined)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "is an ensemble" in line
    assert "logitmix ensemble" in line
    assert not (tmp_path / "run").exists()
    assert main(["vision", *flags(tmp_path / "judged", model=joined, do_train="false")]) == 0
    model = AutoModelForImageClassification.from_pretrained(joined)
    with pytest.raises(UserError, match="is an ensemble"):
        build_step(model, MixArguments())


def test_texts_are_joined_too(tiny_model, files, tmp_path, capsys):
    for seed in (1, 2):
        argv = text_flags(tiny_model, files, tmp_path / f"s{seed}", seed=seed, calibration_split=0.3)
        assert main(["glue", *argv]) == 0
    runs = [tmp_path / "s1", tmp_path / "s2"]
    folder, shop = tmp_path / "all", tmp_path / "shop.csv"
    shop.write_text("review,stars\nvery good,up\nvery poor,down\n")
    words = [*runs, "--output_dir", folder, "--shift", f"shop={shop}", "--ood", f"far={shop}", "--cost", "FN=5,FP=1"]
    assert main(["ensemble", *map(str, words)]) == 0
    single = [load_classifier(str(run)) for run in runs]
    together = load_classifier(str(folder))
    texts = ["a good film", "a bad film with a long plot"]
    inputs = [(text, text) for text in texts] if len(together.columns) == 2 else texts
    for one in single:
        unfold(one.model)
    temperature = json.loads((folder / "eval_results.json").read_text())["temperature"]
    expected = np.mean([one.logits(inputs) for one in single], 0) / temperature
    np.testing.assert_allclose(together.logits(inputs), expected, atol=1e-5)
    assert together.max_length == single[0].max_length
    kept, found = (Predictions.load(folder / "predictions" / f"{name}.parquet") for name in ("shift_shop", "ood_far"))
    np.testing.assert_allclose(kept.logits, together.logits(["very good", "very poor"]), atol=1e-5)
    np.testing.assert_allclose(found.logits, kept.logits, atol=1e-5)
    assert [kept.label_names[label] for label in kept.labels] == ["up", "down"]
    gain = json.loads((folder / "ensemble.json").read_text())["splits"]["shift_shop"]["gain"]["nll"]
    each = [log_softmax(one.logits(["very good", "very poor"]), axis=1)[[0, 1], kept.labels] for one in single]
    pooled = log_softmax(np.mean([one.logits(["very good", "very poor"]) for one in single], 0), axis=1)
    rows = np.mean(each, 0) - pooled[[0, 1], kept.labels]
    assert gain["value"] == pytest.approx(rows.mean(), abs=1e-5)
    assert gain["interval"] == pytest.approx(
        [rows.min(), rows.max()], abs=1e-5
    )  # of two rows a quarter of draws is each
    assert "shift_shop: gain over the mean of the members (95 %, paired over rows): accuracy" in capsys.readouterr().out
    results = json.loads((folder / "eval_results.json").read_text())
    assert results["ood"]["names"] == ["ood_far"]
    assert results["ood"]["rows"] == results["eval_samples"]
    # A miss costs five: yes begins where the likelier loss is that of a false alarm, and the saved model says so.
    assert together.thresholds.values == results["decision"]["thresholds"]
    assert results["decision"]["eval"]["after"]["cost"] <= results["decision"]["eval"]["before"]["cost"]


def test_adapters_over_one_network_keep_it_once(tiny_model, files, tmp_path, capsys):
    """Each member still says what its own run says without its temperature; one over another network has a copy."""
    pytest.importorskip("peft")
    other = AutoModelForSequenceClassification.from_pretrained(tiny_model)
    with torch.no_grad():
        other.base_model.embeddings.word_embeddings.weight += 0.1
    other.base_model.save_pretrained(tmp_path / "other")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "other")
    for name, model, seed in (("s1", tiny_model, 1), ("s2", tiny_model, 2), ("s3", tmp_path / "other", 3)):
        more = {"seed": seed, "lora": "true", "protocol": "halves", "learning_rate": 0.02, "bootstrap": 0}
        assert main(["glue", *text_flags(model, files, tmp_path / name, **more)]) == 0
    batch = AutoTokenizer.from_pretrained(tiny_model)(
        ["a good film", "a bad bad meal"], return_tensors="pt", padding=True
    )
    for names, kind in ((("s1", "s2"), "LogitmixAdapters"), (("s1", "s3"), "LogitmixEnsemble")):
        folder, runs = tmp_path / "-".join(names), [tmp_path / name for name in names]
        assert main(["ensemble", *map(str, runs), "--output_dir", str(folder), "--bootstrap", "0"]) == 0
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        assert type(model).__name__ == f"{kind}ForSequenceClassification"
        value, each = unfold(model), []
        for run in runs:
            single = AutoModelForSequenceClassification.from_pretrained(run).eval()
            unfold(single)
            each.append(single)
        with torch.no_grad():
            expected = torch.stack([one(**batch).logits for one in each], 1)
            torch.testing.assert_close(model(**batch).member_logits, expected, atol=1e-5, rtol=1e-4)
        assert value == pytest.approx(json.loads((folder / "eval_results.json").read_text())["temperature"])
    err = capsys.readouterr().err
    assert "LoRA adapters over one network, which is kept once" in err
    assert "s3 is a LoRA adapter over another network than s1" in err
    again = [
        str(tmp_path / "s1-s2"),
        str(tmp_path / "s3"),
        "--output_dir",
        str(tmp_path / "nested"),
        "--bootstrap",
        "0",
    ]
    assert main(["ensemble", *again]) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (lambda runs: [runs[0]], "at least two runs, got 1"),
        (lambda runs: [runs[0], runs[0]], "is given 2 times"),
        (lambda runs: [runs[0], runs[0].parent / "nothing"], "There is no folder"),
        (lambda runs: [runs[0], runs[0] / "predictions"], "cannot be a member"),
        (lambda runs: [*runs, "--average", "votes"], "average must be one of logits, probs, got 'votes'"),
        (lambda runs: [*runs, "--overwrite"], "--overwrite replaces what --output_dir holds"),
        (lambda runs: [*runs, "--output_dir", runs[0]], "already holds a run"),
        (
            lambda runs: [*runs, "--shift", "a=b"],
            "--shift asks the joined model, which --output_dir names a folder for",
        ),
        (lambda runs: [*runs, "--thresholds", "label"], "Thresholds are for two classes"),
        (lambda runs: [*runs, "--output_dir", runs[0].parent / "new", "--ood", "a=nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line(runs, words, expected, capsys):
    assert main(["ensemble", *map(str, words(runs))]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1


def test_runs_of_other_rows_are_told_by_name(runs, tmp_path, capsys):
    assert main(["vision", *flags(tmp_path / "few", method="vanilla", max_eval_samples=20)]) == 0
    assert main(["ensemble", str(runs[0]), str(tmp_path / "few")]) == 2
    assert "few was judged on 20 rows, one on 40" in capsys.readouterr().err
