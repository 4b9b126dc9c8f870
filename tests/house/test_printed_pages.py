"""The pages of docs/ that are printed from tables are as their tables are."""

from __future__ import annotations

from pathlib import Path

import pytest
from printed_pages import PAGES

from logitmix_hf.vision.mixers import MIXERS
from logitmix_hf.vision.networks import NETWORKS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_fresh(name: str) -> None:
    assert (DOCS / f"{name}.md").read_text(encoding="utf-8") == PAGES[name](), (
        f"python docs/_ext/printed_pages.py {name}"
    )


def test_every_row_is_on_its_page() -> None:
    assert all(f"## `{name}`" in PAGES["mixers"]() for name in MIXERS)
    assert all(f"| `{name}` |" in PAGES["networks"]() for name in NETWORKS)
