"""What a report tells of members and of the last evaluations of a training."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from reportruns import labels_of, logits_of, write_run

from logitmix_hf.cli import main
from logitmix_hf.evaluation import Predictions


def rows_of(folder):
    return list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))


def with_evaluations(run, *accuracies):
    path = run / "trainer_state.json"
    history = json.loads(path.read_text())["log_history"]
    history = [line for line in history if "eval_accuracy" not in line]
    history += [
        {"step": step, "eval_accuracy": value, "eval_nll": 1 - value, "eval_ece": 0.1}
        for step, value in enumerate(accuracies)
    ]
    path.write_text(json.dumps({"log_history": history}))
    return run


def test_the_mean_of_the_last_evaluations(tmp_path):
    run = with_evaluations(write_run(tmp_path / "a"), 0.1, 0.5, 0.6, 0.7)
    out = tmp_path / "out"
    assert main(["report", str(run), "--output_dir", str(out), "--bootstrap", "0", "--last", "3"]) == 0
    (row,) = rows_of(out)
    assert float(row["last_accuracy"]) == pytest.approx(0.6)
    assert float(row["last_nll"]) == pytest.approx(0.4)
    assert "mean of the last evaluations" in (out / "report.html").read_text()


def test_a_training_with_fewer_evaluations_has_no_such_mean(tmp_path):
    run = with_evaluations(write_run(tmp_path / "a"), 0.5, 0.6)
    assert main(["report", str(run), "--output_dir", str(tmp_path / "out"), "--bootstrap", "0", "--last", "3"]) == 0
    assert "last_accuracy" not in rows_of(tmp_path / "out")[0]


def test_members_stand_beside_what_they_give_together(tmp_path):
    labels = labels_of("toy")
    members = np.stack([logits_of(labels, seed) for seed in (1, 2)], 1)
    run = write_run(tmp_path / "a", logits=members.mean(1), labels=labels)
    path = run / "predictions" / "validation.parquet"
    Predictions(members.mean(1), labels, ("no", "yes"), members=members).save(path)
    assert main(["report", str(run), "--output_dir", str(tmp_path / "out"), "--bootstrap", "0"]) == 0
    (row,) = rows_of(tmp_path / "out")
    wrong = members.argmax(2) != labels[:, None]
    assert float(row["member_accuracy"]) == pytest.approx(1 - wrong.mean())
    assert float(row["d_re"]) == pytest.approx((wrong.sum(1) == 1).sum() / (wrong.sum(1) == 2).sum())


def test_a_negative_number_is_told(tmp_path, capsys):
    run = write_run(tmp_path / "a")
    assert main(["report", str(run), "--last", "-1"]) == 2
    assert "--last" in capsys.readouterr().err
