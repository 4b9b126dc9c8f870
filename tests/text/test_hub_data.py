"""Data sets by name: a small Hub on the loopback interface answers as the real one does when it will not."""

from __future__ import annotations

import http.server
import socket
import threading

import datasets
import huggingface_hub
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from logitmix_hf.data import hub
from logitmix_hf.errors import UserError
from logitmix_hf.text.sources import load_splits

# name of a data set -> (status, X-Error-Code) of the real Hub
ANSWERS = {
    "nobody/nothing": (401, "RepoNotFound"),
    "nobody/gone": (404, "RepoNotFound"),
    "nobody/gated": (403, "GatedRepo"),
    "nobody/broken": (503, ""),
}


class _Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/api/datasets/").partition("?")[0]
        status, code = ANSWERS.get(name, (500, ""))
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def online(monkeypatch, tmp_path):
    """The client believes in a network; nothing is cached. Returns what sets the Hub's address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    return lambda port: monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")


@pytest.fixture
def small_hub(online):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    online(server.server_port)
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture
def dead_hub(online):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        online(sock.getsockname()[1])  # bound but not listening: every connection is refused
        yield


@pytest.fixture
def no_loading(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("asked five times for nothing"))


@pytest.mark.usefixtures("small_hub", "no_loading")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody/nothing", "The Hub has no data set 'nobody/nothing', or it is private"),
        ("nobody/gone", "The Hub has no data set 'nobody/gone'"),
        ("nobody/gated", "is gated: accept its terms"),
        ("nobody/broken", "out of reach for the data set 'nobody/broken' .it answered 503"),
        ("no body/x", "can be no data set's name"),
    ],
)
def test_what_the_hub_refuses_is_one_line(name, message):
    with pytest.raises(UserError, match=message) as caught:
        load_splits(name, None)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("dead_hub", "no_loading")
def test_out_of_reach_says_how_to_go_on():
    with pytest.raises(UserError, match=r"out of reach .*ConnectError.*folder.*--dataset_name builtin --model builtin"):
        load_splits("nyu-mll/glue", "rte")


@pytest.mark.usefixtures("no_loading")
def test_offline_mode_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(UserError, match="offline mode is on"):
        load_splits("nyu-mll/glue", "rte")


@pytest.mark.usefixtures("dead_hub")
def test_the_cache_is_read_without_asking_again(tmp_path, monkeypatch):
    (tmp_path / "nyu-mll___glue" / "rte").mkdir(parents=True)
    seen = []

    def load(*names):
        seen.append((names, datasets.config.HF_HUB_OFFLINE))
        return datasets.DatasetDict({"train": Dataset.from_dict({"a": ["x"]})})

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert load_splits("nyu-mll/glue", "rte")["train"].values("a") == ["x"]
    assert seen == [(("nyu-mll/glue", "rte"), True)]
    assert datasets.config.HF_HUB_OFFLINE is False
    with pytest.raises(UserError, match="out of reach"):  # another configuration is not in the cache
        load_splits("nyu-mll/glue", "cola")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two configurations in sub-folders, told apart by the folder's README, as on the Hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    root = tmp_path / "org" / "sets"
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    for config in ("one", "two"):
        (root / config).mkdir(parents=True)
        for split in ("train", "validation"):
            rows = Dataset.from_dict({"text": [f"{config} {split}"] * 2, "label": [1, 0]}, features=features)
            rows.to_parquet(str(root / config / f"{split}-00000-of-00001.parquet"))
    lines = ["---", "configs:"]
    for config in ("one", "two"):
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [f"  - split: {s}\n    path: {config}/{s}-*" for s in ("train", "validation")]
    (root / "README.md").write_text("\n".join([*lines, "---", ""]))
    return root


def test_a_folder_in_the_hubs_layout(folder):
    splits = load_splits(str(folder), "two")
    assert list(splits) == ["train", "validation"]
    assert splits["train"].values("text") == ["two train"] * 2
    assert splits["train"].values("label") == ["yes", "no"]
    assert splits["train"].where == f"split 'train' of {folder}"


def test_a_folder_without_a_readme_has_sub_folders_or_the_one_configuration(folder):
    (folder / "README.md").unlink()
    assert load_splits(str(folder), "one")["validation"].values("text") == ["one validation"] * 2
    assert load_splits(str(folder / "two"), "whatever")["train"].values("text") == ["two train"] * 2


def test_folders_that_do_not_fit(folder, tmp_path):
    for config, message in (
        ("tow", "No configuration of .* is called 'tow'. Did you mean 'two'"),
        (None, "several configurations; give one as --dataset_config: 'one', 'two'"),
    ):
        with pytest.raises(UserError, match=message):
            load_splits(str(folder), config)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no data files that can be read"):
        load_splits(str(tmp_path / "empty"), None)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "train.parquet").write_text("nothing of the kind")
    with pytest.raises(UserError, match="cannot be read") as caught:
        load_splits(str(tmp_path / "bad"), None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "~/no/where/at/all", "a/b/c"])
def test_what_can_only_be_a_path_is_never_asked_of_the_hub(name):
    with pytest.raises(UserError, match="There is no folder"):
        hub.is_folder(name)


@pytest.mark.parametrize("name", ["revews.csv", "data/reviews.tsv", "a.JSONL.gz", "poems.txt"])
def test_what_is_called_as_a_file_is_never_asked_of_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("x")
    with pytest.raises(UserError, match=f"There is no file '{name}'") as caught:
        hub.is_folder(name)
    assert ("Did you mean 'reviews.csv'" in str(caught.value)) == (name == "revews.csv")


def test_a_file_is_sent_to_its_flag(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(UserError, match="is a file; give it as --train_file"):
        hub.is_folder(str(tmp_path / "a.csv"))
