"""What a study file may say; each mistake is one line that begins with the file."""

from __future__ import annotations

import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.studies.cells import asked_runs
from logitmix_hf.studies.file import find_file, parse_file, read_file

GOOD = """
study: t
fixed: {model: builtin, bf16: true, learning_rate: 1e-3, freeze: null}
grid: {task: [rte, mnli], method: [vanilla, mixup], seed: [1, 2]}
cases: {early: {method: logitmix, site: embeddings}}
exclude: [{task: mnli, method: mixup}]
override: [{when: {task: mnli}, set: {num_train_epochs: 2}}]
"""


def test_grid_and_cases_are_multiplied_out():
    runs = asked_runs(parse_file(GOOD, "t.yaml"))
    assert [(run.labels["task"], run.labels["method"], run.labels["seed"]) for run in runs] == [
        ("rte", "vanilla", 1),
        ("rte", "vanilla", 2),
        ("rte", "mixup", 1),
        ("rte", "mixup", 2),
        ("mnli", "vanilla", 1),
        ("mnli", "vanilla", 2),
        ("rte", "early", 1),
        ("rte", "early", 2),
        ("mnli", "early", 1),
        ("mnli", "early", 2),
    ]
    assert (
        " ".join(runs[0].words)
        == "--model builtin --bf16 true --learning_rate 1e-3 --task rte --method vanilla --seed 1"
    )
    assert runs[-1].words[-6:] == ["--method", "logitmix", "--site", "embeddings", "--num_train_epochs", "2"]
    assert "--num_train_epochs" not in runs[0].words


def test_a_case_of_another_flag_is_multiplied_with_the_methods():
    text = "study: t\ngrid: {method: [vanilla, mixup]}\ncases: {ls: {label_smoothing_factor: .1}}"
    runs = asked_runs(parse_file(text, "t"))
    assert [run.labels["method"] for run in runs] == ["vanilla", "mixup", "vanilla-ls", "mixup-ls"]


def test_values_of_several_words_and_below_zero():
    runs = asked_runs(parse_file("study: t\ngrid: {shift: [[a=x, b=y], c=z]}\nfixed: {weight: -1}", "t"))
    assert [run.words for run in runs] == [["--weight=-1", "--shift", "a=x", "b=y"], ["--weight=-1", "--shift", "c=z"]]
    assert [run.labels["shift"] for run in runs] == ["a=x+b=y", "c=z"]


