"""Decoded pixels on disk: found again, never mistaken for others, whole or absent."""

from __future__ import annotations

import os

import numpy as np
import pytest
from picturefiles import class_folders, encoded, noise, save

from logitmix_hf.vision.data import ImageRequest, decode, load_image_data, reading
from logitmix_hf.vision.data.cache import cache_file, default_folder, load_decoded, save_decoded


@pytest.fixture
def root(tmp_path):
    return class_folders(tmp_path / "pets", {"a": 12, "b": 12})


@pytest.fixture
def load(root, tmp_path, monkeypatch):
    """Loads, and says how many images were decoded for it."""
    counted = []
    monkeypatch.setattr(decode, "decode", lambda *args, real=decode.decode: counted.append(1) or real(*args))

    def run(**options):
        counted.clear()
        data = load_image_data(ImageRequest(dataset=str(root), cache_dir=tmp_path / "cache", **options))
        return data, len(counted)

    return run


def test_decoded_once(load, root, tmp_path):
    first, decoded = load()
    assert decoded == 24
    again, decoded = load()
    assert decoded == 0
    assert again.fingerprint == first.fingerprint
    for name, split in first.splits.items():
        np.testing.assert_array_equal(again.splits[name].pixels, split.pixels)
    assert load(seed=1, validation_share=0.5)[1] == 0  # another share of the same images
    assert load(max_train_samples=3, max_eval_samples=2)[1] == 5  # not all of them
    assert load(max_train_samples=3, max_eval_samples=2)[1] == 0
    assert load(image_size=6)[1] == 24
    assert load(channels=1)[1] == 24
    assert len(list((tmp_path / "cache").iterdir())) == 4


@pytest.mark.parametrize("change", ["replaced", "added", "removed", "renamed"])
def test_data_that_changed_is_decoded_anew(load, root, change):
    before = load()[0].fingerprint
    path = root / "a" / "3.png"
    if change == "replaced":
        time = path.stat().st_mtime_ns
        save(path, encoded(noise(8, 8, seed=77)))
        os.utime(path, ns=(time + 1, time + 1))
    elif change == "added":
        save(root / "b" / "new.png", encoded(noise(8, 8, seed=77)))
    elif change == "removed":
        path.unlink()
    else:
        path.rename(root / "a" / "last.png")
    data, decoded = load()
    assert decoded == {"replaced": 24, "added": 25, "removed": 23, "renamed": 24}[change]
    assert data.fingerprint != before  # also of a renamed one, which now lies elsewhere in the order


def test_the_fingerprint_does_not_hang_on_the_place(load, root, tmp_path):
    before = load()[0]
    root.rename(tmp_path / "elsewhere")
    after = load_image_data(ImageRequest(dataset=str(tmp_path / "elsewhere"), cache_dir=tmp_path / "other"))
    assert after.fingerprint == before.fingerprint
    assert after.name == "elsewhere"


@pytest.mark.parametrize("damage", ["short", "empty", "noise", "other", "zeros"])
def test_a_damaged_file_is_written_anew(load, tmp_path, damage):
    first, _ = load()
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    content = {"short": whole[:-100], "empty": b"", "noise": b"\x00" * len(whole)}
    content["zeros"] = whole[:-200] + bytes(200)  # as a crash may leave pixels
    if damage == "other":
        save_decoded(path, decode.Decoded(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 16), np.uint8)))
    else:
        path.unlink()  # the first run still has the whole one mapped
        path.write_bytes(content[damage])
    data, decoded = load()
    assert decoded == 24
    np.testing.assert_array_equal(data.train.pixels, first.train.pixels)
    assert path.read_bytes() == whole


def test_what_is_written_to_a_split_changes_no_file(load, tmp_path):
    load()
    data, _ = load()
    (path,) = (tmp_path / "cache").iterdir()
    before = path.read_bytes()
    data.train._pixels.zero_()
    assert path.read_bytes() == before


def test_failures_are_kept_too(load, root):
    save(root / "b" / "5.png", b"x")
    for decoded in (24, 0):
        with pytest.warns(UserWarning, match=r"1 of 24 images .*b/5\.png: not an image"):
            data, count = load(validation_share=0, skip_corrupt=True)
        assert (count, len(data.train)) == (decoded, 23)


def test_without_room_the_run_goes_on(load, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="decoded images could not be kept in .*cache"):
        data, decoded = load()
    assert decoded == 24
    assert len(data.train) == 21
    (tmp_path / "cache").unlink()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("logitmix_hf.vision.data.cache.replacing", full)
    with pytest.warns(UserWarning, match="No space left"):
        load()


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", stopped)
    made = decode.Decoded(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 16), np.uint8))
    with pytest.raises(KeyboardInterrupt):
        save_decoded(tmp_path / "x.safetensors", made)
    assert list(tmp_path.iterdir()) == []
    assert load_decoded(tmp_path / "x.safetensors") is None


def test_names_of_files_tell_everything_apart(tmp_path):
    some = np.arange(3)
    names = {
        cache_file(tmp_path, key, rows, side, channels)
        for key in ("a", "b")
        for rows in (None, some, some + 1)
        for side in (8, 16)
        for channels in (1, 3)
    }
    assert len(names) == 24


def test_the_default_lies_beside_the_data_sets(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    assert default_folder() == tmp_path / "logitmix_hf_images"


def test_the_count_sees_what_it_should(load, monkeypatch):
    """The measure of these tests: with a cache that finds nothing every load decodes."""
    load()
    monkeypatch.setattr(reading, "load_decoded", lambda path: None)
    assert load()[1] == 24
