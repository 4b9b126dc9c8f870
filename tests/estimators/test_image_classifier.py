"""An image classifier with scikit-learn's methods: every kind of image is the same image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict

from logitmix_hf import ImageClassifier, UserError

DIGITS = load_digits()
PIXELS = (DIGITS.images[:120] / 16 * 255).astype(np.uint8)
LABELS = DIGITS.target[:120]
FAST = {"max_steps": 30, "use_cpu": True, "report_to": "none", "per_device_train_batch_size": 32}


@pytest.fixture(scope="module")
def fitted() -> ImageClassifier:
    return ImageClassifier(model="digits", method="mixup", mixer="cutmix", **FAST).fit(PIXELS, LABELS)


def test_every_kind_of_image_is_the_same_image(fitted, tmp_path):
    expected = fitted.predict_proba(PIXELS[:8])
    pictures = [Image.fromarray(one) for one in PIXELS[:8]]
    paths, encoded = [], []
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
        file = io.BytesIO()
        picture.save(file, format="PNG")
        paths.append(tmp_path / f"{number}.png")
        encoded.append(file.getvalue())
    for images in (list(PIXELS[:8]), pictures, paths, list(map(str, paths)), encoded, PIXELS[:8, :, :, None]):
        assert (fitted.predict_proba(images) == expected).all()
    assert list(fitted.classes_) == list(range(10))
    assert expected.sum(1) == pytest.approx(1)


def test_it_learns_and_is_loaded_again(fitted, tmp_path):
    assert fitted.score(PIXELS, LABELS) > 0.4  # a tenth by chance
    again = ImageClassifier.load(fitted.save(tmp_path / "kept"))
    assert again.predict_proba(PIXELS[:8]) == pytest.approx(fitted.predict_proba(PIXELS[:8]), abs=1e-6)
    assert list(again.predict(PIXELS[:8])) == list(map(str, fitted.predict(PIXELS[:8])))


def test_out_of_fold(fitted):
    folds = cross_val_predict(clone(fitted).set_params(max_steps=2), PIXELS, LABELS, cv=2)
    assert folds.shape == (120,)
    assert set(folds) <= set(range(10))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (PIXELS[:2] / 255, "must be uint8"),
        ([PIXELS[0], None], "row 1 is missing"),
        (["nowhere.png", "nowhere.png"], "cannot be read"),
        ([3, 4], "a int"),
    ],
)
def test_a_mistake_is_one_line(images, said):
    with pytest.raises(UserError, match=said):
        ImageClassifier(model="digits", **FAST).fit(images, [0, 1])


def test_a_text_classifier_is_none(tiny_model):
    from logitmix_hf import TextClassifier

    with pytest.raises(UserError):
        ImageClassifier.load(tiny_model)
    assert TextClassifier.modality == "text"
