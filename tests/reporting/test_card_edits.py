"""What somebody wrote into a card stays when it is written again; what is ours is new."""

from __future__ import annotations

import re

import pytest
import yaml
from cardrun import RESULTS, card, metadata
from cardrun import section as section_of
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.errors import UserError
from logitmix_hf.reporting.card.edits import is_marked, marked, merged, relocated

OLD = card()
NEW = card({**RESULTS, "eval_accuracy": 0.8125})
HEADINGS = re.findall(r"^## (.*)$", OLD, re.MULTILINE)


def section(text, heading):
    return re.sub("<!-- written by .* -->", "", section_of(text, heading)).strip()


def headings(text):
    return re.findall(r"^## (.*)$", text, re.MULTILINE)


def test_an_untouched_card_is_written_anew():
    found = merged(marked(OLD), NEW)
    assert found.text == marked(NEW)
    assert found.kept == ()
    assert merged(marked(OLD), OLD).text == marked(OLD)


def test_the_mark_is_one_comment_that_readers_of_the_page_do_not_see():
    assert is_marked(marked(OLD))
    assert not is_marked(OLD)
    extra = marked(OLD).removeprefix(OLD.rstrip()).strip()
    assert extra.startswith("<!-- ")
    assert extra.endswith(" -->")
    assert "\n" not in extra
    assert metadata(marked(OLD)).base_model == metadata(OLD).base_model


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_section_that_was_changed_stays_and_is_named(heading):
    mine = marked(OLD).replace(f"## {heading}\n", f"## {heading}\n\nMy own words.\n")
    found = merged(mine, NEW)
    assert section(found.text, heading) == section(mine, heading)
    assert found.kept == (heading,)
    assert ("0.8125" in section(found.text, "Results")) == (heading != "Results")
    again = merged(found.text, NEW)
    assert (again.text, again.kept) == (found.text, found.kept)


@pytest.mark.parametrize("before", [*HEADINGS, None])
def test_a_section_of_ones_own_stays_at_its_place(before):
    own = "## Ethics\n\n```markdown\n## Results\n```\n\nThink first."
    text = marked(OLD)
    mine = text.replace(f"## {before}\n", f"{own}\n\n## {before}\n") if before else f"{text}\n{own}\n"
    found = merged(mine, NEW)
    assert own in found.text
    assert found.kept == ()
    expected = [*HEADINGS]
    expected.insert(HEADINGS.index(before) if before else len(HEADINGS), "Ethics")
    assert headings(found.text.replace("```markdown\n## Results\n```", "")) == expected
    assert "0.8125" in found.text


def test_a_section_that_was_taken_out_stays_out():
    mine = marked(OLD).replace(f"## Limits\n\n{section(OLD, 'Limits')}", "")
    found = merged(mine, NEW)
    assert headings(found.text) == [heading for heading in HEADINGS if heading != "Limits"]
    assert "Limits" not in headings(merged(found.text, NEW).text)


def test_a_section_that_is_new_comes_to_its_place_and_one_that_has_nothing_to_say_goes():
    untempered = card({key: value for key, value in RESULTS.items() if key != "temperature"})
    assert "Temperature" not in headings(untempered)
    found = merged(marked(untempered), NEW)
    assert found.text == marked(NEW)
    assert merged(marked(OLD), untempered).text == marked(untempered)


def test_a_heading_of_ours_that_somebody_had_before_us_is_theirs():
    untempered = card({key: value for key, value in RESULTS.items() if key != "temperature"})
    mine = marked(untempered).replace("## Training", "## Temperature\n\nCold.\n\n## Training")
    found = merged(mine, NEW)
    assert section(found.text, "Temperature").strip() == "Cold."
    assert headings(found.text).count("Temperature") == 1
    assert found.kept == ("Temperature",)


def test_metadata_of_ones_own_stays_and_what_is_measured_is_new():
    there = (
        marked(OLD)
        .replace("license: x\n", "")
        .replace("tags:\n", "license: mit\nlanguage: cy\nwidget:\n- text: hello\ntags:\n- mine\n")
    )
    found = metadata(merged(there, NEW).text)
    assert (found.license, found.language, found["widget"]) == ("mit", "cy", [{"text": "hello"}])
    assert found.tags == ["mine", "logitmix_hf", "calibration", "mixup"]
    assert {one.metric_type: one.metric_value for one in found.eval_results}["accuracy"] == 0.8125
    unjudged = merged(there, card({}))
    assert metadata(unjudged.text).get("eval_results") is None
    block = unjudged.text.split("---")[1]
    assert yaml.safe_load(block)["license"] == "mit"


def test_what_somebody_measured_stays_where_we_measure_nothing():
    """Emissions that a user looked up: no run of ours tracked any."""
    there = marked(OLD).replace("tags:\n", "co2_eq_emissions: 4.5\ntags:\n", 1)
    assert "co2_eq_emissions" not in NEW
    assert yaml.safe_load(merged(there, NEW).text.split("---")[1])["co2_eq_emissions"] == 4.5
    tracked = NEW.replace("tags:\n", "co2_eq_emissions: 7.5\ntags:\n", 1)
    assert yaml.safe_load(merged(there, tracked).text.split("---")[1])["co2_eq_emissions"] == 7.5


def test_metadata_that_is_no_yaml_is_told():
    with pytest.raises(UserError, match="README.md is no YAML") as caught:
        merged(marked(OLD).replace("tags:\n", "tags: [\n"), NEW)
    assert "\n" not in str(caught.value)


def test_other_ends_of_lines_and_a_pushed_card_are_no_changes():
    for text in (
        marked(OLD).replace("\n", "\r\n"),
        relocated(marked(OLD), "ada/rte"),
        marked(OLD).replace("\n\n", "\n\n\n"),
    ):
        found = merged(text, NEW)
        assert found.kept == ()
        assert section(found.text, "Results") == section(NEW, "Results")


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.sampled_from(HEADINGS), st.text("ab #`~-|<>\n", max_size=40), max_size=4), st.randoms())
def test_nothing_that_was_written_into_a_card_is_lost(added, random):
    text = marked(OLD)
    for heading, words in added.items():
        text = text.replace(f"## {heading}\n", f"## {heading}\n\n<words {heading}>\n{words}\n")
    found = merged(text, NEW)
    for heading in added:
        assert f"<words {heading}>" in found.text
    again = merged(found.text, NEW)
    assert again.text == found.text
