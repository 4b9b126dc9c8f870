"""Data sets in the Hub's layout, made on the fly: which columns and splits are taken, and what is said of others."""

from __future__ import annotations

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Value
from picturefiles import encoded, noise, parquet, save

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data import NAMED, ImageRequest, check_image_data, load_image_data
from logitmix_hf.vision.data.statistics import pixel_statistics

NAMES = ClassLabel(names=["cat", "ant", "bee"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    """Train and test by default; splits are (name, rows, seed)."""

    def make(*splits, root="org/sets", image="image", size=8, **columns):
        for split, rows, seed in splits:
            pictures = [encoded(noise(size, size, seed=seed + row)) for row in range(rows)]
            made = columns or {"label": (lambda n: [row % 3 for row in range(n)], NAMES)}
            values = {name: (value(rows), feature) for name, (value, feature) in made.items()}
            parquet(tmp_path / root / "data" / f"{split}-00000-of-00001.parquet", pictures, image, **values)
        return str(tmp_path / root)

    return make


def test_declared_names_keep_their_order(folder):
    name = folder(("train", 30, 0), ("test", 6, 100))
    data = load_image_data(ImageRequest(dataset=name, need_test=True, validation_share=0.1))
    assert data.label_names == ("cat", "ant", "bee")
    assert {key: len(split) for key, split in data.splits.items()} == {"train": 27, "validation": 3, "test": 6}
    assert data.test["test"].labels.tolist() == [0, 1, 2, 0, 1, 2]
    for split, seed in ((data.train, 0), (data.validation["validation"], 0), (data.test["test"], 100)):
        for position, idx in enumerate(split.idx):
            expected = noise(8, 8, seed=seed + int(idx))
            np.testing.assert_array_equal(split.pixels[position].permute(1, 2, 0), expected)
    assert (data.kind, data.name, data.source) == ("folder", "sets", "sets")
    assert not set(data.train.idx) & set(data.validation["validation"].idx)


@pytest.mark.parametrize("split", ["validation", "valid", "val", "dev"])
def test_a_validation_split_is_taken_by_its_name(folder, split):
    data = load_image_data(ImageRequest(dataset=folder(("train", 9, 0), (split, 6, 50))))
    assert len(data.train) == 9
    assert len(data.validation["validation"]) == 6
    assert data.validation_note in (f"the split {split}", "the split validation")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "tiny-imagenet", "fashion-mnist"])
def test_known_data_sets_by_the_end_of_their_folder(folder, name):
    """The layout of the Hub's own: columns, splits and sizes are known; the statistics are those of the table."""
    row = NAMED[name]
    columns = {row.label: (lambda n: [i % 3 for i in range(n)], NAMES)}
    if name == "cifar100":
        columns["coarse_label"] = (lambda n: [0] * n, ClassLabel(names=["x", "y"]))
    splits = [("train", 30, 0), *([(row.validation, 6, 50)] if row.validation else [])]
    data = load_image_data(ImageRequest(dataset=folder(*splits, root=row.hub, image=row.image, size=40, **columns)))
    assert (data.name, data.source, data.kind) == (name, row.hub, "folder")
    assert (data.image_size, data.channels, data.mean, data.std) == (row.image_size, row.channels, row.mean, row.std)
    assert data.statistics == row.source
    assert len(data.validation["validation"]) == (6 if row.validation else 3)


def test_labels_as_names_or_numbers(folder):
    rows = {"label": (lambda n: [["b", "c", "a"][i % 3] for i in range(n)], Value("string"))}
    data = load_image_data(ImageRequest(dataset=folder(("train", 12, 0), **rows), validation_share=0))
    assert data.label_names == ("a", "b", "c")
    assert data.train.labels.tolist() == [1, 2, 0] * 4
    assert data.validation == {}
    rows = {"label": (lambda n: [[10, 2][i % 2] for i in range(n)], Value("int32"))}
    data = load_image_data(ImageRequest(dataset=folder(("train", 12, 0), root="o/two", **rows), validation_share=0))
    assert data.label_names == ("2", "10")
    assert data.train.labels.tolist() == [1, 0] * 6


def test_columns_by_their_only_candidate(folder):
    rows = {"kind": (lambda n: [i % 3 for i in range(n)], NAMES), "note": (lambda n: ["x"] * n, Value("string"))}
    name = folder(("train", 12, 0), image="picture", **rows)
    assert load_image_data(ImageRequest(dataset=name)).label_names == ("cat", "ant", "bee")
    named = load_image_data(ImageRequest(dataset=name, image_column="picture", label_column="kind"))
    assert named.fingerprint == load_image_data(ImageRequest(dataset=name)).fingerprint


