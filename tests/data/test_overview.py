"""The lines before training, against counts of our own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from logitmix_hf.data.overview import label_summary, split_counts
from logitmix_hf.evaluation import MULTI, REGRESSION, SINGLE
from logitmix_hf.text.data import TextRequest, load_text_data
from logitmix_hf.text.overview import overview
from logitmix_hf.vision.data import ImageRequest, load_image_data


def test_classes_labels_and_values():
    assert label_summary([0, 1, 1, 1], ("bad", "good"), SINGLE) == "classes: 'bad' 1, 'good' 3 · 1 of one row"
    assert label_summary([[1, 0], [1, 1], [1, 1]], ("x", "y"), MULTI) == "labels: 'x' 3, 'y' 2 of 3 rows"
    assert label_summary([1.0, 2.0, 6.0], (), REGRESSION) == "values: 1 to 6, mean 3 (3 rows)"
    many = label_summary(np.repeat(np.arange(1000), 2), [f"class {n}" for n in range(1000)], SINGLE)
    assert many.endswith("and 992 more")
    assert len(many) < 200


def test_what_is_read_judged_cut_empty_and_known_already(tmp_path):
    train = pd.DataFrame({"text": ["a", "b", "a", "", "c", "d"], "label": ["x", "y"] * 3})
    dev = pd.DataFrame({"text": ["a", "e", "c"], "label": ["x", "y", "x"]})
    for name, frame in (("train", train), ("dev", dev)):
        frame.to_json(tmp_path / f"{name}.jsonl", orient="records", lines=True)
    files = {"train_file": str(tmp_path / "train.jsonl"), "validation_file": str(tmp_path / "dev.jsonl")}
    assert overview(load_text_data(TextRequest(**files)), cut=2, max_length=9) == [
        "classes: 'x' 3, 'y' 3 · 3 validation · 2 texts cut at 9 tokens",
        "1 empty text · 1 of the 6 rows of train repeats another · 2 of the 3 rows of validation are in train too, which"
        " flatters their scores",
    ]
    alone = load_text_data(TextRequest(train_file=files["train_file"], validation_share=0.3, calibration_share=0.5))
    assert overview(alone, 0, 9)[0].endswith("· 2 held out · 2 for the temperature")


def test_images_are_told_likewise():
    data = load_image_data(ImageRequest(dataset="digits"))
    assert split_counts(data) == [f"{len(data.validation['validation'])} validation"]
