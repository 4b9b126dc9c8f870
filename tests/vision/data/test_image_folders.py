"""Folders of class folders: what is read of them, and how each mistake is told."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from picturefiles import class_folders, encoded, noise, save

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data import ImageRequest, load_image_data


@pytest.fixture
def load(tmp_path):
    return lambda root, **options: load_image_data(
        ImageRequest(dataset=str(root), cache_dir=tmp_path / "cache", **options)
    )


def test_one_level(tmp_path, load):
    root = class_folders(tmp_path / "pets", {"dog": 20, "ant": 10, "cat": 10})
    save(root / "cat" / ".hidden.png", b"x")
    save(root / "cat" / "notes.txt", b"x")
    save(root / ".git" / "a.png", b"x")
    save(root / "labels.csv", b"a,b\n")
    data = load(root, validation_share=0.2)
    assert data.label_names == ("ant", "cat", "dog")
    assert (len(data.train), len(data.validation["validation"])) == (32, 8)
    assert np.bincount(data.train.labels).tolist() == [8, 8, 16]
    assert (data.name, data.source, data.kind, data.channels, data.image_size) == ("pets", "pets", "folder", 3, 8)
    assert data.validation_note == "a stratified 0.2 share of train (8 rows), seed 42"
    assert data.metrics == ("accuracy",)
    # every image is where its label and number say: class folders in turn, names sorted as texts
    for split in data.splits.values():
        for position, idx in enumerate(split.idx):
            start, number = next((s, n) for s, n in ((20, 0), (10, 2), (0, 1)) if idx >= s)
            row = int(sorted(str(one) for one in range(10 if number != 0 else 20))[idx - start])
            assert split.labels[position] == {1: 0, 2: 1, 0: 2}[number]
            expected = noise(8, 8, seed=1000 * number + row)
            np.testing.assert_array_equal(split.pixels[position].permute(1, 2, 0), expected)


def test_names_that_are_numbers_are_in_the_order_of_their_values(tmp_path, load):
    """As the same labels are in a table; among other names numbers come first."""
    assert load(class_folders(tmp_path / "n", dict.fromkeys(["10", "2", "1"], 4))).label_names == ("1", "2", "10")
    mixed = class_folders(tmp_path / "m", dict.fromkeys(["10", "2", "b", "-1", "a10", "a2"], 4))
    assert load(mixed).label_names == ("2", "10", "-1", "a10", "a2", "b")


def test_archives_of_class_folders_are_to_be_unpacked(tmp_path, load):
    root = class_folders(tmp_path / "pets", {"ant": 3, "cat": 3})
    shutil.make_archive(str(tmp_path / "packed" / "train"), "zip", root)
    with pytest.raises(UserError, match=r"archives \('train.zip'\): unpack them, a folder a class"):
        load(tmp_path / "packed")
    with pytest.raises(UserError, match=r"train.zip' is a file; unpack it"):
        load(tmp_path / "packed" / "train.zip")


def test_splits_below_it(tmp_path, load):
    root = tmp_path / "pets"
    class_folders(root / "train", {"a": 6, "b": 6})
    class_folders(root / "val", {"b": 3})
    class_folders(root / "test", {"a": 2, "b": 2})
    save(root / "train" / "a" / "deeper" / "x.PNG", encoded(noise(8, 8)))
    data = load(root, need_test=True)
    assert [len(split) for split in data.splits.values()] == [13, 3, 4]
    assert list(data.validation) == ["validation"]
    assert data.validation["validation"].labels.tolist() == [1, 1, 1]
    assert data.test["test"].labels.tolist() == [0, 0, 1, 1]
    assert data.validation_note == "the folder val"
    assert load(root).test == {}


def test_a_test_folder_without_classes_has_unknown_labels(tmp_path, load):
    class_folders(tmp_path / "train", {"a": 4, "b": 4})
    for row in range(3):
        save(tmp_path / "test" / f"{row}.png", encoded(noise(8, 8, seed=row)))
    test = load(tmp_path, need_test=True).test["test"]
    assert test.labels is None
    assert len(test) == 3


def test_a_class_called_train_is_a_class(tmp_path, load):
    """Vehicles: the folder holds images, not class folders."""
    assert load(class_folders(tmp_path / "v", {"bus": 5, "train": 5})).label_names == ("bus", "train")


def test_grey_images_have_one_channel(tmp_path, load):
    root = class_folders(tmp_path / "grey", {"a": 5, "b": 5}, channels=1)
    assert load(root).channels == 1
    assert load(root, channels=3).channels == 3
    save(root / "a" / "one.png", encoded(noise(8, 8, 3)))
    assert load(root).channels == 3


def test_a_folder_in_place_of_a_name(tmp_path, load, monkeypatch):
    class_folders(tmp_path / "digits", {"a": 5, "b": 5})
    monkeypatch.chdir(tmp_path)
    assert load("digits").kind == "builtin"
    assert load("./digits").label_names == ("a", "b")


def empty(root):
    root.mkdir()


def no_classes(root):
    save(root / "a.png", encoded(noise(8, 8)))
    save(root / "b.png", encoded(noise(8, 8)))


def empty_class(root):
    class_folders(root, {"a": 3, "b": 3})
    (root / "c").mkdir()


def strange_kind(root):
    class_folders(root, {"a": 3})
    save(root / "b" / "x.heic", b"x")


def one_class(root):
    class_folders(root, {"a": 3})


def strange_class(root):
    class_folders(root / "train", {"a": 3, "b": 3})
    class_folders(root / "val", {"a": 3, "c": 3})


def no_train(root):
    class_folders(root / "val", {"a": 3, "b": 3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "it has no sub-folders"),
        (no_classes, "no folder per class: 2 images lie right in it. Sort the images into data/CLASS/"),
        (empty_class, "class folder .*c has no images; fill or remove it"),
        (strange_kind, r"class folder .*b has no images, only files of the kinds \.heic"),
        (one_class, "single class folder, 'a'"),
        (strange_class, "val has classes that train lacks: 'c'; there are 'a', 'b'"),
        (no_train, "no folder 'train', only 'val'"),
    ],
)
def test_mistakes(tmp_path, load, make, message):
    make(tmp_path / "data")
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_arguments_that_fit_no_folder(tmp_path, load):
    root = class_folders(tmp_path / "pets", {"a": 3, "b": 3})
    with pytest.raises(UserError, match=r"--label_column y does not fit .*no columns"):
        load(root, label_column="y")
    with pytest.raises(UserError, match="no folder 'test' for --do_predict"):
        load(root, need_test=True)
    with pytest.raises(UserError, match="is a file; give the folder"):
        load(root / "a" / "0.png")
    with pytest.raises(UserError, match="There is no folder"):
        load(tmp_path / "nowhere")


def test_a_corrupt_file_is_named_or_counted(tmp_path, load):
    root = class_folders(tmp_path / "pets", {"a": 10, "b": 10})
    save(root / "b" / "3.png", encoded(noise(8, 8))[:60])
    with pytest.raises(UserError, match=r"Cannot read .*/b/3\.png: .*--skip_corrupt"):
        load(root, validation_share=0)
    save(root / "a" / "7.png", b"")
    with pytest.raises(UserError, match=r"2 of 20 images: first .*/a/7\.png"):
        load(root, validation_share=0)
    with pytest.warns(UserWarning, match=r"2 of 20 images of train cannot be read and were left out, first .*7\.png"):
        data = load(root, validation_share=0, on_bad_row="skip")
    assert len(data.train) == 18
    assert [row.place for row in data.left_out["train"]] == ["a/7.png", "b/3.png"]
    assert data.skipped == {"train": 2}
    assert sorted(set(range(20)) - set(data.train.idx.tolist())) == [7, 13]
    assert np.bincount(data.train.labels).tolist() == [9, 9]
    with pytest.warns(UserWarning, match="2 of 20 images"):
        streamed = load(root, validation_share=0, skip_corrupt=True, memory_limit=0)
    assert streamed.train.idx.tolist() == data.train.idx.tolist()
    assert streamed.fingerprint == data.fingerprint
    for path in sorted(root.rglob("*.png"))[:11]:
        path.write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"12 of 20 images of train cannot be read, more than .*half.*first .*/a/0\.png"
    ):
        load(root, validation_share=0, skip_corrupt=True)
    for path in root.rglob("*.png"):
        path.write_bytes(b"x")
    with pytest.raises(UserError, match=r"no image that can be read, not even .*/a/0\.png"):
        load(root, skip_corrupt=True)


def odd_names(root):
    class_folders(root, {"cat": 4, "dog": 4, ".kept": 1, "__later": 1, ".none": 0})
    save(root / "cat" / "a.heic", b"x")
    save(root / "dog" / "Thumbs.db", b"x")
    save(root / "loose.png", encoded(noise(8, 8)))


def beside_splits(root):
    class_folders(root / "train", {"cat": 4, "dog": 4})
    class_folders(root / "val", {"cat": 2})
    class_folders(root / "holdout", {"cat": 2})
    class_folders(root / "dev", {"dog": 2})
    (root / "docs").mkdir()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            odd_names,
            ["Not read: a file that is no image by the suffix: .heic 1.", "1 images right in", "'.kept', '__later'"],
        ),
        (beside_splits, ["Not read: 'dev', 'holdout' beside 'train', 'val'; splits are train, validation, test"]),
    ],
)
def test_what_looks_as_if_it_were_meant_and_is_not_read_is_told(tmp_path, load, make, told):
    make(tmp_path / "data")
    data = load(tmp_path / "data")
    assert data.label_names == ("cat", "dog")
    assert len(data.notes) == len(told)
    for line, words in zip(data.notes, told, strict=True):
        assert words in line


def test_splits_in_capitals_are_splits(tmp_path, load):
    class_folders(tmp_path / "Train", {"cat": 4, "dog": 4})
    class_folders(tmp_path / "VAL", {"cat": 3})
    data = load(tmp_path)
    assert data.label_names == ("cat", "dog")
    assert (len(data.train), len(data.validation["validation"])) == (8, 3)
    assert data.validation_note == "the folder VAL"


def test_a_class_whose_name_is_no_text_is_refused(tmp_path, load):
    root = class_folders(tmp_path / "data", {"cat": 4})
    save(root / os.fsdecode(b"\xff\xfe") / "0.png", encoded(noise(8, 8)))
    with pytest.raises(UserError, match=r"name of the class folder .* is not UTF-8.*rename it"):
        load(root)


def test_images_of_one_size_that_are_no_squares_are_not_called_different(tmp_path, load):
    with pytest.raises(UserError, match=r"no squares \(30 wide, 10 high\).*--image_size, for example 8"):
        load(class_folders(tmp_path / "data", {"a": 3, "b": 3}, size=(10, 30)))
