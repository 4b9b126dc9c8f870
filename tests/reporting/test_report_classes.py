"""The tables of classes in a report: numbers as scikit-learn's, sorted by values, bounded."""

from __future__ import annotations

import re

import numpy as np
from reportruns import labels_of, write_run
from sklearn.metrics import recall_score

from logitmix_hf.cli import main


def test_every_class_of_the_first_run_of_each_method(tmp_path):
    labels = labels_of("toy")
    said = np.where(np.arange(len(labels)) % 5 == 0, 1 - labels, labels)
    runs = [str(write_run(tmp_path / "good")), str(write_run(tmp_path / "worse", "toy", "mixup", logits=4 * np.eye(2)[said]))]  # fmt: skip  # noqa: E501
    assert main(["report", *runs, "--output_dir", str(tmp_path / "out"), "--bootstrap", "0"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    (table,) = re.findall(r"<caption>[^<]*classes, worse</caption>.*?</table>", page, re.DOTALL)
    for recall in recall_score(labels, said, average=None):
        assert f">{recall:.4f}<" in table
    assert 'data-first="descending"' in table
    text = (tmp_path / "out" / "report.md").read_text()
    assert text.count("classes, ") == 2
    assert re.search(r"^\| class \| rows \| precision \| recall \| F1 \| ECE \|$", text, re.MULTILINE)
