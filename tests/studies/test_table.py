"""What a study's table says: recomputed by another library, and by cases whose truth is known."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from reportruns import change_json, labels_of, logits_of, write_run
from scipy import stats
from sklearn.metrics import accuracy_score, log_loss
from tablestudies import cell_of, study_of, write_study

from logitmix_hf.errors import UserError
from logitmix_hf.reporting.comparison import tables
from logitmix_hf.studies.file import SHIPPED
from logitmix_hf.studies.latex import latex_text
from logitmix_hf.studies.table import FILES, write_table

pytest.importorskip("plotly")


NAME = "accuracy"


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def table(study, folder: Path, **options):
    return write_table(study, folder, draws=options.pop("draws", 500), **options)


def cells(found, method: str) -> dict[str, tables.Cell]:
    (row,) = [row for row in found.rows if row[0].text == method]
    return {head.text: cell for head, cell in zip(found.heads, row, strict=True)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    home = tmp_path_factory.mktemp("study")
    study = write_study(home, {"vanilla": 0.6, "logitmix": 0.95, "mixup": 0.6})
    return study, home / "out", table(study, home / "out")


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def binned_gap(p: np.ndarray, labels: np.ndarray) -> float:
    sure, right = p.max(axis=1), p.argmax(axis=1) == labels
    place = np.clip(np.ceil(sure * 15) - 1, 0, 14).astype(int)
    return sum(abs(sure[place == b].sum() - right[place == b].sum()) for b in range(15)) / len(labels)


def test_every_score_of_the_csv_is_what_scikit_learn_finds_in_the_parquet(whole):
    study, out, _ = whole
    told = {(r["run"], r["metric"]): float(r["value"]) for r in read(out / "table.csv")}
    for cell in study.cells:
        rows = pq.read_table(cell.folder / "predictions" / "validation.parquet").to_pydict()
        labels, p = np.array(rows["label"]), softmax(np.array(rows["logits"], dtype=np.float64))
        expected = {
            "accuracy": accuracy_score(labels, p.argmax(axis=1)),
            "nll": log_loss(labels, p),
            "ece": binned_gap(p, labels),
        }
        for name, value in expected.items():
            assert told[cell.folder.name, name] == pytest.approx(value, abs=1e-9), name


def test_the_differences_are_those_of_the_csv_and_their_p_of_all_flips(whole):
    _, out, _ = whole
    scores = read(out / "table.csv")
    tests = [row for row in read(out / "tests.csv") if row["metric"] == "accuracy"]
    assert {(row["task"], row["method"]) for row in tests} == {
        (task, method) for task in ("rte", "mnli-mm") for method in ("logitmix", "mixup")
    }
    for row in tests:
        of = {
            method: [
                float(r["value"])
                for r in scores
                if (r["task"], r["method"], r["metric"]) == (row["task"], method, "accuracy")
            ]
            for method in (row["method"], row["baseline"])
        }
        d = np.subtract(of[row["method"]], of[row["baseline"]])
        flips = [abs(np.dot(signs, d)) >= abs(d.sum()) - 1e-12 for signs in itertools.product((1, -1), repeat=6)]
        assert float(row["difference"]) == pytest.approx(d.mean(), abs=1e-12)
        assert float(row["p"]) == pytest.approx(np.mean(flips))
        assert float(row["p_a_above_b"]) == pytest.approx(np.mean((d > 0) + 0.5 * (d == 0)))
        assert float(row["low"]) < float(row["difference"]) < float(row["high"])


def test_what_is_refined_is_the_same_at_any_temperature(tmp_path):
    """Of a method whose logits are three times another's NLL differs, and nothing that a temperature takes away."""
    made = []
    for method, times in (("plain", 1.0), ("sure", 3.0)):
        for seed in (1, 2):
            labels = labels_of("rte", 160)
            logits = times * logits_of(labels, seed, 0.8)
            write_run(tmp_path / f"{method}-{seed}", "rte", method, seed, labels=labels, logits=logits)
            made.append(cell_of(tmp_path / f"{method}-{seed}", task="rte", method=method, seed=seed))
    metrics = ["eval_nll", "eval_nll_refined"]
    table(study_of("refined", made, {"baseline": "plain", "metrics": metrics}), tmp_path / "out", draws=50)
    found = {row["metric"]: row for row in read(tmp_path / "out" / "tests.csv")}
    assert abs(float(found["nll"]["difference"])) > 0.1
    for name in ("difference", "low", "high"):
        assert float(found["nll_refined"][name]) == pytest.approx(0, abs=1e-5)
    assert "NLL after a cross-fitted temperature" in (tmp_path / "out" / "table.md").read_text()


