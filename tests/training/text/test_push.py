"""``logitmix glue --push_to_hub`` and ``logitmix push`` end to end, against a Hub on the loopback interface."""

from __future__ import annotations

import gc
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import ModelCard, constants
from tinyrun import flags, rows

from logitmix_hf.cli import main as command
from logitmix_hf.commands.glue import main
from logitmix_hf.reporting.card import model_card

ROOT = Path(__file__).parents[3]
from loopback_hub import LoopbackHub  # noqa: E402

TOKEN = "loopback-secret-5e1f"  # not in the shape of a token, so that it is not hidden by its shape
FILES = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md", "run.json"),
    *("train_results.json", "eval_results.json", "intervals.json", "all_results.json", "trainer_state.json"),
    *("predictions/validation.parquet", "reliability.png", "training.png", "confusion.png", "data.json"),
}


class Withdrawn(set):
    """The repositories that may not be written: none when asked before training, all afterwards."""

    def __init__(self, hub: LoopbackHub):
        super().__init__()
        self.hub = hub

    def __contains__(self, repo):
        return "/auth-check/" not in self.hub.requests[-1]


def logitmix(*words, hub: LoopbackHub, **environment) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: the client reads its environment when it is imported."""
    unwanted = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(unwanted)}
    kept |= {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "logitmix_hf.cli", *map(str, words)],
        env={**kept, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Let the client of this process talk to a small Hub, as nobody."""

    def to(hub: LoopbackHub) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return to


