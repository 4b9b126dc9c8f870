"""A search: as many trials for each method, judged on a share of train; the best flags are trained anew, and nothing twice."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sys
import time
from pathlib import Path

import pytest
from studyruns import PROGRAM

from logitmix_hf.cli import main
from logitmix_hf.commands import study_run
from logitmix_hf.config_file import with_config
from logitmix_hf.flag_words import flag_words
from logitmix_hf.studies import resolve
from logitmix_hf.studies.cells import asked_runs
from logitmix_hf.studies.engines.local import Local
from logitmix_hf.studies.file import parse_file
from logitmix_hf.studies.manifest import read_manifest
from logitmix_hf.studies.outcome import Ending
from logitmix_hf.studies.resolve import Answer
from logitmix_hf.studies.search import groups_of
from logitmix_hf.studies.search_driver import JOURNAL, SearchDriver

pytest.importorskip("optuna")

TEXT = """
study: s
fixed: {task: rte}
grid: {method: [mixup, logitmix], seed: [0, 1]}
search: {alpha: {log: [.5, 10]}, site: [embeddings, middle]}
trials: 4
resources: {gpus: 0}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Runs of a child that trains nothing, whose score is best at an alpha of 3."""
    monkeypatch.chdir(tmp_path)

    def answers(file, runs, elsewhere, checker):
        found = []
        for run in runs:
            seed = next((run.words[n + 1] for n, word in enumerate(run.words) if word == "--seed"), 42)
            found.append(Answer(resolve.words_key("", run.words)[:12], "rte", str(run.flags.get("method")), int(seed)))
        return found

    monkeypatch.setattr(resolve, "_answers", answers)
    monkeypatch.setattr(study_run, "Local", lambda study, most, program: Local(study, most, PROGRAM))
    return tmp_path


def study(text=TEXT, *more):
    with open("s.yaml", "w") as file:
        file.write(text)
    return main(["study", "run", "s.yaml", *more])


def flag(words, name):
    return words[words.index(f"--{name}") + 1]


def trained():
    """Every run that was carried to its end, so often."""
    found = Path().glob("studies/s/*/*/trained.txt")  # a search of all folders would meet some that go
    return sorted(str(path.parent) for path in found for _ in path.read_text().splitlines())


@pytest.mark.slow
def test_each_method_gets_its_trials_and_the_best_flags_are_trained_with_the_studys_seeds(capsys):
    assert study() == 0
    found = read_manifest(Path("studies/s"))
    assert len(found.trials) == 8
    for method in ("mixup", "logitmix"):
        trials = [cell for cell in found.trials if cell.labels["method"] == method]
        assert [cell.labels["trial"] for cell in trials] == [0, 1, 2, 3]
        assert len({cell.id for cell in trials}) == 4
        # Seeds of the table are 0 and 1.
        assert {(flag(t.words, "hold_out"), flag(t.words, "seed")) for t in trials} == {("0.1", "2")}
        best = min(trials, key=lambda cell: (float(flag(cell.words, "alpha")) - 3) ** 2)
        finals = [cell for cell in found.live if cell.labels["method"] == method]
        assert [flag(cell.words, "seed") for cell in finals] == ["0", "1"]
        for cell in finals:
            assert [flag(cell.words, name) for name in ("alpha", "site")] == [
                flag(best.words, name) for name in ("alpha", "site")
            ]
            assert "--hold_out" not in cell.words
    assert len(trained()) == 8 + 4
    told = capsys.readouterr().out
    assert "8 of 8 trials are done" in told
    assert "4 of 4 runs of s are done" in told
    assert study() == 0
    assert len(trained()) == 8 + 4, "again, and nothing was started"
    assert main(["study", "status", "s.yaml"]) == 0
    assert "chosen for rte logitmix: --alpha" in capsys.readouterr().out
    main(["study", "words", "s.yaml"])
    assert capsys.readouterr().out == "", "all runs of the table are done"


@pytest.mark.slow
def test_a_driver_that_died_goes_on_with_the_trials_that_it_had_asked_for(monkeypatch, capsys):
    tell, told = SearchDriver._tell, []

    def dies(self, cell):
        told.append(cell.id)
        if len(told) == 3:
            raise RuntimeError("the machine is off")
        return tell(self, cell)

    monkeypatch.setattr(SearchDriver, "_tell", dies)
    with pytest.raises(RuntimeError, match="the machine is off"):
        study()
    monkeypatch.setattr(SearchDriver, "_tell", tell)
    folder = Path("studies/s")
    before = read_manifest(folder)
    assert 3 <= len(before.trials) < 8
    assert all(not cell.words for cell in before.live)
    with open(folder / JOURNAL, "ab") as journal:
        journal.write(b'{"op_code":')  # cut short
    manifest = json.loads((folder / "study.json").read_text())
    manifest["trials"].pop()  # it died between the two files
    (folder / "study.json").write_text(json.dumps(manifest))
    assert main(["study", "words", "s.yaml"]) == 2
    assert "before the trials are done" in capsys.readouterr().err
    assert study() == 0
    after = read_manifest(folder)
    assert {cell.id for cell in before.trials} <= {cell.id for cell in after.trials}
    assert len(after.trials) == 8
    runs = trained()
    assert len(runs) == len(set(runs)) == 8 + 4, "each once"
    assert not [cell for cell in after.cells if cell.dropped]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children hear of it through the kernel of Linux")
def test_a_driver_that_was_killed_among_trials_and_among_runs_has_nothing_done_twice():
    text = TEXT.replace("{task: rte}", "{task: rte, pause: .02, steps: 5}")
    for count in (1, 9):
        driver = multiprocessing.get_context("fork").Process(target=study, args=(text,))
        driver.start()
        try:
            while len(trained()) < count:
                assert driver.is_alive()
                time.sleep(0.02)
        finally:
            driver.kill()
            driver.join()
        assert driver.exitcode == -signal.SIGKILL
    assert len(trained()) < 8 + 4
    assert study(text) == 0
    found = read_manifest(Path("studies/s"))
    assert len(found.trials) == len({cell.id for cell in found.trials}) == 8
    assert len(found.live) == 4
    runs = trained()
    assert len(runs) == len(set(runs)) == 8 + 4


@pytest.mark.slow
def test_what_a_study_with_a_search_says_of_mistakes(monkeypatch, capsys):
    """A trial without a score, a score that no trial has, and no Optuna."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "optuna", None)
        assert study() == 2
        assert "pip install 'logitmix_hf[search]'" in capsys.readouterr().err
        assert not Path("studies").exists()
    assert study(TEXT.replace("trials: 4", "trials: 1\nobjective: ece").replace("mixup, ", "")) == 1
    assert "it has no score eval_ece to choose by" in capsys.readouterr().err
    assert study(TEXT.replace("{task: rte}", "{task: rte, fate: diverged}").replace("mixup, ", "")) == 1
    err = capsys.readouterr().err
    assert "nothing was chosen for rte logitmix: none of its 4 trials has a score" in err
    assert "error: 4 trials were given up, see above; --retry_failed tries them again" in err
    assert main(["study", "status", "s.yaml"]) == 0
    assert "0 of 4 trials are done, 4 given up" in capsys.readouterr().out


