"""A desk for the reader of the pages: their files, a finished run, a small Hub, and nothing of the network."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import datasets.config
import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loopback_hub import LoopbackHub
from PIL import Image
from servingmodels import text_classifier
from shown import QUICK, example, small
from tiny import CONFIGS, build
from transformers import AutoTokenizer

from logitmix_hf.commands.glue import main as glue
from logitmix_hf.commands.vision import main as vision
from logitmix_hf.text.tasks import TASKS

TOKEN = "loopback-secret-70c5"


@pytest.fixture(scope="session")
def model(tiny_model, tmp_path_factory) -> str:
    """As deep as the models that the pages name, so that their sites exist."""
    folder = str(tmp_path_factory.mktemp("deep"))
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    build(CONFIGS["bert"], num_hidden_layers=12).base_model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def desk(tmp_path_factory) -> Path:
    """A folder with the reader's files, and the Hub's data sets as folders."""
    folder = tmp_path_factory.mktemp("desk")
    head, *rows = csv.reader(io.StringIO(example("csv")))
    for name in ("reviews.csv", "held-out.csv"):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([head, *rows * 20])
    for name in ("pairs.tsv", "pairs-dev.tsv"):
        lines = [f"who is {n}?\tit is {n + n % 2}\t{n % 2}" for n in range(16)]
        (folder / name).write_text("\n".join(["question\tanswer\tlabel", *lines]) + "\n")
    prices = {"advert": [f"a house of {n} rooms" for n in range(16)], "price": list(range(16))}
    pq.write_table(pa.table(prices), folder / "prices.parquet")
    row = json.loads(example("json"))
    others = [{**row, "labels": labels} for labels in (row["labels"], row["labels"][:1], [])]
    (folder / "topics.jsonl").write_text("".join(json.dumps(other) + "\n" for other in others * 8))
    for name, task in TASKS.items():
        split = {column: [f"{column} number {n}" for n in range(16)] for column in task.columns}
        split["label"] = [n % len(task.label_names) if task.label_names else n / 4 for n in range(16)]
        _write_splits(folder / "nyu-mll" / "glue" / name, split, ["train", *task.validation.values()], task.test)
    for name in ("daisy", "tulip"):
        (folder / "flowers" / name).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (20, 16), (20 * number, 90 * len(name), 7)).save(
                folder / "flowers" / name / f"{number}.png"
            )
    films = {"text": ["a film"] * 16, "label": [0, 1] * 8}
    _write_splits(folder / "cornell-movie-review-data" / "rotten_tomatoes", films, ["train", "validation"], ["test"])
    return folder


def _write_splits(folder: Path, table: dict, labelled, unlabelled) -> None:
    folder.mkdir(parents=True)
    hidden = {**table, "label": [-1] * 16 if isinstance(table["label"][0], int) else [-1.0] * 16}
    for split in (*labelled, *unlabelled):
        rows = hidden if split in unlabelled else table
        pq.write_table(pa.table(rows), folder / f"{split}-00000-of-00001.parquet")


@pytest.fixture
def here(desk, tmp_path, monkeypatch) -> Path:
    """Where the reader stands: the files of the desk, nothing cached, and a small Hub within reach."""
    for path in desk.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with LoopbackHub(token=TOKEN) as running:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield running


@pytest.fixture(scope="session")
def home(desk, tiny_model, tmp_path_factory) -> Path:
    """A folder with the run that the pages speak of, trained for a step on the reader's file."""
    folder = tmp_path_factory.mktemp("home")
    words = f"--train_file {desk / 'reviews.csv'} --text_columns text --label_column stars --validation_share .4"
    assert glue(small([*words.split(), "--output_dir", str(folder / "runs" / "reviews")], tiny_model)) == 0
    return folder


@pytest.fixture(scope="session")
def shallow(tiny_model, tmp_path_factory) -> Path:
    """As ``home``, for what takes long with every layer: the run has one, and was never trained."""
    folder = tmp_path_factory.mktemp("shallow")
    text_classifier(folder / "runs" / "reviews", tiny_model, build(CONFIGS["bert"], num_hidden_layers=1))
    return folder


@pytest.fixture(scope="session")
def pictured(tmp_path_factory) -> Path:
    """The folder of a run on images."""
    folder = tmp_path_factory.mktemp("pictured")
    words = ["--dataset", "digits", "--model", "digits", "--max_train_samples", "40", *QUICK.split()]
    assert vision([*words, "--cache_dir", str(folder / "cache"), "--output_dir", str(folder / "run")]) == 0
    return folder / "run"