def _column(values, feature):
    return {"label": (values, feature)}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (_column(lambda n: [i / 7 for i in range(n)], Value("float32")), {}, "'label' holds real values, not labels"),
        (_column(lambda n: ["a"] * n, Value("string")), {}, "single class, 'a'"),
        (
            _column(lambda n: [0, -1, 1] * (n // 3), NAMES),
            {},
            r"4 of 12 rows have no label in column 'label' \(rows 2, 5",
        ),
        (_column(lambda n: ["a", None, "b"] * (n // 3), Value("string")), {}, "4 of 12 rows have no label"),
        (_column(lambda n: [[0, 1]] * n, datasets.List(Value("int64"))), {}, "several values a row"),
        (
            {"y": (lambda n: [1] * n, Value("int64"))},
            {},
            "no column 'label'. Columns: 'image', 'y'. See --label_column",
        ),
        ({}, {"label_column": "lable"}, "no column 'lable'. Did you mean 'label'"),
        ({}, {"image_column": "img"}, r"no column 'img'. .*Columns: 'image', 'label'. See --image_column"),
        ({}, {"image_column": "label"}, "column 'label' holds no images, but int64; images are in 'image'"),
        (
            {"a": (lambda n: [0, 1] * (n // 2), NAMES), "b": (lambda n: [0, 1] * (n // 2), NAMES)},
            {},
            "several columns of labels: 'a', 'b'; name one as --label_column",
        ),
        ({}, {"need_test": True}, "no split 'test' for --do_predict; it has 'train'"),
    ],
)
def test_columns_that_do_not_fit(folder, columns, options, message):
    name = folder(("train", 12, 0), **columns)
    with pytest.raises(UserError, match=message) as caught:
        load_image_data(ImageRequest(dataset=name, **options))
    assert "\n" not in str(caught.value)


def test_a_data_set_without_images(tmp_path):
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    (tmp_path / "texts").mkdir()
    rows.to_parquet(str(tmp_path / "texts" / "train-00000-of-00001.parquet"))
    with pytest.raises(UserError, match=r"no column of images. Columns: text \((large_)?string\), label \(int64\)"):
        load_image_data(ImageRequest(dataset=str(tmp_path / "texts")))


def test_a_label_that_train_never_had(folder, tmp_path):
    words = lambda *kinds: _column(lambda n: [kinds[i % len(kinds)] for i in range(n)], Value("string"))  # noqa: E731
    folder(("train", 12, 0), **words("a", "b"))
    name = folder(("validation", 6, 0), **words("a", "z"))
    with pytest.raises(
        UserError,
        match=r"split 'validation' .* has the label 'z' \(rows 2, 4, 6\), which .*: 'a', 'b'",
    ):
        load_image_data(ImageRequest(dataset=name))


def test_an_unlabelled_test_split(folder):
    folder(("train", 12, 0))
    name = folder(("test", 4, 50), label=(lambda n: [-1] * n, NAMES))
    test = load_image_data(ImageRequest(dataset=name, need_test=True)).test["test"]
    assert test.labels is None
    assert len(test) == 4


def test_a_corrupt_row_is_named(tmp_path):
    pictures = [encoded(noise(8, 8, seed=row)) for row in range(12)]
    pictures[5] = pictures[5][:50]
    parquet(tmp_path / "s" / "train-00000-of-00001.parquet", pictures, label=([0, 1, 2] * 4, NAMES))
    with pytest.raises(UserError, match=r"Cannot read row 5 \(from 0\) of split 'train' of .*s \(5\.png\)"):
        load_image_data(ImageRequest(dataset=str(tmp_path / "s"), validation_share=0))
    pictures[5] = None
    parquet(tmp_path / "n" / "train-00000-of-00001.parquet", pictures, label=([0, 1, 2] * 4, NAMES))
    with pytest.raises(UserError, match=r"Cannot read row 5 \(from 0\) .*no image in this row"):
        load_image_data(ImageRequest(dataset=str(tmp_path / "n"), validation_share=0))


def test_a_folder_with_metadata_is_read_by_datasets(tmp_path):
    for row in range(9):
        save(tmp_path / "m" / "train" / f"{row}.png", encoded(noise(8, 8, seed=row)))
    lines = ["file_name,label", *(f"{row}.png,{'xyz'[row % 3]}" for row in range(9))]
    save(tmp_path / "m" / "train" / "metadata.csv", "\n".join(lines).encode())
    data = load_image_data(ImageRequest(dataset=str(tmp_path / "m"), validation_share=0))
    assert data.label_names == ("x", "y", "z")
    for position, idx in enumerate(data.train.idx):
        label = int(data.train.labels[position])
        seed = next(s for s in range(9) if (noise(8, 8, seed=s) == data.train.pixels[position].permute(1, 2, 0).numpy()).all())  # fmt: skip  # noqa: E501
        assert label == seed % 3, idx


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (None, "No data was given: .*--dataset cifar100"),
        (
            "cifar10o",
            r"No data set is called 'cifar10o'. Did you mean 'cifar10\d?'\?.*Known by name: cifar10, cifar100",
        ),
        ("imagenet", "Did you mean 'imagenet-1k'"),
        ("./nowhere", "There is no folder"),
    ],
)
def test_names_that_are_none_are_told_at_once(dataset, message):
    with pytest.raises(UserError, match=message):
        check_image_data(ImageRequest(dataset=dataset))


def test_the_hub_out_of_reach_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="out of reach for the data set 'uoft-cs/cifar100' .*--dataset digits"):
        load_image_data(ImageRequest(dataset="cifar100"))
    with pytest.raises(UserError, match="out of reach .*Known by name: cifar10"):
        load_image_data(ImageRequest(dataset="flowers"))


def test_several_parts_and_a_copy_for_workers(tmp_path):
    """Rows are found across the chunks of Arrow; what a worker gets holds no pixels."""
    import pickle

    from logitmix_hf.data.hub import load_dataset_dict
    from logitmix_hf.vision.data.images import DatasetImages

    for part in range(3):
        pictures = [encoded(noise(40, 40, seed=10 * part + row)) for row in range(10)]
        labels = ([row % 2 for row in range(10)], NAMES)
        parquet(tmp_path / "p" / f"train-{part:05}-of-00003.parquet", pictures, label=labels)
    split = load_dataset_dict(str(tmp_path / "p"))["train"]
    images = DatasetImages(split, "image", "here")
    pickled = pickle.dumps(images)
    assert len(pickled) < 10_000
    for one in (images, pickle.loads(pickled)):
        assert [one.read(row) for row in (0, 9, 10, 25, 29)] == [
            encoded(noise(40, 40, seed=seed)) for seed in (0, 9, 10, 25, 29)
        ]
        assert one.name(25) == "row 25 (from 0) of here (5.png)"
    assert len(images) == 30


def test_statistics_are_those_of_all_pixels_of_train(folder):
    data = load_image_data(ImageRequest(dataset=folder(("train", 30, 0))))
    values = data.train.pixels.numpy() / 255
    np.testing.assert_allclose(data.mean, values.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(data.std, values.std(axis=(0, 2, 3)))
    assert data.statistics == "the pixels of train"
    assert pixel_statistics(data.train) == (data.mean, data.std)


def test_bytes_that_are_not_called_images_are_taken_for_encoded_ones(tmp_path):
    """As pandas writes them: the column has no feature of its own."""
    pictures = [encoded(noise(8, 8, seed=row)) for row in range(12)]
    table = pa.table({"image": pictures, "label": ["a", "b"] * 6})
    (tmp_path / "raw").mkdir()
    pq.write_table(table, tmp_path / "raw" / "train-00000-of-00001.parquet")
    train = load_image_data(ImageRequest(dataset=str(tmp_path / "raw"), validation_share=0)).train
    np.testing.assert_array_equal(train.pixels[7].permute(1, 2, 0), noise(8, 8, seed=7))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("photos.zip", b"no archive", "holds an archive that cannot be read"),
        ("train-00000-of-00001.parquet", None, "cannot be read: one has no rows"),
        ("train-00000-of-00001.parquet", b"no table", "cannot be read"),
    ],
)
def test_files_of_a_data_set_that_cannot_be_read(tmp_path, name, content, told):
    (tmp_path / "set").mkdir()
    if content is None:
        empty = pa.array([], pa.binary())
        pq.write_table(pa.table({"image": empty, "label": empty}), tmp_path / "set" / name)
    else:
        (tmp_path / "set" / name).write_bytes(content)
    with pytest.raises(UserError, match=told) as caught:
        load_image_data(ImageRequest(dataset=str(tmp_path / "set")))
    assert "\n" not in str(caught.value)
