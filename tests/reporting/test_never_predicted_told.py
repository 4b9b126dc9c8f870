"""A class that is never answered is told in the card, the report and the terminal, and shown there, not obeyed."""

from __future__ import annotations

import csv
import json

import numpy as np
from cardrun import card, four_rows
from cardrun import section as under
from reportruns import labels_of, write_run
from tinyrun import flags

from logitmix_hf.cli import main


def test_in_the_card():
    text = card(predictions={"eval": four_rows(label_names=("a|<b>x", "fine"))})
    line = next(line for line in under(text, "Results").splitlines() if "Never predicted" in line)
    assert "(1 row): recall 0. The accuracy is 0.7500" in line
    assert "gives 0.7500" in line
    assert "<b>" not in line
    assert "Never predicted" not in card(predictions={"eval": four_rows(labels=np.array([1, 1, 1, 1]))})


def test_in_the_report(tmp_path):
    labels = labels_of("toy")
    runs = [str(write_run(tmp_path / "good")), str(write_run(tmp_path / "silent", "toy", "mixup", logits=np.eye(2)[labels * 0]))]  # fmt: skip  # noqa: E501
    assert main(["report", *runs, "--output_dir", str(tmp_path / "out"), "--bootstrap", "0"]) == 0
    share = f"{(labels == 0).mean():.4f}"
    for name in ("report.md", "report.html"):
        text = (tmp_path / "out" / name).read_text()
        assert text.count("Never predicted") == 1, name
        assert f"({(labels == 1).sum()} rows): recall 0. The accuracy is {share}" in text
    assert list(csv.DictReader((tmp_path / "out" / "results.csv").open()))


def test_in_the_terminal_after_a_run(tiny_model, files, tmp_path, capfd):
    rows = list(csv.DictReader((files / "train.csv").open()))
    rare = tmp_path / "rare.csv"
    with rare.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [["text", "stars"], *([row["text"], "often"] for row in rows), ["rare \x1b[31m", "x"], ["a", "x"]]
        )
    argv = flags(
        tiny_model, files, tmp_path / "out", train_file=rare, validation_file=rare, max_steps=3, method="vanilla"
    )
    assert main(["glue", *argv]) == 0
    assert "Never predicted: 'x' (2 rows): recall 0. The accuracy is 0.9600" in capfd.readouterr().err
    assert "Never predicted" in (tmp_path / "out" / "README.md").read_text()
    counted = json.loads((tmp_path / "out" / "data.json").read_text())["splits"]
    assert counted["train"]["classes"]["x"] == 2
    assert counted["validation"]["in_train"] == counted["validation"]["rows"]
