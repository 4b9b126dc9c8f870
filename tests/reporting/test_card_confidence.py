"""What the card says of confidence: intervals, temperature before and after, coverage; numbers counted by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cardrun import CONFIG, INTERVALS, RESULTS, card, four_rows, logits_of, metadata, record, section
from hypothesis import given, settings
from hypothesis import strategies as st

from logitmix_hf.evaluation.coverage import coverage_curve
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions
from logitmix_hf.reporting.card.tables import COVERAGES, coverage_rows


def test_each_score_has_its_interval_beside_it():
    text = section(card(intervals=INTERVALS), "Results")
    assert "| split | rows | score | value | 90 % interval |" in text
    assert "| validation | 4 | Accuracy | 0.7500 | [0.7000, 0.8000] |" in text
    assert "| validation | 4 | Negative log-likelihood (NLL) | 0.5000 | – |" in text
    assert "(500 resamples, seed 7)" in text
    assert metadata(card(intervals=INTERVALS)).eval_results[0].metric_value == 0.75


@pytest.mark.parametrize(
    "intervals", [{}, {"level": 0.95, "eval": {"accuracy": [None, 0.8]}}, {"eval_mm": {"ece": [0, 1]}}]
)
def test_without_intervals_there_is_no_column_for_them(intervals):
    text = section(card(intervals=intervals), "Results")
    assert "| split | rows | score | value |\n" in text
    assert "interval" not in text
    assert "resamples" not in text


def test_the_temperature_stands_with_what_it_changed():
    text = section(card(intervals=INTERVALS, temperature=CONFIG["logitmix"]), "Temperature")
    assert "T = 1.5000: the model was over-confident" in text
    assert "likelihood least on rows of train (249 rows). Its 95 % interval is 1.25 to 1.8." in text
    assert "| split | score | before | after |" in text
    ece = "| validation | Expected calibration error (ECE) | 0.1500 [0.1100, 0.1900] | 0.0500 [0.0100, 0.0900] |"
    assert ece in text
    assert "| validation | Negative log-likelihood (NLL) | 0.7000 | 0.5000 |" in text
    assert "folded into the last linear layer" in text
    assert "bound" not in text


def test_a_model_may_be_under_confident():
    text = section(card({**RESULTS, "temperature": 0.05}, temperature=CONFIG["logitmix"]), "Temperature")
    assert "T = 0.0500: the model was under-confident" in text


def test_without_a_best_temperature_the_card_claims_none():
    told = {**RESULTS, "temperature": 1.0, "calibration": {**RESULTS["calibration"], "bound": "lower"}}
    text = section(card(told, temperature={**CONFIG["logitmix"], "temperature": 1.0}), "Temperature")
    assert "**T stays at 1, so these probabilities are not calibrated**" in text
    assert "more confidence was always better on rows of train (249 rows)" in text
    assert "folded" not in text
    assert "after" not in text


def test_a_direction_is_claimed_only_where_the_interval_leaves_out_1():
    told = {**RESULTS, "temperature": 0.05, "calibration": {**RESULTS["calibration"], "interval": [0.01, 100]}}
    text = section(card(told), "Temperature")
    assert "confident" not in text.partition("| split |")[0]
    assert "T = 0.0500, and the interval below holds 1, which changes nothing" in text


def test_rows_that_the_words_count_are_not_counted_again():
    told = {**RESULTS, "calibration": {"split": "a stratified 0.2 share of train (1,211 rows), seed 42", "rows": 1211}}
    assert section(card(told), "Temperature").count("1,211 rows") == 1


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"protocol": "halves", "split": "halves of dev", "temperatures": [1.25, 1.75]}, "halves, 1.2500 and 1.7500."),
        ({"protocol": "file", "split": "the file more.csv", "rows": 1200}, "least on the file more.csv (1,200 rows)."),
        ({"protocol": "file", "split": "the file more.csv", "rows": 49}, "**It was fitted on only 49 rows"),
        ({"protocol": "eval", "split": "validation", "rows": 400}, "better than on new data"),
        ({}, "likelihood least."),
    ],
)
def test_every_way_to_a_temperature_is_told(told, says):
    text = section(card({**RESULTS, "calibration": told}), "Temperature")
    assert says in text
    assert ("better than on new data" in text) == (told.get("protocol") == "eval")
    assert ("fitted on only" in text) == (told.get("rows", 50) < 50)


def test_both_dev_sets_of_mnli_have_their_before_and_after():
    splits = {"eval": {"split": "validation_matched"}, "eval_mm": {"split": "validation_mismatched"}}
    told = {**RESULTS, "eval_mm_ece": 0.04, "eval_mm_uncalibrated_ece": 0.2}
    text = section(card(told, record(data={"splits": splits})), "Temperature")
    assert "| validation_matched | Expected calibration error (ECE) | 0.1500 | 0.0500 |" in text
    assert "| validation_mismatched | Expected calibration error (ECE) | 0.2000 | 0.0400 |" in text


@pytest.mark.parametrize("problem", [REGRESSION, None])
def test_without_a_temperature_there_is_no_section(problem):
    results = {key: value for key, value in RESULTS.items() if key != "temperature" or problem}
    assert "## Temperature" not in card(results, record(data={"problem": problem} if problem else {}))


def test_coverage_by_hand():
    text = section(card(predictions={"eval": four_rows()}), "Coverage")
    # 95 and 90 % of four rows are all four, 80 % rounds up to four, 50 % are the two surest, both right.
    assert "| validation | 100% | none | 100.0% | 0.7500 |" in text
    # Single precision makes the .6 of the least sure row a little less, and thresholds are rounded down.
    for share in ("95%", "90%", "80%"):
        assert re.search(rf"\| validation \| {share} \| 0\.(600|599) \| 100\.0% \| 0\.7500 \|", text)
    assert re.search(r"\| validation \| 50% \| 0\.(800|799) \| 50\.0% \| 1\.0000 \|", text)


def test_rows_of_one_confidence_come_together():
    rows = four_rows(logits=logits_of([0.9, 0.7, 0.7, 0.7]))
    _, threshold, reached, accuracy = coverage_rows(rows)[-1]
    assert 0.69 < float(threshold) <= 0.7
    assert (reached, accuracy) == (1.0, 0.75)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-30, 30, width=32), st.booleans()), min_size=1, max_size=60))
def test_the_threshold_as_it_is_typed_gives_what_the_table_says(rows):
    predictions = Predictions(
        logits=np.array([[0.0, z] for z, _ in rows]), labels=np.array([int(right) for _, right in rows])
    )
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.predictions == predictions.labels
    curve = coverage_curve(predictions)
    for wanted, threshold, reached, accuracy in coverage_rows(predictions):
        taken = confidence >= (0 if wanted == 1 else float(threshold))
        assert reached == taken.mean() >= wanted - 1e-12
        assert accuracy == pytest.approx(right[taken].mean())
        # The other way to it: the curve at that many rows, at the end of a run of equals.
        assert accuracy == pytest.approx(curve.accuracy[taken.sum() - 1])
        # The highest such threshold: without its least confident rows there are too few.
        assert wanted == 1 or (confidence > confidence[taken].min()).mean() < wanted


def test_multi_label_counts_decisions_and_regression_has_none():
    # Two rows, two labels: the sigmoids are .9, .2, .6, .5 or so; yes where above one half.
    logits = np.log(np.array([[0.9, 0.2], [0.6, 0.4]]) / (1 - np.array([[0.9, 0.2], [0.6, 0.4]])))
    several = Predictions(logits=logits, labels=np.array([[1, 0], [0, 0]]), problem=MULTI)
    assert [round(accuracy, 4) for *_, accuracy in coverage_rows(several)] == [0.75, 0.75, 0.75, 0.75, 1.0]
    assert "Each label's yes or no counts as a row." in card(
        run=record(data={"problem": MULTI}), predictions={"eval": several}
    )
    value = Predictions(logits=np.zeros((2, 1)), labels=np.zeros(2), problem=REGRESSION)
    assert coverage_rows(value) == []
    assert coverage_rows(four_rows(labels=None)) == []
    assert len(coverage_rows(four_rows())) == len(COVERAGES)
    assert "## Coverage" not in card(predictions={"eval": value})


def test_metadata_says_the_bins_and_leaves_references_out():
    found = {one.metric_type: one for one in metadata(card({**RESULTS, "eval_ece_by_chance": 0.03})).eval_results}
    assert found["ece"].metric_args == {"bins": 15}
    assert found["accuracy"].metric_args is None
    assert "ece_by_chance" not in found
    assert "eval_uncalibrated_ece" not in found
