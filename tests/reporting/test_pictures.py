"""The pictures are written, whole, with the right numbers in them, and leave matplotlib as it was."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.predictions import MULTI, REGRESSION, Predictions
from logitmix_hf.evaluation.scores import bin_predictions, evaluate_predictions
from logitmix_hf.reporting import curves, plots, style
from logitmix_hf.reporting.curves import training_plot
from logitmix_hf.reporting.plots import compare_reliability, reliability_plot

PNG = b"\x89PNG\r\n\x1a\n"


def predictions(rows=120, classes=3, seed=0, posterior=True) -> Predictions:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)) * 2
    truth = np.exp(logits / 2) / np.exp(logits / 2).sum(1, keepdims=True)
    labels = np.array([rng.choice(classes, p=p) for p in truth])
    return Predictions(logits=logits, labels=labels, posterior=truth if posterior else None)


@pytest.fixture
def texts(monkeypatch):
    """Every text and the size of the figures that were saved."""
    seen = []
    save = style.save_figure

    def spy(figure, path):
        from matplotlib.text import Text

        save(figure, path)
        seen.extend(artist.get_text() for artist in figure.findobj(Text))

    for module in (plots, curves):
        monkeypatch.setattr(module, "save_figure", spy)
    return seen


def test_the_picture_says_ece_oe_and_n_of_the_predictions(tmp_path, texts):
    p = predictions()
    reliability_plot(p, tmp_path / "a" / "reliability.png", "logitmix on rte")
    scores = evaluate_predictions(p)
    assert (tmp_path / "a" / "reliability.png").read_bytes().startswith(PNG)
    assert f"ECE {scores['ece']:.3f}\nOE  {scores['oe']:.3f}\nn   120" in texts
    assert {"logitmix on rte", "confidence", "accuracy", "examples", "true probability"} <= set(texts)


def test_bins_draw_as_their_predictions_do(tmp_path):
    p = predictions(posterior=False)
    reliability_plot(p, tmp_path / "p.png", "x")
    reliability_plot(bin_predictions(p), tmp_path / "b.png", "x")
    assert (tmp_path / "p.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_true_rate_of_a_bin_is_the_mean_posterior_of_the_predicted_class():
    p = Predictions(
        logits=np.log([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]]),
        labels=np.array([0, 1, 1]),
        posterior=np.array([[0.7, 0.3], [0.5, 0.5], [0.1, 0.9]]),
    )
    rate = plots._true_rate(p, bin_predictions(p, bins=2))
    assert rate is not None
    assert np.isnan(rate[0])
    assert rate[1] == pytest.approx((0.7 + 0.5 + 0.9) / 3)


def test_two_classes_begin_at_a_half_and_more_at_nothing():
    """Of 15 bins the one of .5 begins at 7/15."""
    assert plots._begin(bin_predictions(predictions(classes=2, posterior=False))) == pytest.approx(7 / 15)
    assert plots._begin(bin_predictions(predictions(classes=2, posterior=False), bins=10)) == pytest.approx(0.4)
    assert plots._begin(bin_predictions(predictions(classes=6, posterior=False))) == 0


def test_a_bin_of_one_row_is_narrow(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: drawn.append(figure))
    confidences = np.array([0.62] + [0.95] * 206)
    logits = np.log(np.stack([confidences, 1 - confidences], 1))
    reliability_plot(Predictions(logits=logits, labels=np.zeros(207, int)), tmp_path / "x.png")
    bars = [bar.get_width() for bar in drawn[0].axes[0].patches if bar.get_height() > 0.3]
    assert min(bars) < 0.11 * max(bars)


def test_what_was_logged_once_stands_as_bars(tmp_path, texts):
    once = {"step": 50, "loss": 1.4, "loss_mix": 0.7, "loss_cls": 0.6, "loss_sim": 0.1}
    judged = {"step": 50, "eval_accuracy": 0.54, "eval_ece": 0.02}
    training_plot([once, judged], tmp_path / "a.png", "accuracy")
    assert {
        "loss, logged once, at step 50",
        "evaluation, logged once, at step 50",
        "0.540",
        "accuracy",
        "1.400",
    } <= set(texts)
    texts.clear()
    training_plot([{**once, "step": 25}, once, judged], tmp_path / "b.png", "accuracy")
    assert {"optimiser step", "evaluation, logged once, at step 50"} <= set(texts)


def test_methods_side_by_side_share_their_axes(tmp_path, texts):
    compare_reliability({"vanilla": predictions(seed=1), "logitmix": predictions(90, seed=2)}, tmp_path / "c.png")
    assert {"vanilla", "logitmix", "share of\nexamples"} <= set(texts)
    several = {f"method {number}": predictions(seed=number) for number in range(5)}
    compare_reliability(several, tmp_path / "rows.png")
    assert set(several) <= set(texts)
    assert texts.count("accuracy") == 1 + 2  # a label for each row of pictures, three in a row
    with pytest.raises(UserError, match="one to twelve"):
        compare_reliability({}, tmp_path / "c.png")


@pytest.mark.parametrize("rows", [1, 2])
def test_few_rows_and_one_class_draw_too(tmp_path, rows):
    reliability_plot(Predictions(logits=np.zeros((rows, 2)), labels=np.zeros(rows)), tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(PNG)


def test_a_name_with_signs_of_formulas_is_no_formula(tmp_path):
    """A file may be called so, and two such signs are a formula to matplotlib, here one that it cannot read."""
    reliability_plot(predictions(), tmp_path / "r.png", title=r"costs_$_2024$\foo.csv")
    compare_reliability({"$^$": predictions(), "plain": predictions(seed=1)}, tmp_path / "c.png", title="$_$")
    assert (tmp_path / "r.png").read_bytes().startswith(PNG)


def test_several_labels_a_row_are_decisions(tmp_path, texts):
    p = Predictions(logits=np.ones((4, 3)), labels=np.ones((4, 3)), problem=MULTI)
    reliability_plot(p, tmp_path / "r.png")
    assert "decisions" in texts
    assert any(text.endswith("n   12") for text in texts)


def test_what_has_no_confidence_is_a_mistake(tmp_path):
    with pytest.raises(UserError):
        reliability_plot(Predictions(logits=np.ones((2, 1)), labels=np.ones(2), problem=REGRESSION), tmp_path / "r.png")
    assert not list(tmp_path.iterdir())


def test_training_shows_the_terms_and_the_score(tmp_path, texts):
    history = [
        {"step": 5, "loss": 1.5, "loss_mix": 0.7, "loss_cls": 0.6, "loss_sim": 0.2},
        {"step": 10, "loss": 1.0, "loss_mix": 0.5, "loss_cls": 0.4, "loss_sim": float("nan")},
        {"step": 10, "eval_accuracy": 0.75, "eval_ece": 0.05},
        {"step": 10, "train_runtime": 3.0},
    ]
    training_plot(history, tmp_path / "training.png")
    assert {
        "loss (weighted sum)",
        "mixed rows",
        "clean rows",
        "similarity",
        "accuracy",
        "0.750",
        "ECE",
        "0.050",
    } <= set(texts)


@pytest.mark.parametrize("history", [[], [{"step": 1, "loss": 0.5}], [{"step": 1, "eval_pearson": 0.5}]])
def test_a_short_history_draws_too(tmp_path, history):
    training_plot(history, tmp_path / "t.png")
    assert (tmp_path / "t.png").read_bytes().startswith(PNG)


def test_drawing_leaves_matplotlib_alone(tmp_path):
    import matplotlib as mpl

    before, loaded = dict(mpl.rcParams), "matplotlib.pyplot" in sys.modules
    reliability_plot(predictions(), tmp_path / "r.png")
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded
