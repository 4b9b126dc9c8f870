"""``logitmix card RUN`` on a folder made by hand, as a user types it."""

from __future__ import annotations

import json

import huggingface_hub
import pytest
import yaml
from cardrun import CONFIG, RESULTS, metadata, record, section, write_run

from logitmix_hf.cli import main
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.training.judge import write_last_card


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "rte-logitmix")


def logitmix_card(*words):
    return main(["card", *map(str, words)])


def test_the_card_is_written_from_the_folder_alone(run, capsys):
    assert logitmix_card(run) == 0
    assert capsys.readouterr().out == f"wrote {run}/README.md\n"
    text = (run / "README.md").read_text()
    assert text.startswith("---\n")
    assert "# rte-logitmix" in text
    assert "The logits of a mixture should equal the mixture of the logits." in text  # the method's idea
    assert f'model="{run}"' in section(text, "Use")
    assert "[0.7000, 0.8000]" in section(text, "Results")
    assert "(reliability.png)" in section(text, "Results")
    assert "T = 1.5000" in section(text, "Temperature")
    assert "(calibration.png)" not in text
    assert "| validation | 50% |" in section(text, "Coverage")
    assert "NVIDIA H100" in section(text, "Hardware and energy")
    found = metadata(text)
    assert found.datasets == ["nyu-mll/glue"]
    assert {one.metric_type for one in found.eval_results} == {"accuracy", "ece", "nll"}


def test_reliability_before_and_after_is_shown_where_it_is(run):
    (run / "calibration.png").write_bytes(b"picture")
    assert logitmix_card(run) == 0
    assert "(calibration.png)" in section((run / "README.md").read_text(), "Temperature")


def test_new_numbers_come_in_and_ones_own_words_stay(run, capsys):
    assert logitmix_card(run) == 0
    text = (run / "README.md").read_text()
    (run / "README.md").write_text(
        text.replace("## Limits\n", "## Limits\n\n- Not for Welsh.\n") + "\n## Thanks\n\nAda\n"
    )
    (run / "eval_results.json").write_text(json.dumps({**RESULTS, "eval_accuracy": 0.8125}))
    capsys.readouterr()
    assert logitmix_card(run) == 0
    said = capsys.readouterr().out
    assert "kept as you changed them: Limits (--overwrite replaces them)" in said
    text = (run / "README.md").read_text()
    assert "0.8125" in section(text, "Results")
    assert "Not for Welsh" in section(text, "Limits")
    assert "Ada" in section(text, "Thanks")
    assert logitmix_card(run, "--overwrite") == 0
    assert "Welsh" not in (run / "README.md").read_text()


def test_a_card_that_does_not_say_what_is_ours_is_left_alone(run, capsys):
    (run / "README.md").write_text("# Mine\n")
    assert logitmix_card(run) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert "--overwrite" in line
    assert (run / "README.md").read_text() == "# Mine\n"


def test_a_folder_with_no_more_than_a_record_has_a_card_too(tmp_path):
    run = write_run(tmp_path / "bare", results=None, intervals=None, config=None)
    for name in ("reliability.png", "predictions/validation.parquet"):
        (run / name).unlink()
    assert logitmix_card(run) == 0
    text = (run / "README.md").read_text()
    assert "This run was not judged" in text
    assert "reliability.png" not in text
    for heading in ("Temperature", "Coverage"):
        assert f"## {heading}" not in text
    assert 'model="google-bert/bert-base-uncased"' in text  # no model lies here


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "run.json").unlink(), "no run.json of ours"),
        (lambda run: (run / "run.json").write_text(json.dumps(record(status="failed"))), "is not finished"),
        (lambda run: (run / "intervals.json").write_text("{"), "cannot be read as JSON"),
        (lambda run: (run / "intervals.json").write_text("[" * 100_000), "cannot be read as JSON"),
        (lambda run: (run / "run.json").write_text(json.dumps({**record(), "method": "x"})), "under 'method', but 'x'"),
        (
            lambda run: (run / "predictions/validation.parquet").write_bytes(b"x"),
            "not a file that Predictions.save wrote",
        ),
    ],
)
def test_a_folder_that_is_no_finished_run_is_one_line(run, capsys, spoil, says):
    spoil(run)
    assert logitmix_card(run) == 2
    line = capsys.readouterr().err
    assert says in line
    assert line.count("\n") == 1
    assert not (run / "README.md").exists()


def test_mistakes_of_the_command_line_are_one_line(run, capsys):
    assert main(["card"]) == 2
    assert "needs the folder of a run first" in capsys.readouterr().err
    assert logitmix_card(run, "--overwrit") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_eval_results_hold_the_headline_score_as_the_hub_reads_it(run, capsys):
    assert logitmix_card(run, "--eval_results", "true") == 0
    assert f"wrote {run}/.eval_results/glue.yaml" in capsys.readouterr().out
    written = yaml.safe_load((run / ".eval_results" / "glue.yaml").read_text())
    (entry,) = huggingface_hub.parse_eval_result_entries(written)
    assert (entry.dataset_id, entry.task_id, entry.value) == ("nyu-mll/glue", "rte", 0.75)
    assert entry.date == "2026-11-25T07:26:17+00:00"
    assert entry.notes == "accuracy of the split validation"
    assert ".eval_results/glue.yaml" in RunFolder(run).files()


