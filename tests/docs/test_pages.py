"""What README and docs say in words, links and tables agrees with the package."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from accelerate.commands.launch import launch_command_parser

import logitmix_hf
from logitmix_hf.arguments import MixArguments
from logitmix_hf.evaluation import Predictions, evaluate_predictions
from logitmix_hf.flags import FlagParser, read_recipe, recipes_folder
from logitmix_hf.methods import METHODS
from logitmix_hf.reporting.folder import PUBLIC_FILES
from logitmix_hf.running.push import PushSettings
from logitmix_hf.running.settings import RunSettings, TrainSettings
from logitmix_hf.text.demo import DemoSettings
from logitmix_hf.text.settings import DataSettings, ModelSettings
from logitmix_hf.text.sites import check_site
from logitmix_hf.text.tasks import TASKS
from logitmix_hf.vision.data import NAMED
from logitmix_hf.vision.mixers import MIXERS
from logitmix_hf.vision.settings import DataSettings as ImageDataSettings
from logitmix_hf.vision.settings import ModelSettings as ImageModelSettings
from logitmix_hf.vision.settings import VisionTrainSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def table(page: str, first: str, number: int = 0) -> list[list[str]]:
    """The rows of the table whose head begins with ``first``; ``number`` of several."""
    found = re.findall(rf"^\| {first} \|.*\n\|[-|: ]+\n((?:\|.*\n)+)", page, re.M)[number]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in found.splitlines()]


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for address in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", address):
            continue
        path, _, anchor = address.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {address}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {address}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_named_in_the_text_exist(page):
    settings = [DataSettings, ModelSettings, MixArguments, RunSettings, TrainSettings]
    known = {
        flag
        for kinds in (settings, [DemoSettings], [PushSettings])
        for flag in FlagParser(kinds)._option_string_actions
    }
    images = FlagParser(
        [ImageDataSettings, ImageModelSettings, MixArguments, RunSettings, VisionTrainSettings], "image"
    )
    known |= set(images._option_string_actions)
    known |= set(launch_command_parser()._option_string_actions)
    scripts = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").glob("*.py")]
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        for flag in re.findall(r"(?<![\w-])--\w[\w-]*", code):
            own = any(f'"{flag}"' in script.read_text(encoding="utf-8") for script in scripts)
            assert flag in known or (own and (page.parent.name == "benchmarks" or "benchmarks." in code)), (
                f"{page.name}: {code}"
            )


def test_the_table_of_methods_is_that_of_the_package():
    said = {
        name.strip("`"): (weights, alpha, site.strip("`")) for name, weights, alpha, site in table(README, "method")
    }
    real = {}
    for method in METHODS.values():
        weights = ", ".join(f"{weight:g}" for weight in method.weights)
        real[method.name] = (
            weights,
            f"{method.alpha:g}" if method.alpha else "none",
            method.site if method.alpha else "none",
        )
    assert said == real


def test_sites_tasks_and_recipes_are_all_named():
    sites = [name for row in table(README, "site", 1) for name in re.findall(r"`([^`]+)`", row[0])]
    for site in sites:
        check_site(site.replace("layer.K", "layer.3"))
    assert {"embeddings", "layer.K", "middle", "layers", "cls", "pooled"} <= set(sites)
    assert [name for name in TASKS if f"`{name}`" not in README] == []
    named = set(re.findall(r"--recipe (\w+)", README))
    recipes = {path.stem: read_recipe(path.stem)["_command"] for path in recipes_folder().glob("*.json")}
    assert {name for name, command in recipes.items() if command == "glue"} <= named <= set(recipes)


def test_image_mixers_sites_and_data_sets_are_all_named():
    mixers = [name for row in table(README, "mixer") for name in re.findall(r"`([^`]+)`", row[0])]
    assert mixers == [name for name in mixers if name in MIXERS]
    assert set(mixers) == set(MIXERS)
    assert [name for name in NAMED if f"`{name}`" not in README] == []


def test_files_of_a_run_are_those_that_may_be_pushed():
    named = [name for row in table(README, "file") for name in re.findall(r"`([\w./]+\.\w+)`", row[0])]
    assert len(named) >= 12
    assert [name for name in named if not any(Path(name).match(pattern) for pattern in PUBLIC_FILES)] == []


def test_the_calibration_page_explains_every_number_of_a_report():
    posterior = np.array([[0.7, 0.3], [0.2, 0.8]])
    scores = evaluate_predictions(Predictions(np.log(posterior), np.array([0, 1]), posterior=posterior), ["accuracy"])
    page = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    explained = {re.sub(r"^eval_", "", row[0].strip("`")) for row in table(page, "key")}
    assert explained == set(scores) - {"accuracy"}


def test_this_version_has_its_entry_in_the_changelog():
    assert f"\n## {logitmix_hf.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
