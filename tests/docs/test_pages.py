"""What README and docs say in words, links and tables agrees with the package."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from accelerate.commands.launch import launch_command_parser
from shown import ROOT

import logitmix_hf
from logitmix_hf.cli import COMMANDS
from logitmix_hf.evaluation import Predictions, evaluate_predictions, review
from logitmix_hf.evaluation.refinement import NLL_REFINED
from logitmix_hf.flags import read_recipe, recipes_folder
from logitmix_hf.methods import METHODS
from logitmix_hf.reporting.folder import PUBLIC_FILES
from logitmix_hf.text.site_names import check_site
from logitmix_hf.text.tasks import TASKS
from logitmix_hf.vision.data import NAMED
from logitmix_hf.vision.mixers import MIXERS
from logitmix_hf.vision.site_names import check_site as check_image_site

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
from parsers import flags_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


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


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every flag of every command, and those of accelerate's launcher."""
    return {flag for command in COMMANDS for flag in flags_of(command)} | set(
        launch_command_parser()._option_string_actions
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_named_in_the_text_exist(page, known):
    scripts = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").glob("*.py")]
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        for flag in re.findall(r"(?<![\w-])--\w[\w-]*", code):
            own = any(f'"{flag}"' in script.read_text(encoding="utf-8") for script in scripts)
            assert flag in known or (own and (page.parent.name == "benchmarks" or "benchmarks." in code)), (
                f"{page.name}: {code}"
            )


@pytest.mark.parametrize("page", ["README.md", "docs/sites.md"])
def test_the_table_of_methods_is_that_of_the_package(page):
    rows = table(text(page), "method")
    said = {name.strip("`"): (weights, alpha, site.strip("`")) for name, weights, alpha, site in rows}
    real = {}
    for method in (row for row in METHODS.values() if not row.images_only):
        weights = ", ".join(f"{weight:g}" for weight in (*method.weights, method.w_agree))
        real[method.name] = (
            weights,
            f"{method.alpha:g}" if method.alpha else "none",
            method.site if method.has_site else "none",
        )
    assert said == real


def test_sites_tasks_and_recipes_are_all_named():
    page = text("docs/sites.md")
    sites = [name for row in table(page, "site") for name in re.findall(r"`([^`]+)`", row[0])]
    for site in sites:
        check_site(site.replace("layer.K", "layer.3"))
    assert {"embeddings", "layer.K", "middle", "layers", "cls", "pooled"} <= set(sites)
    assert [name for name in TASKS if f"`{name}`" not in README or f"`{name}`" not in text("docs/quickstart.md")] == []
    named = set(re.findall(r"--recipe (\w+)", page))
    recipes = {path.stem: read_recipe(path.stem)["_command"] for path in recipes_folder().glob("*.json")}
    assert {name for name, command in recipes.items() if command == "glue"} <= named <= set(recipes)


def test_image_mixers_sites_and_data_sets_are_all_named():
    page = text("docs/images.md")
    assert {name for row in table(page, "mixer") for name in re.findall(r"`([^`]+)`", row[0])} == set(MIXERS)
    sites = [name for row in table(page, "site") for name in re.findall(r"`([^`]+)`", row[0])]
    for site in sites:
        check_image_site(site.replace("stage.K", "stage.3"))
    assert {"input", "stage.K", "middle", "stages", "pooled"} <= set(sites)
    assert [name for name in NAMED if f"`{name}`" not in README or f"`{name}`" not in text("docs/data.md")] == []


def test_the_number_of_mixers_is_told_right():
    words = {"eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16}
    for page in (README, text("CHANGELOG.md")):
        (told,) = re.findall(r"(\w+) \[?mixers\]?[(,]", page)
        assert words[told] == len(MIXERS)


def test_no_page_fits_a_temperature_on_the_rows_of_the_training():
    for page in PAGES:
        trained = set(re.findall(r"--train_file[ =](\S+)", page.read_text(encoding="utf-8")))
        trained |= set(re.findall(r"--train_file[ =](\S+)", README))
        for command in re.findall(r"^logitmix calibrate .*$", page.read_text(encoding="utf-8"), re.M):
            assert not trained & set(re.findall(r"--(?:eval|calibration)_file[ =](\S+)", command)), f"{page}: {command}"


def test_the_first_page_names_every_page_once():
    index = text("docs/index.md")
    listed = "\n".join(re.findall(r"^:::\{toctree\}\n(.*?)^:::", index, re.M | re.S)).splitlines()
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
    assert {name: listed.count(name) for name in pages if listed.count(name) != 1} == {}


def test_files_of_a_run_are_those_that_may_be_pushed():
    rows = table(text("docs/running.md"), "file")
    named = [name for row in rows for name in re.findall(r"`([\w./]+\.\w+)`", row[0])]
    assert len(named) >= 12
    assert [name for name in named if not any(Path(name).match(pattern) for pattern in PUBLIC_FILES)] == []


def test_the_first_screen_and_the_length_of_the_readme():
    """What it is, a picture, two commands and the one class, before the first heading; depth is in docs/."""
    first = README.partition("\n## ")[0]
    assert "![" in first and "make demo" in first and "make test" in first and "MixTrainer(" in first  # noqa: PT018
    assert len(README.splitlines()) <= 200


def test_the_readme_names_every_command():
    named = {name for row in table(README, "command") for name in re.findall(r"`(?:logitmix )?([\w-]+)`", row[0])}
    assert named == set(COMMANDS)


def messages() -> list[list[str]]:
    """The fixed words of every message in the package, between which values go."""
    found = []
    for path in (ROOT / "logitmix_hf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append([str(part.value) if isinstance(part, ast.Constant) else "" for part in node.values])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append([node.value])
    return [parts for parts in found if len("".join(parts)) > 18]


def says(parts: list[str], line: str) -> bool:
    fixed = all(part in line for part in parts)
    return fixed and re.fullmatch("".join(re.escape(part) or ".*" for part in parts), line) is not None


def test_troubleshooting_quotes_real_messages():
    """Word for word, but for names and numbers: a message that was reworded must be reworded there too."""
    known = messages()
    blocks = re.findall(r"^```text\n(.*?)^```", text("docs/troubleshooting.md"), re.M | re.S)
    quoted = [line for block in blocks for line in block.splitlines() if line]
    assert len(quoted) > 20

    def real(line: str) -> bool:
        """As a whole, or behind the name of its kind."""
        return any(says(parts, told) for told in (line, line.partition(": ")[2]) for parts in known)

    assert not real(quoted[0].replace("package", "parcel"))
    assert [line for line in quoted if not real(line)] == []


def test_the_questions_quote_only_numbers_of_the_results():
    results = {number.lstrip("0") for number in re.findall(r"\d*\.\d+", text("docs/RESULTS.md"))}
    named = re.findall(r"(?<![\w.])\d*\.\d{2,}", prose(ROOT / "docs" / "faq.md"))
    assert len(named) > 10
    assert [number for number in named if number.lstrip("0") not in results] == []


def test_the_calibration_page_explains_every_number_of_a_report():
    posterior = np.array([[0.7, 0.3], [0.2, 0.8]])
    p = Predictions(np.log(posterior), np.array([0, 1]), posterior=posterior)
    page = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    always, final = ([row[0].strip("`").removeprefix("eval_") for row in table(page, "key", n)] for n in (0, 1))
    always.remove(NLL_REFINED)  # of the commands alone, as it fits temperatures
    assert always == list(evaluate_predictions(p, ["accuracy"]))[1:]
    assert [*always, *final] == list(review(p, ["accuracy"]))[1:]


def test_this_version_has_its_entry_in_the_changelog():
    assert f"\n## {logitmix_hf.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
