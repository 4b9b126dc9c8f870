"""The page of the methods is the table of the methods."""

from __future__ import annotations

from pathlib import Path

from logitmix_hf.methods import METHODS, methods_page

PAGE = Path(__file__).parents[2] / "docs/methods.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == methods_page(), "print it anew: python -m logitmix_hf.methods > docs/methods.md"


def test_every_method_has_a_card_with_its_source() -> None:
    cards = PAGE.read_text().split("\n## ")[1:]
    assert [card.split("\n")[0].strip("`") for card in cards] == list(METHODS)
    assert all("| Source | " in card for card in cards)
