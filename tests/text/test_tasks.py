"""The table of GLUE tasks against what is published about them."""

from __future__ import annotations

import pytest

from logitmix_hf.builtin.tasks import BUILTIN_TASKS
from logitmix_hf.evaluation import GLUE_METRICS, METRICS, REGRESSION, SINGLE
from logitmix_hf.text.tasks import TASKS

# Wang et al. 2019, table 1: (test rows, sentences, classes); MNLI counts both halves
PAPER = {
    "cola": (1063, 1, 2),
    "sst2": (1821, 1, 2),
    "mrpc": (1725, 2, 2),
    "stsb": (1379, 2, 0),
    "qqp": (390_965, 2, 2),
    "mnli": (9796 + 9847, 2, 3),
    "qnli": (5463, 2, 2),
    "rte": (3000, 2, 2),
    "wnli": (146, 2, 2),
}


def test_the_tasks_are_those_of_the_paper():
    assert TASKS.keys() == PAPER.keys()
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in PAPER}


@pytest.mark.parametrize("name", PAPER)
def test_sizes_texts_and_classes_are_the_papers(name):
    task = TASKS[name]
    assert (sum(task.test_rows.values()), len(task.columns), len(task.label_names)) == PAPER[name]
    assert task.regression == (name == "stsb")


@pytest.mark.parametrize("name", PAPER)
def test_each_task_is_scored_as_evaluate_scores_it(name):
    task = TASKS[name]
    assert set(task.metrics) == set(GLUE_METRICS[name])
    assert set(task.metrics) <= METRICS[REGRESSION if task.regression else SINGLE].keys()


@pytest.mark.parametrize("name", PAPER)
def test_every_test_split_has_its_file(name):
    task = TASKS[name]
    assert task.submission.keys() == task.test.keys() == task.test_rows.keys()


def test_mnli_is_judged_on_both_halves():
    assert list(TASKS["mnli"].validation.values()) == ["validation_matched", "validation_mismatched"]
    assert list(TASKS["mnli"].test.values()) == ["test_matched", "test_mismatched"]


def test_one_is_the_class_that_f1_is_about():
    """MRPC and QQP report the F1 of paraphrases, WNLI and CoLA count a yes as 1; RTE, QNLI and MNLI count it as 0."""
    assert {name: TASKS[name].label_names[1] for name in ("mrpc", "qqp", "cola", "sst2", "wnli")} == {
        "mrpc": "equivalent",
        "qqp": "duplicate",
        "cola": "acceptable",
        "sst2": "positive",
        "wnli": "entailment",
    }
    assert {TASKS[name].label_names[0] for name in ("rte", "qnli", "mnli")} == {"entailment"}


@pytest.mark.parametrize("name", BUILTIN_TASKS)
def test_generated_tasks_have_the_shape_of_their_name(name):
    assert BUILTIN_TASKS[name].columns == TASKS[name].columns
    assert BUILTIN_TASKS[name].label_names == TASKS[name].label_names