def test_holm_counts_methods_and_tasks_of_the_first_metric_alone(whole):
    _, out, found = whole
    tests = [row for row in read(out / "tests.csv") if row["metric"] == "accuracy"]
    least = min(float(row["p_holm"]) for row in tests)
    assert least == pytest.approx(4 * 2 / 2**6)  # 4 tests, each with six seeds that agree: 0.125, so nothing is bold
    assert not any(cell.strong for row in found[0].rows for cell in row)
    others = [row for row in read(out / "tests.csv") if row["metric"] in ("nll", "ece_at_t")]
    assert others
    assert all(row["p_holm"] == "" and row["exploratory"] == "true" for row in others)


def test_eight_seeds_on_one_task_make_a_large_gain_bold_and_no_loss(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.75, "better": 0.95, "worse": 0.5}, ["rte"], range(1, 9))
    found = table(study, tmp_path / "out")[0]
    assert cells(found, "better")["rte"].strong
    assert not cells(found, "worse")["rte"].strong
    assert "p = 0.0078, after Holm 0.0156" in cells(found, "better")["rte"].title
    assert f"\\textbf{{{cells(found, 'better')['rte'].text}}}" in (tmp_path / "out" / "table.tex").read_text()


def test_three_seeds_are_marked_and_told(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.55, "logitmix": 0.98}, ["rte"], (1, 2, 3))
    found = table(study, tmp_path / "out")[0]
    cell = cells(found, "logitmix")["rte"]
    assert cell.text.endswith("°")
    assert not cell.strong
    assert "3 seeds cannot have a p below 0.25" in (tmp_path / "out" / "table.md").read_text()
    study = write_study(tmp_path / "five", {"vanilla": 0.55, "logitmix": 0.98}, ["rte"], (1, 2, 3, 4, 5))
    table(study, tmp_path / "out")
    assert "5 seeds cannot have a p below 0.0625" in (tmp_path / "out" / "table.md").read_text()


def test_mean_rank_and_points_by_hand(whole):
    _, _, found = whole
    means = {
        m: [float(cells(found[0], m)[t].value) for t in ("rte", "mnli-mm")] for m in ("vanilla", "logitmix", "mixup")
    }
    ranks = stats.rankdata(-np.array(list(means.values())), axis=0).mean(axis=1)
    for method, rank in zip(means, ranks, strict=True):
        row = cells(found[0], method)
        assert float(row["mean"].value) == pytest.approx(np.mean(means[method]))
        assert float(row["rank"].value) == rank
        assert float(row["Borda"].value) == 2 * (3 - rank)


def test_the_baseline_after_temperature_stands_beside_what_was_trained(whole):
    _, _, found = whole
    nll, after = found[1], found[2]
    assert "after temperature" in after.caption
    row = cells(nll, "vanilla + T")
    assert row["rte"].text == cells(after, "vanilla")["rte"].text
    assert row["rank"].text == "–"
    assert not [row for row in found[0].rows if row[0].text == "vanilla + T"]


def test_a_method_that_lacks_a_run_has_no_mean_and_no_rank_and_the_others_are_ranked_without_it(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.7, "b": 0.9})
    shutil.rmtree(tmp_path / "rte-b-s2")
    said: list[str] = []
    with pytest.raises(UserError, match=r"1 run of the study 'toy' not done: rte b seed 2 .*--allow_missing"):
        table(study, tmp_path / "out", say=said.append)
    assert not said  # before any run is judged
    assert not (tmp_path / "out").exists()
    found = table(study, tmp_path / "out", allow_missing=True)[0]
    row = cells(found, "b")
    assert (row["mean"].text, row["rank"].text, row["Borda"].text) == ("–", "–", "–")
    assert "5/6, 1 missing" in row["rte"].small
    assert {float(cells(found, m)["rank"].value) for m in ("vanilla", "a")} <= {1.0, 1.5, 2.0}


