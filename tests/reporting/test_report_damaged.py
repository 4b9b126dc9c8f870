"""One damaged run never ends a report: it is read as far as it goes, or left out with a word."""

from __future__ import annotations

import copy
import csv
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reportruns import write_json, write_run

from logitmix_hf.cli import main

FILES = ("run.json", "eval_results.json", "intervals.json", "trainer_state.json")
INTERVALS = {"level": 0.95, "resamples": 100, "seed": 0, "eval": {"accuracy": [0.7, 0.9]}}


def report(folder, *runs):
    return main(["report", *map(str, runs), "--output_dir", str(folder), "--bootstrap", "100"])


def places(value, path=()):
    """Every place in a JSON value, by the keys that lead there."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(value, path, new):
    if not path:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return value


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A good run, and one of a temperature of its own, whose files are as they were written."""
    home = tmp_path_factory.mktemp("damaged")
    write_run(home / "good")
    write_run(home / "bad", method="logitmix", seed=2, temperature=1.5)
    write_json(home / "bad" / "intervals.json", INTERVALS)
    return home


@pytest.fixture(scope="module")
def whole(home):
    return {name: json.loads((home / "bad" / name).read_text()) for name in FILES}


def wrong(value):
    """Something of another type, or of the same and out of range."""
    return st.sampled_from(
        [None, True, "x", "", 0, -7, 0.5, 10**400, float("nan"), float("inf"), [], {}, [None], {"a": []}, [["x"]]]
    ).filter(lambda other: other != value)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_file_says_the_other_run_is_reported(home, whole, data):
    name = data.draw(st.sampled_from(FILES))
    path = data.draw(st.sampled_from(list(places(whole[name]))))
    write_json(home / "bad" / name, changed(whole[name], path, data.draw(wrong(None))))
    try:
        assert report(home / "out", home / "good", home / "bad") in (0, 1)
        with (home / "out" / "results.csv").open(newline="") as file:
            assert "good" in [line["run"] for line in csv.DictReader(file)]
    finally:
        write_json(home / "bad" / name, whole[name])


@pytest.mark.parametrize("key", ["method", "model", "seeds", "peak_memory", "arguments", "environment", "data"])
@pytest.mark.parametrize("value", ["x", 7, ["x"], True])
def test_a_record_of_a_wrong_shape_is_named_by_its_key(home, whole, capsys, key, value):
    write_json(home / "bad" / "run.json", {**whole["run.json"], key: value})
    assert report(home / "out", home / "good", home / "bad") == 1
    assert f"left out {home}/bad: '{home}/bad/run.json' has no object under {key!r}" in capsys.readouterr().err
    write_json(home / "bad" / "run.json", whole["run.json"])


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_nested_too_deep_are_no_end(home, whole, capsys, name):
    (home / "bad" / name).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    assert report(home / "out", home / "good", home / "bad") == 1
    assert "cannot be read as JSON" in capsys.readouterr().err
    write_json(home / "bad" / name, whole[name])
