"""Text tasks known by name, those of GLUE (Wang et al. 2019, arXiv:1804.07461): columns, label names, splits, scores,
leaderboard files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

GLUE = "nyu-mll/glue"
"""The data set on the Hub that GLUE's tasks are configurations of."""

_DEV: Mapping[str, str] = {"validation": "validation"}
_TEST: Mapping[str, str] = {"test": "test"}


@dataclass(frozen=True)
class Task:
    """One task as its data set lays it out; what is not given is as in GLUE.

    name:        what ``--task`` takes.
    columns:     the text column, or the two of a pair, in the order the model reads them. The label's is ``label``.
    label_names: in the order of the label numbers; empty for a regression.
    metrics:     what is reported beside calibration, by the names of ``evaluate``'s "glue"; the first is the headline.
    validation:  name of a predictions file -> split of the data set. MNLI has two.
    test:        likewise; labels of test splits are not public (those of MRPC are).
    submission:  key of ``test`` -> file of the leaderboard, where there is one.
    written:     what the leaderboard wants in a row: the label's name, its number, or a value.
    test_rows:   key of ``test`` -> rows of the official split.
    dataset:     where it is read when no flag says so: an id on the Hub, or a folder in its layout.
    config:      its configuration there (the Hub's word for the only one is "default"); "": the task's name.
    prefixes:    key of ``validation`` -> what the keys of its scores begin with, where custom has a word for it.
    """

    name: str
    columns: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    submission: Mapping[str, str] = field(default_factory=dict)
    test_rows: Mapping[str, int] = field(default_factory=dict)
    written: Literal["name", "number", "value"] = "number"
    train: str = "train"
    validation: Mapping[str, str] = field(default_factory=lambda: _DEV)
    test: Mapping[str, str] = field(default_factory=lambda: _TEST)
    dataset: str = GLUE
    config: str = ""
    prefixes: Mapping[str, str] = field(default_factory=dict)

    @property
    def regression(self) -> bool:
        """True where the label is a value (STS-B), not a class."""
        return not self.label_names


_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "cola",
            ("sentence",),
            ("unacceptable", "acceptable"),
            ("matthews_correlation",),
            submission={"test": "CoLA.tsv"},
            test_rows={"test": 1063},
        ),
        Task(
            "sst2",
            ("sentence",),
            ("negative", "positive"),
            ("accuracy",),
            submission={"test": "SST-2.tsv"},
            test_rows={"test": 1821},
        ),
        Task(
            "mrpc",
            _PAIR,
            ("not_equivalent", "equivalent"),
            ("accuracy", "f1"),
            submission={"test": "MRPC.tsv"},
            test_rows={"test": 1725},
        ),
        Task(
            "stsb",
            _PAIR,
            (),
            ("spearmanr", "pearson"),
            submission={"test": "STS-B.tsv"},
            test_rows={"test": 1379},
            written="value",
        ),
        Task(
            "qqp",
            ("question1", "question2"),
            ("not_duplicate", "duplicate"),
            ("accuracy", "f1"),
            submission={"test": "QQP.tsv"},
            test_rows={"test": 390_965},
        ),
        Task(
            "mnli",
            ("premise", "hypothesis"),
            ("entailment", "neutral", "contradiction"),
            ("accuracy",),
            submission={"test_matched": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
            test_rows={"test_matched": 9796, "test_mismatched": 9847},
            written="name",
            validation={
                "validation_matched": "validation_matched",
                "validation_mismatched": "validation_mismatched",
            },
            test={"test_matched": "test_matched", "test_mismatched": "test_mismatched"},
            prefixes={"validation_mismatched": "eval_mm"},
        ),
        Task(
            "qnli",
            ("question", "sentence"),
            _ENTAILMENT,
            ("accuracy",),
            submission={"test": "QNLI.tsv"},
            test_rows={"test": 5463},
            written="name",
        ),
        Task(
            "rte",
            _PAIR,
            _ENTAILMENT,
            ("accuracy",),
            submission={"test": "RTE.tsv"},
            test_rows={"test": 3000},
            written="name",
        ),
        Task(
            "wnli",
            _PAIR,
            ("not_entailment", "entailment"),
            ("accuracy",),
            submission={"test": "WNLI.tsv"},
            test_rows={"test": 146},
        ),
    )
}
"""Every task by name. Sources: the task table of the GLUE paper, the features of ``nyu-mll/glue`` on the Hub and the
submission format of gluebenchmark.com/faq."""