def test_a_seed_that_diverged_is_told_and_hides_nothing(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9}, ["rte"])
    folder = tmp_path / "rte-a-s3"
    change_json(folder / "run.json", status="failed")
    (folder / "attempts.jsonl").write_text(
        json.dumps({"event": "end", "kind": "diverged", "line": "TrainingDiverged"}) + "\n"
    )
    found = table(study, tmp_path / "out")[0]
    row = cells(found, "a")
    assert "5/6, 1 diverged" in row["rte"].small
    assert row["mean"].text != "–"
    assert "Some seeds diverged" in (tmp_path / "out" / "table.md").read_text()
    (line,) = [row for row in read(tmp_path / "out" / "table.csv") if row["state"] == "diverged"]
    assert (line["method"], line["seed"], line["value"]) == ("a", "3", "")
    assert {row["seeds"] for row in read(tmp_path / "out" / "tests.csv")} == {"5"}


def test_data_that_changed_half_way_is_two_tasks_without_a_test_between_them(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9}, ["rte"], (1, 2))
    for cell in study.cells:
        if cell.labels["method"] == "a" and cell.labels["seed"] == 2:
            data = json.loads((cell.folder / "run.json").read_text())["data"]
            change_json(cell.folder / "run.json", data=data | {"fingerprint": "other"})
    found = table(study, tmp_path / "out")[0]
    assert [head.text for head in found.heads][1:3] == ["rte · data 1 of 2", "rte · data 2 of 2"]
    assert read(tmp_path / "out" / "tests.csv") == []
    assert "The data changed half-way: rte" in (tmp_path / "out" / "table.md").read_text()
    assert cells(found, "a")["rank"].text == "–"


def test_seeds_that_were_judged_on_other_rows_are_told_as_what_they_are(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9}, ["rte"], (1, 2))
    for cell in study.cells:
        data = json.loads((cell.folder / "run.json").read_text())["data"]
        change_json(cell.folder / "run.json", data=data | {"fingerprint": f"of seed {cell.labels['seed']}"})
    said: list[str] = []
    table(study, tmp_path / "out", say=said.append)
    assert any(line.startswith("Seeds were judged on other rows") and "rte" in line for line in said)


def test_training_rows_that_every_seed_draws_anew_are_one_task(tmp_path):
    """A subset that the seed draws has a fingerprint a seed: a part of what a seed is, as long as the methods share it."""
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9}, ["rte"], (1, 2, 3))
    for cell in study.cells:
        record = json.loads((cell.folder / "run.json").read_text())
        data = record["data"] | {"fingerprint": f"of seed {cell.labels['seed']}"}
        arguments = record["arguments"] | {"max_train_samples": 100}
        change_json(cell.folder / "run.json", data=data, arguments=arguments)
    found = table(study, tmp_path / "out")[0]
    assert [head.text for head in found.heads][1] == "rte"
    assert {row["seeds"] for row in read(tmp_path / "out" / "tests.csv")} == {"3"}
    # The rows of one method changed under the others: no more a matter of the seed.
    change_json(study.cells[-1].folder / "run.json", data=data | {"fingerprint": "of other rows"})
    found = table(study, tmp_path / "out")[0]
    assert [head.text for head in found.heads][1].startswith("rte · data 1 of")


def test_several_versions_are_a_warning_or_a_mistake(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9}, ["rte"], (1, 2))
    for cell in study.cells:
        change_json(cell.folder / "run.json", environment={"versions": {"torch": f"2.{cell.labels['seed']}"}})
    table(study, tmp_path / "out")
    assert "several versions: torch 2.1 and 2.2" in (tmp_path / "out" / "table.md").read_text()
    with pytest.raises(UserError, match="--strict_versions"):
        table(study, tmp_path / "strict", strict_versions=True)


