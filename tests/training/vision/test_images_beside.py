"""Images of their own that a temperature is fitted on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from visionrun import pictures

from logitmix_hf.training.vision.images_beside import with_images_apart
from logitmix_hf.vision.data import ImageRequest, load_image_data


def test_their_labels_are_numbered_as_those_of_the_data(tmp_path: Path) -> None:
    """The folder lacks the first class, so that it would count its own from 0."""
    judged = pictures(tmp_path / "judged", size=16, count=4, classes=("bee", "cat", "dog"))
    apart = pictures(tmp_path / "apart", size=24, count=3, classes=("cat", "dog"))
    request = ImageRequest(dataset=str(judged), training=False, cache_dir=tmp_path / "cache")
    data = load_image_data(request)
    found = with_images_apart(data, str(apart), request)
    assert found.label_names == ("bee", "cat", "dog")
    assert found.calibration is not None
    assert found.calibration.name == "calibration"
    assert Counter(found.calibration.labels.tolist()) == {1: 3, 2: 3}
    assert found.calibration_note == "the folder apart"
    assert {len(split) for split in found.validation.values()} == {12}
