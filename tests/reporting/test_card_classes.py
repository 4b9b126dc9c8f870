"""The card's section on classes: numbers as scikit-learn's, bounded, and nothing of a name is obeyed."""

from __future__ import annotations

import numpy as np
from cardrun import card, four_rows, record, section
from PIL import Image
from sklearn.metrics import precision_recall_fscore_support

from logitmix_hf.evaluation import REGRESSION, Predictions
from logitmix_hf.evaluation.class_scores import class_scores
from logitmix_hf.reporting.confusion import confusion_plot


def drawn(classes: int, rows: int = 300) -> Predictions:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, rows)
    logits = draw.normal(size=(rows, classes)) + 2 * np.eye(classes)[labels]
    return Predictions(logits, labels, tuple(f"c{k}" for k in range(classes)))


def test_scores_and_matrix_of_each_split():
    p = drawn(3)
    text = section(card(predictions={"eval": p}), "Classes")
    scores = precision_recall_fscore_support(p.labels, p.predictions)
    for k in range(3):
        assert f"| c{k} | {scores[3][k]} | {scores[0][k]:.4f} | {scores[1][k]:.4f} | {scores[2][k]:.4f} |" in text
        counts = " | ".join(str(((p.labels == k) & (p.predictions == said)).sum()) for said in range(3))
        assert f"| c{k} | {counts} |" in text
    assert "balanced accuracy" in text
    assert "![Confusion" not in text
    assert "![Confusion" in card(predictions={"eval": p}, confusion="confusion.png")


def test_many_classes_are_bounded_with_a_word():
    text = section(card(predictions={"eval": drawn(200, 2000)}), "Classes")
    assert text.count("\n| ") < 50
    assert "the 30 of 200 classes with the lowest F1" in text


def test_names_are_shown_and_not_obeyed():
    text = section(card(predictions={"eval": four_rows(label_names=("a|<b>x", "fine"))}), "Classes")
    assert "<b>" not in text
    assert "\\|" in text


def test_a_regression_is_set_beside_the_mean_and_no_labels_are_no_section():
    values = Predictions(np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.0, 6.0]), (), REGRESSION)
    run = record(data={"problem": REGRESSION, "label_names": [], "metrics": ["pearson"]})
    assert "always saying the mean gives RMSE 2.16, MAE 2" in section(
        card(run=run, predictions={"eval": values}), "Classes"
    )
    assert section(card(predictions={"eval": four_rows(labels=None)}), "Classes") == ""


def test_the_picture_has_one_field_a_class(tmp_path):
    for classes in (2, 20, 60):
        found = class_scores(drawn(classes))
        assert found is not None
        assert confusion_plot(found, tmp_path / "c.png")
        with Image.open(tmp_path / "c.png") as picture:
            assert min(picture.size) > 300
            assert max(picture.size) < 2000
    large = class_scores(drawn(150))
    assert large is not None
    assert not confusion_plot(large, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