def test_both_dev_sets_of_mnli_are_tasks_of_their_own(tmp_path):
    splits = {"eval": {"split": "validation_matched"}, "eval_mm": {"split": "validation_mismatched"}}
    data = {"name": "mnli", "config": "mnli", "splits": splits}
    run = write_run(tmp_path / "mnli", record(data=data), {**RESULTS, "eval_mm_accuracy": 0.7})
    assert logitmix_card(run, "--eval_results") == 0
    entries = huggingface_hub.parse_eval_result_entries(yaml.safe_load((run / ".eval_results/glue.yaml").read_text()))
    assert {entry.task_id: entry.value for entry in entries} == {"mnli_matched": 0.75, "mnli_mismatched": 0.7}


@pytest.mark.parametrize(
    ("changes", "results", "says"),
    [
        ({"data": {"kind": "folder"}}, RESULTS, "'nyu-mll/glue' came from a folder"),
        ({"data": {"kind": "files", "source": "a.csv"}}, RESULTS, "'a.csv' came from files"),
        ({"data": {"synthetic": True}}, RESULTS, "a generator"),
        ({"arguments": {"max_eval_samples": 100}}, RESULTS, "at most 100 rows"),
        ({}, {"eval_ece": 0.1}, "has no accuracy"),
    ],
)
def test_what_is_no_benchmark_result_is_refused(tmp_path, capsys, changes, results, says):
    run = write_run(tmp_path / "run", record(**changes), results)
    assert logitmix_card(run, "--eval_results") == 2
    line = capsys.readouterr().err
    assert says in line
    assert line.count("\n") == 1
    assert not (run / ".eval_results").exists()
    assert not (run / "README.md").exists()


def test_an_older_client_says_so(run, capsys, monkeypatch):
    monkeypatch.delitem(vars(huggingface_hub), "EvalResultEntry", raising=False)
    monkeypatch.setattr(huggingface_hub, "__getattr__", lambda name: (_ for _ in ()).throw(AttributeError(name)))
    assert logitmix_card(run, "--eval_results") == 2
    assert "update it" in capsys.readouterr().err


def test_an_overwritten_run_leaves_neither_benchmark_scores_nor_measurements_of_the_last(run):
    (run / ".eval_results").mkdir()
    (run / ".eval_results" / "glue.yaml").write_text("[]")
    (run / "emissions.csv").write_text("x")
    (run / "notes.txt").write_text("mine")
    RunFolder(run).claim(overwrite=True)
    assert sorted(path.name for path in run.iterdir()) == ["notes.txt", "run.json"]


def test_emissions_of_the_run_are_in_the_card_and_never_leave_the_machine(run):
    (run / "emissions.csv").write_text(
        "run_id,duration,emissions,energy_consumed,country_name,region,codecarbon_version\na,9,0.002,0.01,Wales,,3\n"
    )
    assert logitmix_card(run) == 0
    assert metadata((run / "README.md").read_text())["co2_eq_emissions"]["emissions"] == 2.0
    assert "emissions.csv" not in RunFolder(run).files()


def test_a_local_folder_that_is_called_like_a_repository_is_none(tmp_path):
    run = write_run(tmp_path / "run", record(model={"base": "runs/rte", "local": True}))
    assert logitmix_card(run) == 0
    text = (run / "README.md").read_text()
    assert metadata(text).base_model is None
    assert "`runs/rte`, fine-tuned on" in text
    assert "huggingface.co/runs" not in text


@pytest.mark.parametrize("folded", [True, False])
def test_config_says_where_the_temperature_is(tmp_path, folded):
    run = write_run(tmp_path / "run", config={"logitmix": {**CONFIG["logitmix"], "folded": folded}})
    assert logitmix_card(run) == 0
    text = (run / "README.md").read_text()
    assert ("pipeline(" in text) == folded
    assert ('config.logitmix["temperature"]' in text) != folded


def test_a_run_that_goes_on_keeps_what_was_written_into_its_card(run, capsys):
    write_last_card(RunFolder(run))
    text = (run / "README.md").read_text()
    (run / "README.md").write_text(text.replace("## Limits\n", "## Limits\n\n- Not for Welsh.\n"))
    write_last_card(RunFolder(run))
    assert "Not for Welsh" in (run / "README.md").read_text()
    assert "kept as you changed them: Limits" in capsys.readouterr().err
    (run / "README.md").write_text("# A card of an older version\n")
    write_last_card(RunFolder(run))
    assert (run / "README.md").read_text() == text
