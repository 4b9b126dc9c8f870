"""The card's template: it asks for nothing that it is not given, and shows what a user named without obeying it."""

from __future__ import annotations

import re
from importlib.resources import files

import jinja2
import pytest
import yaml
from cardrun import CONFIG, INTERVALS, RESULTS, card, four_rows, record
from markdown_it import MarkdownIt

from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, SINGLE
from logitmix_hf.reporting.card.facts import Facts
from logitmix_hf.reporting.card.readme import write_card
from logitmix_hf.reporting.card.values import card_values
from logitmix_hf.reporting.folder import RunFolder

EVIL = [
    "x|<img src=x onerror=alert(1)>",
    "good\n\n## Evil\n\n- list",
    "\x1b[2J\x1b]0;title\x07",
    "`; ``` ![p](http://example.org/p.png)",
    "[click](http://example.org)<!-- written by logitmix_hf: {} -->",
    "a\n---\nlicense: mit\n---\n",
    "{{ 7 * 6 }}{% raw %}",
    "\u202egnp.exe",
]
IMAGE = {"pipeline_tag": "image-classification", "type": "logitmix_convnet", "pretrained": False, "image_size": 8}


def evil_record(evil, **changes):
    return record(
        command=f"logitmix glue --train_file '{evil}'",
        model={"base": evil, "local": True},
        data={
            "name": evil, "source": evil, "kind": "files", "label_names": [evil, "plain"], "fingerprint": evil,
            "splits": {"eval": {"split": evil, "rows": 4}}, "validation": evil, "subset": evil,
        },
        method={"name": evil, "site": evil, "source": evil, "note": evil},
        seeds={"seed": evil},
        environment={"cpu": evil, "device": {"type": "cuda", "name": evil}, "versions": {"torch": evil}},
        **changes,
    )  # fmt: skip


def evil_card(evil):
    fit = {"split": evil, "rows": 9, "bound": evil}
    measured = {"grams": 1.0, "kwh": 1.0, "seconds": 1.0, "place": evil, "version": evil}
    return card(
        {**RESULTS, "calibration": fit}, evil_record(evil, arguments={"load_best_model_at_end": True}),
        intervals={**INTERVALS, "seed": evil}, temperature=CONFIG["logitmix"], predictions={"eval": four_rows()},
        emissions=measured,
    )  # fmt: skip


def body(text: str) -> str:
    return text.split("\n---\n", 1)[1]


def parsed(text: str):
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(body(text))
    return [token for block in tokens for token in (block, *(block.children or ()))]


@pytest.mark.parametrize("evil", EVIL)
def test_what_a_user_named_is_shown_and_never_obeyed(evil):
    plain, text = evil_card("name"), evil_card(evil)
    for kind in (
        "heading_open",
        "html_block",
        "html_inline",
        "link_open",
        "image",
        "fence",
        "tr_open",
        "td_open",
        "hr",
    ):
        found, expected = ([one.type for one in parsed(card)].count(kind) for card in (text, plain))
        assert found == expected, kind
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    metadata = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert metadata.keys() == yaml.safe_load(plain.split("\n---\n")[0].removeprefix("---\n")).keys()


@pytest.mark.parametrize("evil", EVIL)
def test_a_folder_may_be_called_anything(tmp_path, evil):
    folder = RunFolder(tmp_path / evil.replace("/", "∕"))
    folder.path.mkdir()
    folder.write_json("run.json", record())
    for name in ("config.json", "model.safetensors"):
        (folder.path / name).write_text("{}")
    for _ in range(2):  # it is written again around nothing
        assert write_card(folder) == ()
    tokens = parsed((folder.path / "README.md").read_text())
    assert [token.tag for token in tokens if token.type == "heading_open"].count("h1") == 1
    assert not any(token.type == "html_inline" for token in tokens)
    (code,) = [token.content for token in tokens if token.type == "fence" and token.info == "python"]
    places: list[str] = []
    exec(
        code.partition("classify = ")[2].partition("\nprint")[0],
        {"pipeline": lambda _, model, **__: places.append(model)},
    )
    assert places == [str(folder.path)]


@pytest.mark.parametrize("problem", [SINGLE, MULTI, REGRESSION])
@pytest.mark.parametrize("model", [{}, {"base": "builtin"}, IMAGE])
@pytest.mark.parametrize("trained", [True, False])
def test_the_template_asks_for_nothing_that_it_is_not_given(problem, model, trained):
    strict = jinja2.Environment(undefined=jinja2.StrictUndefined)
    template = strict.from_string((files("logitmix_hf.reporting.card") / "card.md.j2").read_text(encoding="utf-8"))
    run = record(model=model, data={"problem": problem}, arguments={"do_train": trained})
    for results, temperature in ((RESULTS, CONFIG["logitmix"]), (RESULTS, {}), ({}, {})):
        facts = Facts(run, results, "name", "runs/x", run["method"], temperature=temperature, intervals=INTERVALS)
        assert template.render(card_data="", **card_values(facts)).count("## ") >= 7
