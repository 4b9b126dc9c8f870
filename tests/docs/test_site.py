"""The site that `make docs` builds: without a warning, without a network, and with no link that leads nowhere."""

from __future__ import annotations

import importlib
import io
import re
import sys
import zlib
from contextlib import redirect_stderr
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from logitmix_hf.cli import COMMANDS

build_main = pytest.importorskip("sphinx.cmd.build", reason='the site needs the extra: pip install ".[docs]"').main
# Of Sphinx's own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
CLOSED = "http://127.0.0.1:9"

ROOT = Path(__file__).parents[2]
MODULES = ("logitmix_hf", "logitmix_hf.vision", "logitmix_hf.evaluation", "logitmix_hf.serving")
LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}  # fetched with the page
GONE = {"canonical", "search", "next", "prev", "index", "author", "copyright", "toc"}  # rel= that fetches nothing


class Page(HTMLParser):
    """What one page links to, loads, and can be linked to by."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.bare_images: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found["id"]} if "id" in found else set()
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif (address := found.get(LOADED.get(tag, ""))) and not set(found.get("rel", "").split()) & GONE:
            self.loaded.append(address)
        if tag == "img" and not found.get("alt", "").strip():
            self.bare_images.append(found.get("src", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the words of the Makefile, into a folder of its own."""
    (words,) = re.findall(r"^\t\$\(PY\) (-m sphinx .+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    out = tmp_path_factory.mktemp("site")
    words = words.replace("build/doctrees", str(out / "trees")).replace("build/docs", str(out / "html"))
    heard = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(heard):  # here, where all is imported already
        for name, value in {"HTTP_PROXY": CLOSED, "HTTPS_PROXY": CLOSED, "HF_HUB_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        patch.chdir(ROOT)
        patch.setattr(sys, "path", [*sys.path])  # which conf.py changes
        code = build_main(words.split()[2:])
    assert code == 0, heard.getvalue()[-4000:]
    assert heard.getvalue() == ""
    return out / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_page_is_there(site: Path) -> None:
    sources = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".rst")]
    assert len(sources) > 15
    assert [str(path) for path in sources if not (site / path.with_suffix(".html")).is_file()] == []


def test_links_lead_to_a_page_and_a_place_in_it(site: Path, pages: dict[Path, Page]) -> None:
    lost = []
    for path, page in pages.items():
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].ids if target in pages else set()
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in anchors):
                lost.append(f"{path.name}: {address}")
    assert sum(len(page.links) for page in pages.values()) > 300
    assert sorted(set(lost)) == []


def test_a_page_opens_from_disk_without_a_network(site: Path, pages: dict[Path, Page]) -> None:
    """Every script, style and picture lies within the site."""
    for path, page in pages.items():
        assert page.loaded, path
        for address in page.loaded:
            parts = urlsplit(address)
            assert not parts.scheme and not parts.netloc, f"{path.name} loads {address}"  # noqa: PT018
            assert (path.parent / unquote(parts.path)).is_file(), f"{path.name} loads {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import", style.read_text(encoding="utf-8")), style.name


def test_pictures_are_told_in_words(pages: dict[Path, Page]) -> None:
    assert {path.name: page.bare_images for path, page in pages.items() if page.bare_images} == {}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_its_entry(module: str, site: Path) -> None:
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]  # after four lines about the project
    lines = zlib.decompress(packed).decode().splitlines()
    entries = {line.split()[0] for line in lines if line.split()[1].startswith("py:")}
    public = importlib.import_module(module).__all__
    assert [name for name in public if f"{module}.{name}" not in entries] == []


def test_every_command_has_its_flags(pages: dict[Path, Page], site: Path) -> None:
    ids = pages[site / "commands.html"].ids
    assert [name for name in COMMANDS if f"logitmix-{name}" not in ids] == []
    assert {"glue-alpha", "glue-site", "vision-mixer", "push-hub-model-id"} <= ids
    assert "glue-num-train-epochs" not in ids  # those of TrainingArguments are named, not repeated


def test_docstrings_are_read_as_written(site: Path) -> None:
    """No field that Sphinx did not understand, no role that is shown as text."""
    for path in (site / "api").glob("*.html"):
        text = re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8"))
        assert not re.search(r":(?:class|func|data|attr|meth|mod):|:param |:ivar |:raises ", text), path.name