@pytest.mark.slow
def test_trials_that_were_given_up_are_tried_again_and_are_the_same_trials():
    text = (
        TEXT.replace("{task: rte}", "{task: rte, fate: diverged-once}").replace("mixup, ", "").replace("[0, 1]", "[0]")
    )
    assert study(text) == 1
    before = read_manifest(Path("studies/s"))
    assert trained() == []
    assert study(text, "--retry_failed") == 1  # and the run of what they chose diverges, once
    assert study(text, "--retry_failed") == 0
    after = read_manifest(Path("studies/s"))
    assert [cell.words for cell in after.trials] == [cell.words for cell in before.trials]
    assert len(trained()) == len(set(trained())) == 4 + 1


def groups(text):
    file = parse_file(text, "s.yaml")
    return list(groups_of(file, asked_runs(file)).values())


def test_a_trial_trains_as_the_run_of_the_table_and_neither_publishes_nor_judges_beside():
    publishes = "push_to_hub: true, report_to: wandb, shift: [a=b], do_predict: true"
    stops = "early_stopping: 2, load_best_model_at_end: true"
    (group,) = groups(TEXT.replace("{task: rte}", f"{{task: rte, {publishes}, {stops}}}").replace("mixup, ", ""))
    assert group.flags == {
        "task": "rte",
        "method": "logitmix",
        "early_stopping": 2,
        "load_best_model_at_end": True,
        "seed": 2,
        "hold_out": 0.1,
        "bootstrap": 0,
    }