def test_six_tasks_are_tested_over_tasks_and_five_are_not(tmp_path):
    tasks = [f"t{'x' * n}" for n in range(6)]
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9, "b": 0.7}, tasks, (1, 2), rows=80)
    table(study, tmp_path / "out", draws=100, rope=0.005)
    tests = read(tmp_path / "out" / "tests.csv")
    bayes = {r["test"].split()[-1]: float(r["statistic"]) for r in tests if "Bayes" in r["test"] and r["method"] == "a"}
    assert sum(bayes.values()) == pytest.approx(1)
    assert bayes["a"] > 0.99  # six of six tasks, .3 ahead
    (a,) = [row for row in tests if (row["test"], row["metric"], row["method"]) == ("Wilcoxon", "headline", "a")]
    assert float(a["p"]) == pytest.approx(2 / 2**6)  # all six one way
    assert [row for row in tests if (row["test"], row["metric"]) == ("Iman-Davenport", "headline")]
    five = study_of("five", [cell for cell in study.cells if cell.labels["task"] != tasks[0]], study.compare)
    table(five, tmp_path / "five", draws=100)
    assert {row["test"] for row in read(tmp_path / "five" / "tests.csv")} == {"sign flip"}


def test_other_axes_are_rows_and_each_meets_its_own_baseline(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9}, ["rte"], (1, 2))
    twice = [cell_of(cell.folder, **cell.labels, bits=bits) for cell in study.cells for bits in (8, 16)]
    found = table(study_of("toy", twice, study.compare), tmp_path / "out")[0]
    assert [row[0].text for row in found.rows] == ["vanilla, bits 8", "vanilla, bits 16", "a, bits 8", "a, bits 16"]
    pairs = {(row["method"], row["baseline"]) for row in read(tmp_path / "out" / "tests.csv")}
    assert pairs == {("a, bits 8", "vanilla, bits 8"), ("a, bits 16", "vanilla, bits 16")}


def test_mistakes_are_one_line(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6}, ["rte"], (1,), baseline="vanila")
    with pytest.raises(UserError, match="names 'vanila', which no run of the study has. .*Methods: vanilla"):
        table(study, tmp_path / "out")
    study = write_study(tmp_path, {"vanilla": 0.6}, ["rte"], (1,), metrics=["eval_bleu"])
    with pytest.raises(UserError, match="metrics that compare names: eval_bleu"):
        table(study, tmp_path / "out")
    study, said = write_study(tmp_path, {"vanilla": 0.6}, ["rte"], (1,), metrics=["eval_ece", "spearmanr"]), []
    table(study, tmp_path / "one", say=said.append)
    assert any("No run has spearmanr" in line for line in said)
    with pytest.raises(UserError, match="No run of the study 'none' is done yet"):
        table(study_of("none", [cell_of(tmp_path / "nowhere", task="rte", method="a")]), tmp_path / "out")
    (tmp_path / "paper.csv").write_text("task,method\nrte,vanilla\n")
    with pytest.raises(UserError, match=r"paper.csv' cannot be read .*columns method, task, metric and mean"):
        table(study, tmp_path / "out", paper=tmp_path / "paper.csv")
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "table.md").write_text("mine")
    with pytest.raises(UserError, match="left alone"):
        table(study, tmp_path / "out")


def test_published_numbers_stand_beside_ours(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9}, ["rte"], (1, 2))
    (tmp_path / "paper.csv").write_text("method,task,metric,mean,sd,source\na,rte,accuracy,0.7123,0.01,p. 7\n")
    found = table(study, tmp_path / "out", paper=tmp_path / "paper.csv")[0]
    assert "paper 0.7123 ± 0.0100" in cells(found, "a")["rte"].small
    assert "paper" not in cells(found, "vanilla")["rte"].small