BAD = {
    "": "this file holds nothing",
    "- a\n- b": "this file holds a list",
    "study: [": "this is no YAML",
    "study: t\n\tgrid: x": "this is no YAML",
    "study: t\nstudy: u\ngrid: {seed: [1]}": "'study' is given twice",
    "study: t\ngrid: {seed: [1], seed: [2]}": "'seed' is given twice",
    "grid: {seed: [1]}": "study: needs a name",
    "study: a/b\ngrid: {seed: [1]}": "study: needs a name",
    "study: ..\ngrid: {seed: [1]}": "study: needs a name",
    "study: t": "there is nothing to run",
    "study: t\ngird: {seed: [1]}": "Did you mean 'grid'?",
    "study: t\ncommand: gleu\ngrid: {seed: [1]}": "Did you mean 'glue'?",
    "study: t\ngrid: [seed]": "grid: needs `key: value`",
    "study: t\ngrid: {seed: 1}": "write [1]",
    "study: t\ngrid: {seed: []}": "grid: seed has no value",
    "study: t\ngrid: {seed: [1, 1]}": "names a value twice",
    "study: t\ngrid: {seed: [{a: 1}]}": "flags take words and numbers",
    "study: t\ngrid: {seed: [2024-01-01]}": "put it in quotes",
    "study: t\ngrid: {seed: [.nan]}": ".nan is no number",
    "study: t\ngrid: {1: [1]}": "1 is no name",
    "study: t\ngrid: {--seed: [1]}": "without dashes in front",
    "study: t\ngrid: {seed: [1]}\nfixed: {seed: 2}": "stands in fixed: and in grid:",
    "study: t\ngrid: {seed: [1]}\nfixed: {output_dir: x}": "the study's own business",
    "study: t\ngrid: {seed: [1]}\nfixed: {x: []}": "has no value",
    "study: t\ngrid: {seed: [1]}\nresources: {gpu: 1}": "Did you mean 'gpus'?",
    "study: t\ngrid: {seed: [1]}\nresources: {cpus: 0}": "resources: cpus must be a number at least 1",
    "study: t\ngrid: {seed: [1]}\nresources: {gpus: 1.5}": "a whole number, or a share below 1",
    "study: t\ngrid: {seed: [1]}\nresources: {gpus: lots}": "resources: gpus must be a number",
    "study: t\ngrid: {seed: [1]}\nretries: -1": "retries: must be a whole number",
    "study: t\ngrid: {seed: [1]}\nretries: yes": "retries: must be a whole number",
    "study: t\ngrid: {seed: [1]}\nkeep: [weights]": "keep: knows predictions, card, model, checkpoints",
    "study: t\ngrid: {seed: [1]}\nkeep: [model]": "must name predictions",
    "study: t\ngrid: {seed: [1]}\ncompare: {metrics: nll}": "compare: metrics needs a list",
    "study: t\ngrid: {seed: [1]}\ncompare: {base: x}": "Did you mean 'baseline'?",
    "study: t\ngrid: {seed: [1]}\ncompare: {baseline: true}": "baseline needs the name",
    "study: t\ngrid: {seed: [1]}\ncompare: {metrics: [ece, ece]}": "names 'ece' twice",
    "study: t\ngrid: {seed: [1]}\ncompare: {metrics: [ecce]}": "no score. Did you mean 'ece'?",
    "study: t\ngrid: {seed: [1]}\nfixed: {max-steps: 1, max_steps: 2}": "max_steps is given twice, with - and with _",
    "study: t\ngrid: {seed: [1]}\nfixed: {help: true}": "the study's own business",
    "study: t\ngrid: {seed: [1]}\nexclude: {seed: 1}": "exclude: needs a list",
    "study: t\ngrid: {seed: [1]}\nexclude: [{sed: 1}]": "Did you mean 'seed'?",
    "study: t\ngrid: {seed: [1]}\nexclude: [{seed: 3}]": "no run matches",
    "study: t\ngrid: {seed: [1]}\nexclude: [{seed: 1}]": "leaves no run",
    "study: t\ngrid: {seed: [1]}\noverride: [{seed: 1}]": "no key of override: 'seed'",
    "study: t\ngrid: {seed: [1]}\noverride: [{when: {seed: 1}}]": "needs `when:` and `set:`",
    "study: t\ngrid: {seed: [1]}\ncases: [early]": "cases: needs `key: value`",
    "study: t\nsearch: {alpha: {log: [.5, 10]}}": "trials: must be a whole number",
    "study: t\ntrials: 3\ngrid: {seed: [1]}": "there is no search:",
    "study: t\nsearch: {alpha: {log: [0, 10]}}\ntrials: 3": "search: alpha: log must be a number above 0, got 0",
    "study: t\nsearch: {alpha: {log: [-1, 10]}}\ntrials: 3": "above 0, got -1",
    "study: t\nsearch: {alpha: {log: [10, 1]}}\ntrials: 3": "low below high",
    "study: t\nsearch: {alpha: {log: [1]}}\ntrials: 3": "log takes [low, high]",
    "study: t\nsearch: {alpha: {lgo: [1, 2]}}\ntrials: 3": "Did you mean 'log'?",
    "study: t\nsearch: {alpha: {log: [1, 2], int: [1, 2]}}\ntrials: 3": "takes a list of values, or one of",
    "study: t\nsearch: {k: {int: [1, 2.5]}}\ntrials: 3": "int takes whole numbers, got 2.5",
    "study: t\nsearch: {alpha: 3}\ntrials: 3": "search: alpha needs a list of values",
    "study: t\nsearch: {site: []}\ntrials: 3": "search: site has no value",
    "study: t\nsearch: {}\ntrials: 3": "search: names no flag",
    "study: t\nsearch: {site: [a, b]}\ntrials: 0": "trials: must be a whole number, 1 or more, got 0",
    "study: t\nsearch: {site: [a, b]}\ntrials: many": "trials: must be a whole number",
    "study: t\nsearch: {site: [a, b]}\ntrials: 2\nfixed: {site: a}": "site stands in fixed: and in search: give it once",
    "study: t\nsearch: {site: [a, b]}\ntrials: 2\ngrid: {site: [a]}": "site stands in grid: and in search:",
    "study: t\nsearch: {si-te: [a]}\ntrials: 2\ncases: {c: {si_te: a}}": "si_te stands in cases: c: and in search:",
    "study: t\nsearch: {seed: [1, 2]}\ntrials: 2": "seed is what a table compares",
    "study: t\nsearch: {site: [a]}\ntrials: 2\nobjective: acuracy": "Did you mean 'accuracy'?",
    "study: t\nsearch: {site: [a]}\ntrials: 2\nobjective: eval_confidence_gap": "no score to choose by",
    "study: t\nsearch: {site: [a]}\ntrials: 2\nhold_out: 1": "hold_out must be a number above 0 and at most 0.9",
    "study: &a [*a]": "study: needs a name",
}


@pytest.mark.parametrize("text", BAD)
def test_a_mistake_is_one_line_that_names_file_and_place(text):
    with pytest.raises(UserError) as told:
        asked_runs(parse_file(text, "bad.yaml"))
    message = str(told.value)
    assert message.startswith("bad.yaml: ")
    assert BAD[text] in message
    assert "\n" not in message


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"study: \xff\xfe")
    with pytest.raises(UserError, match="cannot be read as text"):
        read_file(tmp_path / "bytes.yaml")
    for name in ("nowhere.yaml", str(tmp_path), "a\0b", "x" * 5000):
        with pytest.raises(UserError, match="There is no study file"):
            find_file(name)
