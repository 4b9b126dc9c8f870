"""docs/extending.md, walked through: every step of every recipe is taken, and what it adds does what the page says."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from printed_pages import PAGES
from shown import ROOT, WALKED, blocks_of
from test_trainer import Rows, no_dropout
from tiny import CONFIGS, build
from transformers import AutoTokenizer, TrainingArguments

from logitmix_hf import METHODS, MixArguments
from logitmix_hf.evaluation.recalibration import FITS
from logitmix_hf.methods import methods_page
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.steps import STEPS, Where, build_step
from logitmix_hf.text.tasks import TASKS
from logitmix_hf.vision import MIXERS, NETWORKS
from logitmix_hf.vision.data import NAMED
from logitmix_hf.vision.networks.cifar import BUILDERS

TABLES: tuple[dict, ...] = (MIXERS, NETWORKS, BUILDERS, METHODS, STEPS, TASKS, NAMED, FITS)
SMALL = " --max_length 16 --use_cpu true --disable_tqdm true --report_to none --eval_strategy no --save_strategy no"
# The laws that the page says are asked of every row.
for folder in ("vision/mixers", "evaluation"):
    sys.path.append(str(ROOT / "tests" / folder))
import test_mixer_laws as mixer_laws  # noqa: E402
import test_recalibration as calibrator_laws  # noqa: E402


def sections() -> dict[str, str]:
    """The recipes by their headings."""
    found = re.split(r"^## (.+)\n", WALKED.read_text(encoding="utf-8"), flags=re.M)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


@contextlib.contextmanager
def walked(heading: str, **names: Any) -> Iterator[dict[str, Any]]:
    """The names that a reader has who took every step of the recipe; afterwards the tables are as they were."""
    before = [dict(table) for table in TABLES]
    text = sections()[heading]
    try:
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S), 1):
            for command in ("glue", "vision"):  # tiny and on the CPU, whatever the page trains
                block = block.replace(f"from logitmix_hf.commands.{command} import main", f"main = {command}")
            exec(compile(block, f"{heading}, block {number}", "exec"), names)
        yield names
    finally:
        for table, old in zip(TABLES, before, strict=True):
            table.clear()
            table.update(old)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Where the reader stands, with the two data sets of the page in the Hub's layout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    kinds = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    films = datasets.Dataset.from_dict({"text": ["a good film", "a bad film"] * 8, "label": [1, 0] * 8}, features=kinds)
    folder = tmp_path / "cornell-movie-review-data" / "rotten_tomatoes"
    folder.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        films.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
    for split in ("train", "validation"):
        for name in ("daisy", "tulip"):
            pictures = tmp_path / "garden" / "blossoms" / split / name
            pictures.mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (8, 8), (30 * number, 40 * len(name), 7)).save(pictures / f"{number}.png")
    return tmp_path


def glue_of(model: str):
    from logitmix_hf.commands.glue import main

    return lambda words: main([*words, *SMALL.split(), "--model", model])


def vision(words: list[str]) -> int:
    from logitmix_hf.commands.vision import main

    return main([*words, *SMALL.replace("--max_length 16", "").split()])


def test_every_step_is_numbered_and_every_recipe_is_walked_through():
    recipes = sections()
    assert list(recipes) == ["A mixer of images", "A network", "A method", "A data set", "A calibrator"]
    for heading, text in recipes.items():
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.M)]
        assert numbers == list(range(1, len(numbers) + 1)), heading
        assert len(re.findall(r"^```python", text, re.M)) >= len(numbers) >= 3, heading
        assert "*In this repository*" in text, heading
    assert {kind for kind, _ in blocks_of(WALKED)} == {"python"}


def test_a_mixer():
    with walked("A mixer of images") as names:
        assert "stripes" in MIXERS
        assert float(names["result"].terms["lam"].mean()) in {0, 0.25, 0.5, 0.75, 1}  # of four stripes
        assert all(parameter.grad is not None for parameter in names["network"].parameters())
        assert "## `stripes`" in PAGES["mixers"]()
        assert "`width` (4)" in PAGES["mixers"]().partition("## `stripes`")[2]
        for dtype in (torch.float64, torch.bfloat16):
            mixer_laws.test_share_one_gives_the_image_in_any_type("stripes", dtype)
        law = mixer_laws.test_shares_are_the_means_of_the_masks_and_the_input_stays.hypothesis.inner_test
        for seed, lam in enumerate(([0.3], [0.0, 1.0, 0.5], [0.9, 0.2])):
            law("stripes", lam, seed)
        _, done = mixer_laws.mix("stripes", mixer_laws.pictures(), mixer_laws.plan_of(0.25, 0.5, 0.75, 1.0))
        assert done.lam.tolist() == [0.25, 0.5, 0.75, 1.0]  # 16 columns are four stripes
    assert "stripes" not in MIXERS


def test_a_network(place):
    with walked("A network") as names:
        images = torch.rand(4, 3, 8, 8)
        network, again = names["network"].eval(), names["again"].eval()
        torch.testing.assert_close(network(images).logits, again(images).logits)
        assert len(network.stages) == NETWORKS["two-stages"].stages == 2
        assert [tuple(one.shape[2:]) for one in network(images, output_hidden_states=True).hidden_states] == [
            (8, 8), (8, 8), (4, 4),
        ]  # fmt: skip
        assert "| `two-stages` |" in PAGES["networks"]()
        step = build_step(again, MixArguments(site="stage.1"))
        result = step.run(again, {"pixel_values": images}, torch.tensor([0, 1, 2, 0]), Where(seed=0, step=0))
        step.remove()
        assert set(result.terms) == {"mix", "cls", "sim", "lam"}


def test_a_method(place, tiny_model):
    data, model = Rows(), build(CONFIGS["bert"])
    args = TrainingArguments(
        output_dir=str(place / "out"), use_cpu=True, max_steps=2, logging_steps=1, report_to="none", save_strategy="no"
    )
    given = {"glue": glue_of(tiny_model), "model": model, "args": args, "train": data}
    with walked("A method", **given, tokenizer=AutoTokenizer.from_pretrained(tiny_model)) as names:
        assert names["code"] == 0
        record = RunFolder(place / "runs" / "consistency").read_json("run.json")
        assert record["method"]["name"] == "consistency"
        assert (record["method"]["w_mix"], record["method"]["w_sim"]) == (0, 1)
        cards = [card.split("\n")[0] for card in methods_page().split("\n## ")[1:]]
        assert cards[-2:] == ["`consistency`", "`two_passes`"]
        lines = [line for line in names["trainer"].state.log_history if "loss" in line]
        assert len(lines) == 2
        for line in lines:
            assert line["loss"] == pytest.approx(line["loss_cls"] + line["loss_agree"], rel=1e-3)
            assert line["loss_agree"] > 0  # dropout makes the two passes differ
        still = no_dropout()
        result = build_step(still, MixArguments(method="two_passes")).run(
            still, data.batch, data.labels, Where(seed=0, step=0)
        )
        assert float(result.terms["agree"].detach().abs().max()) < 1e-6


def test_a_data_set(place, tiny_model):
    with walked("A data set", glue=glue_of(tiny_model), vision=vision) as names:
        assert names["code"] == 0
        record = RunFolder(place / "runs" / "tomatoes").read_json("run.json")
        assert record["data"]["name"] == "tomatoes"
        assert record["data"]["metrics"] == ["accuracy", "f1"]
        config = RunFolder(place / "runs" / "tomatoes").read_json("config.json")
        assert list(config["id2label"].values()) == ["neg", "pos"]
        images = RunFolder(place / "runs" / "blossoms").read_json("run.json")
        assert images["data"]["name"] == "blossoms"
        assert (
            glue_of(tiny_model)(["--task", "tomatoes", "--max_steps", "1", "--do_predict", "--output_dir", "out"]) == 0
        )
        assert not list((place / "out").glob("*.tsv"))  # no leaderboard takes them


def test_a_calibrator(home, monkeypatch):
    monkeypatch.chdir(home)
    with walked("A calibrator") as names:
        assert names["name"] == "rates"  # the last row of the table
        assert set(names["scores"]) >= {"nll", "ece"}
        for classes in (2, 3, 6):
            calibrator_laws.test_what_was_spoilt_is_mended("rates", classes)
        calibrator_laws.test_several_labels_a_row("rates")
        calibrator_laws.test_a_class_that_the_rows_lack_and_logits_of_any_size_give_finite_probabilities("rates")
        calibrator_laws.test_a_model_with_one_output_is_one_with_two()
        logits, labels = calibrator_laws.drawn(500, 3, shift=np.array([1.0, 0.0, -1.0]))
        p = calibrator_laws.softmax(FITS["rates"](logits, labels).apply(logits))
        assert p.mean(0) == pytest.approx(np.bincount(labels) / 500, abs=0.003)