def test_a_file_of_flags_is_part_of_its_search_and_its_trials_are_not_pushed(here):
    text = TEXT.replace("{task: rte}", "{config: own.yaml}").replace("mixup, ", "")
    keys = []
    for epochs in (1, 1, 2):
        (here / "own.yaml").write_text(f"task: rte\nnum_train_epochs: {epochs}\npush_to_hub: true\n")
        (group,) = groups(text)
        words = with_config(flag_words(group.flags))
        assert [words[n + 1] for n, word in enumerate(words) if word == "--push_to_hub"][-1] == "false"
        keys.append(group.key)
    assert keys[0] == keys[1] != keys[2], "trials of other flags are of another search"


class Here:
    """An engine of this process: what it starts has ended."""

    stays = False

    def __init__(self, study, most, program):
        self.study, self.done = study, []

    def free(self):
        return 1 - len(self.done)

    def start(self, cell, closed=()):
        code = main([self.study.command, *cell.words])
        self.done.append((cell, Ending("done" if code == 0 else "failed", code)))

    def ended(self):
        found, self.done = self.done, []
        return found

    def open(self, closed):
        return True

    def stop(self):
        pass

    close = stop


@pytest.mark.slow
def test_trials_judge_rows_of_train_and_the_runs_of_the_table_train_on_all_of_it(
    monkeypatch, tiny_model, files, capsys
):
    from logitmix_hf.commands.study_check import read

    monkeypatch.setattr(resolve, "_answers", lambda file, runs, *_: [read(file.command, run.words) for run in runs])
    monkeypatch.setattr(study_run, "Local", Here)
    own = {"train_file": files / "train.csv", "validation_file": files / "validation.csv", "model": tiny_model}
    fixed = ", ".join(f"{name}: {value}" for name, value in own.items())
    text = f"""
study: s
fixed: {{{fixed}, label_column: stars, max_length: 16, max_steps: 2, use_cpu: true, disable_tqdm: true, bootstrap: 0,
         method: mixup, learning_rate: 1e-2}}
grid: {{seed: [1, 2]}}
search: {{alpha: [.2, 8], site: [embeddings, layer.1]}}
trials: 2
hold_out: 0.25
objective: accuracy
"""
    assert study(text) == 0
    found = read_manifest(Path("studies/s"))
    judged = {}
    for cell in found.trials:
        record = json.loads((cell.folder / "run.json").read_text())["data"]
        assert (record["train_rows"], record["splits"]["eval"]["rows"]) == (36, 12)
        assert record["splits"]["eval"]["source"] == "held out of train"
        judged[cell.id] = json.loads((cell.folder / "eval_results.json").read_text())["eval_accuracy"]
    best = max(found.trials, key=lambda cell: judged[cell.id])
    for cell in found.live:
        record = json.loads((cell.folder / "run.json").read_text())
        assert (record["data"]["train_rows"], record["data"]["splits"]["eval"]["rows"]) == (48, 24)
        assert {name: record["arguments"][name] for name in ("alpha", "site")} == {
            name: best.labels[name] for name in ("alpha", "site")
        }
    capsys.readouterr()
    assert main(["study", "table", "s.yaml", "--draws", "100", "--output_dir", "t"]) == 0
    said = flag_words({name: best.labels[name] for name in ("alpha", "site")})
    assert f"chosen for train mixup: {' '.join(said)}" in capsys.readouterr().out
    page = Path("t/table.md").read_text()
    assert "Searched: alpha in 0.2, 8; site in embeddings, layer.1; trials are judged on 0.25 of train" in page
    assert "| 2 of 2" in page