@pytest.fixture(scope="module")
def hub():
    with LoopbackHub(token=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def failed(hub, tiny_model, files, tmp_path_factory):
    """A run that trained, and whose push was refused: its folder and how the command ended."""
    folder = tmp_path_factory.mktemp("push") / "out"
    hub.read_only = Withdrawn(hub)
    options = {"hub_model_id": "stars", "hub_private_repo": "true", "hub_revision": "try", "hub_token": TOKEN}
    options |= {"hub_strategy": "all_checkpoints", "push_to_hub": "true", "keep_checkpoints": "true"}
    ended = logitmix("glue", *flags(tiny_model, files, folder, **options), hub=hub, HF_HOME=str(folder.parent / "home"))
    hub.read_only = set()
    return folder, ended


def test_a_failed_push_ends_with_3_after_everything_is_saved(failed, hub):
    folder, ended = failed
    assert ended.returncode == 3, ended.stderr[-3000:]
    assert "Traceback" not in ended.stderr
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    assert [name for name in FILES if not (folder / name).is_file()] == []
    assert "method " in ended.stdout  # the table of results
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("error: The run is saved")
    assert "403" in last
    assert last.endswith(f"logitmix push {folder} --hub_model_id ada/stars --hub_revision try")
    assert hub.private == {"ada/stars": True}
    assert any("all_checkpoints: the finished run is pushed once" in line for line in ended.stderr.splitlines())


def test_no_file_and_no_word_of_a_run_holds_the_token(failed):
    folder, ended = failed
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in paths if path.name == "training_args.bin"]  # the pickle is there, the token is not in it
    assert [str(path) for path in paths if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in ended.stdout + ended.stderr
    pickled = next(path for path in paths if path.name == "training_args.bin")
    assert torch.load(pickled, weights_only=False).hub_token is None  # what the run wrote a moment ago
    assert "--hub_token ***" in json.loads((folder / "run.json").read_text())["command"]


def test_the_command_that_it_printed_pushes_exactly_the_listed_files(failed, hub):
    folder, ended = failed
    program, *words = shlex.split(ended.stderr.strip().splitlines()[-1].partition("Push it later with: ")[2])
    assert program == "logitmix"
    later = logitmix(*words, hub=hub, HF_TOKEN=TOKEN, HF_HOME=str(folder.parent / "home"))
    assert later.returncode == 0, later.stderr[-3000:]
    assert later.stdout == f"pushed to {hub.endpoint}/ada/stars\n"
    assert hub.repos["ada/stars"]["main"] == {}
    pushed = hub.repos["ada/stars"]["try"]
    assert pushed.keys() == FILES
    assert {name for name, data in pushed.items() if data != (folder / name).read_bytes()} == {"README.md"}
    assert 'model="ada/stars"' in pushed["README.md"].decode()
    assert not any(TOKEN.encode() in data for data in pushed.values())
    assert TOKEN not in later.stdout + later.stderr


def test_a_run_is_pushed_under_the_name_of_its_folder(here, tiny_model, files, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with LoopbackHub(token=TOKEN) as hub:
        here(hub)
        assert main(flags(tiny_model, files, tmp_path / "by-name", push_to_hub="true", method="vanilla")) == 0
    assert hub.repos["ada/by-name"]["main"].keys() == FILES
    assert hub.private == {"ada/by-name": False}
    out, err = capfd.readouterr()
    assert out.rstrip().endswith("/ada/by-name")
    assert TOKEN not in out + err
    assert "hub_strategy" not in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_push_of_a_run_advises_to_push_and_not_to_resume(
    here, tiny_model, files, tmp_path, capfd, monkeypatch, number, code
):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("logitmix_hf.reporting.hub._commit", lambda *_, **__: os.kill(os.getpid(), number))
    argv = flags(tiny_model, files, tmp_path / "run", push_to_hub="true", method="vanilla", max_steps=2)
    with LoopbackHub(token=TOKEN) as hub:
        here(hub)
        assert main(argv) == code
    said = capfd.readouterr().err
    assert said.rstrip().endswith(f"Go on with: logitmix push {tmp_path / 'run'} --hub_model_id ada/run")
    assert "--resume" not in said
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"


def test_a_run_that_is_interrupted_after_its_end_is_not_said_to_need_more(
    tiny_model, files, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr("logitmix_hf.training.judge.write_last_card", lambda _: os.kill(os.getpid(), signal.SIGINT))
    assert main(flags(tiny_model, files, tmp_path / "run", method="vanilla", max_steps=2)) == 130
    said = capfd.readouterr().err.splitlines()[-1]
    assert f"the run is done and saved; `logitmix card {tmp_path / 'run'}`" in said
    assert "--resume" not in said


@pytest.mark.parametrize(
    ("token", "says"), [(None, "needs a token, and there is none"), ("somebody-elses", "does not accept the token")]
)
def test_a_token_that_will_not_do_is_told_before_training(here, tiny_model, files, tmp_path, capfd, token, says):
    with LoopbackHub(token=TOKEN) as hub:
        here(hub)
        options = {"push_to_hub": "true", "hub_model_id": "stars", "hub_token": token}
        assert main(flags(tiny_model, files, tmp_path / "out", **options)) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert "somebody-elses" not in line
    assert not (tmp_path / "out").exists()
    assert hub.repos == {}


def test_push_tells_what_is_no_finished_run_before_it_asks_the_hub(here, failed, tmp_path, capfd):
    record = json.loads((failed[0] / "run.json").read_text())
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "run.json").write_text(json.dumps({**record, "status": "running"}))
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "run.json").write_text(json.dumps(record))
    with LoopbackHub(token=TOKEN) as hub:
        here(hub)
        for name, says in (
            ("nothing", "is not the folder of a run"),
            ("unfinished", "not finished"),
            ("bare", "model"),
        ):
            assert command(["push", str(tmp_path / name), "--hub_token", TOKEN]) == 2
            (line,) = capfd.readouterr().err.strip().splitlines()
            assert says in line
        assert command(["push", "--hub_model_id", "x"]) == 2
    assert hub.requests == []


def test_push_starts_without_torch():
    """It sends files: nobody should wait for the network's library."""
    code = (
        "import sys, logitmix_hf.commands.push; print([name for name in ('torch', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def lines_of_use(card: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    return code


def test_the_card_of_a_run_on_own_files(failed, capsys):
    folder, _ = failed
    card = (folder / "README.md").read_text()
    results = json.loads((folder / "eval_results.json").read_text())
    record = json.loads((folder / "run.json").read_text())
    for part in (
        "fine-tuned on train.csv with the method `logitmix`",
        "It tells apart `down`, `up`.",
        "Judged on: the file validation.csv.",
        f"| validation.csv | 24 | Accuracy | {results['eval_accuracy']:.4f} |",
        f"| validation.csv | 24 | Expected calibration error (ECE) | {results['eval_ece']:.4f} |",
        "(reliability.png)",
        record["command"],
        "| site | layer.1 |",
        "## Limits",
        "One run with one seed",
        "@inproceedings{bang2022logitmix",
    ):
        assert part in card
    assert "| max steps |" not in card  # -1 says nothing
    data = ModelCard(card).data
    assert data.datasets is None
    assert {found.metric_type for found in data.eval_results} >= {"accuracy", "ece", "oe", "nll", "brier_score"}
    exec(lines_of_use(card), {})
    said = eval(capsys.readouterr().out)
    said = said[0] if isinstance(said[0], list) else said
    assert sorted(one["label"] for one in said) == ["down", "up"]
    assert sum(one["score"] for one in said) == pytest.approx(1, abs=1e-5)


@pytest.fixture(scope="module")
def glue_folder(tmp_path_factory) -> Path:
    """RTE in the layout of the Hub, under the very name of the data set there."""
    folder = tmp_path_factory.mktemp("data") / "nyu-mll" / "glue"
    (folder / "rte").mkdir(parents=True)
    for seed, (split, count) in enumerate({"train": 16, "validation": 8}.items()):
        table, other = rows(count, seed), rows(count, seed + 9)
        pairs = {"sentence1": table["text"], "sentence2": other["text"], "idx": pa.array(range(count))}
        pairs["label"] = pa.array([number % 2 for number in range(count)])
        pq.write_table(pa.table(pairs), folder / "rte" / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("kind", ["folder", "builtin"])
def test_the_card_of_a_task_that_is_not_the_hubs(tiny_model, glue_folder, tmp_path, capsys, kind):
    changes = {"train_file": None, "validation_file": None, "label_column": None, "task": "rte"}
    changes["dataset_name"] = glue_folder if kind == "folder" else "builtin"
    changes |= {
        "max_train_samples": 16,
        "max_eval_samples": 8,
        "save_strategy": "no",
        "eval_strategy": "no",
        "site": "middle",
    }
    assert main(flags(tiny_model, tmp_path, tmp_path / "out", **changes), prog="run_glue.py") == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["data"]["kind"] == kind
    assert "\npython run_glue.py --model " in card  # as one can type it
    data = ModelCard(card).data
    assert data.datasets is None
    assert data.eval_results[0].dataset_type == "rte"
    assert ("synthetic" in card) == (kind == "builtin")
    assert ("True calibration error" in card) == (kind == "builtin")
    assert "These are not scores on the full data" in card
    assert "| site | middle (layer.1 of 3) |" in card
    capsys.readouterr()
    exec(lines_of_use(card), {})  # a pair of texts
    said = eval(capsys.readouterr().out)
    said = said[0] if isinstance(said[0], list) else said
    assert sorted(one["label"] for one in said) == ["entailment", "not_entailment"]


@pytest.mark.parametrize("kind", ["hub", "folder", "file", "builtin"])
def test_only_data_of_the_hub_is_linked(failed, kind):
    record = json.loads((failed[0] / "run.json").read_text())
    record["data"] |= {"kind": kind, "source": "ada/reviews", "name": "reviews"}
    text = model_card(record, {"eval_accuracy": 0.5}, name="x", location="x")
    assert ModelCard(text).data.datasets == (["ada/reviews"] if kind == "hub" else None)
    assert "fine-tuned on ada/reviews with" in text  # not "reviews of ada/reviews"


def test_the_last_line_of_a_failed_push_is_its_error(here, failed, capfd, monkeypatch):
    """Not what the progress bars of uploads that failed still have to say."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    with LoopbackHub(token=TOKEN, fail_uploads=1000) as hub:
        here(hub)
        assert command(["push", str(failed[0]), "--hub_model_id", "stars", "--hub_token", TOKEN]) == 3
        gc.collect()
    assert capfd.readouterr().err.strip().splitlines()[-1].startswith("error: The run is saved")