def test_the_papers_mnli_is_the_mismatched_split_of_the_task(tmp_path):
    """By the names of DESIGN: a run of MNLI judges two splits, and the paper's table 3 has the second."""
    study = write_study(tmp_path, {"vanilla": 0.6, "logitmix": 0.9}, ["mnli"], (1,))
    for cell in study.cells:
        for split in ("validation_matched", "validation_mismatched"):
            shutil.copy(cell.folder / "predictions/validation.parquet", cell.folder / f"predictions/{split}.parquet")
        data = json.loads((cell.folder / "run.json").read_text())["data"]
        rows = data["splits"]["eval"]["rows"]
        names = {"eval": "validation_matched", "eval_mm": "validation_mismatched"}
        data["splits"] = {prefix: {"split": name, "rows": rows} for prefix, name in names.items()}
        change_json(cell.folder / "run.json", data=data)
    found = table(study, tmp_path / "out", paper=SHIPPED / "table3.paper.csv")[0]
    own = cells(found, "logitmix")
    assert "paper 0.8473" in own["mnli · validation_mismatched"].small
    assert "paper" not in own["mnli · validation_matched"].small


def test_scores_of_corrupted_images_are_told_and_not_tested(tmp_path):
    """Of them a run keeps no rows."""
    study = write_study(tmp_path, {"vanilla": 0.6, "a": 0.9}, ["rte"], (1, 2), metrics=["corrupted_all19_accuracy"])
    for cell in study.cells:
        value = 0.5 + 0.1 * cell.labels["seed"] + 0.05 * (cell.labels["method"] == "a")
        change_json(cell.folder / "eval_results.json", corrupted_all19_accuracy=value)
    (found,) = table(study, tmp_path / "out")
    assert cells(found, "a")["rte"].text == "0.7000"
    assert cells(found, "a")["rank"].text == "1.00"
    assert read(tmp_path / "out" / "tests.csv") == []


def test_cost_is_told_by_device(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6}, ["rte"], (1, 2))
    change_json(
        tmp_path / "rte-vanilla-s1" / "run.json", seconds=7200, environment={"processes": 4, "device": {"name": "H100"}}
    )
    text = (table(study, tmp_path / "out"), (tmp_path / "out" / "table.md").read_text())[1]
    assert "| vanilla | H100 | 1 | 8.00 | 900 | 50.0 | – |" in text  # two hours of four devices


EVIL = r"a_b & 50% $x^2$ #1 {~} \input{x} <é> naïve"


def test_words_of_a_user_are_no_latex_and_no_markup(tmp_path):
    assert latex_text("a_b\\x") == r"a\_b\textbackslash{}x"
    assert latex_text("--alpha 1 – --- 2") == "-{}-alpha 1 -- -{}-{}- 2", "a flag is no dash"
    folder = write_run(tmp_path / "run", "rte", "vanilla")
    cells = [cell_of(folder, task="<b>rte_1</b>", method=EVIL, seed=1)]
    table(study_of("<i>s</i>", cells, {"baseline": EVIL, "metrics": ["headline"]}), tmp_path / "out")
    page = (tmp_path / "out" / "study.html").read_text()
    assert "<b>rte_1" not in page
    assert "<i>s</i>" not in page


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex (Debian: apt install texlive-latex-base)")
@pytest.mark.slow
def test_the_latex_compiles(tmp_path):
    study = write_study(tmp_path, {"vanilla": 0.6, EVIL: 0.98}, ["rte"], (1, 2, 3))
    table(study, tmp_path / "out")
    pages = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{table.tex}\\end{document}"
    (tmp_path / "out" / "all.tex").write_text(pages)
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(words, cwd=tmp_path / "out", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_all_files_are_written_and_nothing_else(whole):
    assert sorted(path.name for path in whole[1].iterdir()) == sorted(FILES)


def test_the_table_of_another_study_is_left_alone(tmp_path):
    one = write_study(tmp_path / "one", {"vanilla": 0.6, "a": 0.9}, ["rte"], (1, 2))
    table(one, tmp_path / "report")
    table(one, tmp_path / "report")
    kept = {path: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    with pytest.raises(UserError, match=f"holds the table of the study '{one.name}'; it is left alone"):
        table(replace(one, name="two"), tmp_path / "report")
    assert kept == {path: path.read_bytes() for path in kept}
