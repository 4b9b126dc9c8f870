"""Memory or workers, and the size of images: the same pixels in evaluation, and what a user expects of a default."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from picturefiles import class_folders, encoded, noise, save
from torch.utils.data import DataLoader

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data import Augment, ImageRequest, MemorySplit, StreamedSplit, load_image_data
from logitmix_hf.vision.data.decode import CorruptImage
from logitmix_hf.vision.data.memory import _container, free_memory


@pytest.fixture
def load(tmp_path):
    return lambda root, **options: load_image_data(
        ImageRequest(dataset=str(root), cache_dir=tmp_path / "cache", **options)
    )


def mixed(root, sizes, count=4):
    for number, (height, width) in enumerate(sizes):
        for row in range(count):
            save(root / "ab"[row % 2] / f"{number}-{row}.png", encoded(noise(height, width, seed=10 * number + row)))
    return root


@pytest.mark.parametrize("sizes", [[(8, 8)], [(240, 320), (200, 180)]])
def test_both_roads_show_the_same_in_evaluation(tmp_path, load, sizes):
    root = mixed(tmp_path / "pets", sizes)
    held, streamed = load(root, validation_share=0.25), load(root, validation_share=0.25, memory_limit=0)
    assert isinstance(held.train, MemorySplit)
    assert isinstance(streamed.train, StreamedSplit)
    assert held.in_memory
    assert not streamed.in_memory
    assert held.fingerprint == streamed.fingerprint
    assert (held.image_size, held.augment) == (streamed.image_size, streamed.augment)
    for name in held.splits:
        rows = list(range(len(held.splits[name])))
        batches = []
        for data in (held, streamed):
            collate = data.collator(None)
            collate = type(collate)(data.splits, (0.5,) * 3, (0.25,) * 3)
            batches.append(collate(data.splits[name].__getitems__(rows)))
        assert torch.equal(batches[0]["pixel_values"], batches[1]["pixel_values"])
        assert torch.equal(batches[0]["labels"], batches[1]["labels"])
        assert batches[0]["pixel_values"].shape[-1] == held.image_size


def test_both_roads_crop_alike_where_images_are_small(tmp_path, load):
    root = mixed(tmp_path / "pets", [(8, 8)])
    held, streamed = load(root, validation_share=0), load(root, validation_share=0, memory_limit=0)
    for mode in ("zero", "reflect"):
        augment = Augment(padding=2, padding_mode=mode)
        assert torch.equal(held.train.take(np.arange(4), augment), streamed.train.take(np.arange(4), augment))


def test_workers_change_nothing_and_hear_of_the_next_epoch(tmp_path, load):
    root = mixed(tmp_path / "pets", [(230, 250)])
    data = load(root, validation_share=0, memory_limit=0)
    collate = data.collator(data.augment)
    assert data.augment.crop == "resized"
    loader = DataLoader(
        data.train,
        batch_size=3,
        collate_fn=collate,
        num_workers=1,
        persistent_workers=True,  # type: ignore[arg-type]
    )
    seen = []
    for epoch in (0, 1, 0):
        data.train.set_epoch(epoch)
        here = torch.cat([collate([data.train[row]])["pixel_values"] for row in range(4)])
        there = torch.cat([batch["pixel_values"] for batch in loader])
        assert torch.equal(here, there)
        seen.append(here)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    assert seen[0].shape == (4, 3, 224, 224)


def test_a_streamed_window_is_torchvisions(tmp_path, load):
    from PIL import Image
    from torchvision.transforms.v2 import functional as v2

    root = mixed(tmp_path / "pets", [(230, 250)])
    split = load(root, validation_share=0, memory_limit=0).train
    augment = Augment(crop="resized", flip=1.0)
    found = split.take(np.array([1]), augment)[0]
    top, left, height, width = augment.boxes(split.idx[1:2], 0, 230, 250)[0].tolist()
    image = Image.open(root / "a" / "0-2.png")
    expected = v2.horizontal_flip(v2.resize(v2.crop(image, top, left, height, width), [224, 224]))
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_a_worker_names_a_corrupt_image_in_one_line(tmp_path, load):
    root = mixed(tmp_path / "pets", [(8, 8)])
    save(root / "b" / "0-3.png", encoded(noise(8, 8))[:70])
    data = load(root, validation_share=0, memory_limit=0)
    loader = DataLoader(data.train, batch_size=4, collate_fn=data.collator(), num_workers=1)  # type: ignore[arg-type]
    with pytest.raises(CorruptImage, match=r"^Cannot read .*b/0-3\.png: .*--skip_corrupt\.$") as caught:
        list(loader)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "image_size", "stored"),
    [
        ([(28, 28)], 28, 28),
        ([(96, 96)], 96, 96),
        ([(224, 224)], 224, 224),
        ([(240, 240)], 224, 240),
        ([(300, 300)], 224, 256),
        ([(200, 300)], 224, 256),
        ([(240, 320), (500, 200)], 224, 256),
    ],
)
def test_the_default_size(tmp_path, load, sizes, image_size, stored):
    data = load(mixed(tmp_path / "pets", sizes, count=2), validation_share=0)
    assert data.image_size == image_size
    assert data.train._pixels.shape[1] == stored
    assert data.augment.crop == ("resized" if image_size == 224 else "pad")
    if image_size < 224:
        assert data.augment.padding == image_size // 8
    batch = data.collator(data.augment)(data.train.__getitems__([0, 1]))
    assert batch["pixel_values"].shape == (2, 3, image_size, image_size)


def test_small_images_of_many_sizes_need_a_size(tmp_path, load):
    root = mixed(tmp_path / "pets", [(30, 40), (50, 60), (33, 33)])
    with pytest.raises(
        UserError, match=r"different sizes \(33 to 60 wide, 30 to 50 high\).*--image_size, for example 32"
    ):
        load(root)
    data = load(root, image_size=32)
    assert data.train.pixels.shape[-2:] == (32, 32)


def test_a_known_data_set_at_another_size(tmp_path, load):
    data = load_image_data(ImageRequest(dataset="digits", image_size=32))
    assert (data.image_size, data.augment.padding, data.augment.flip) == (32, 4, 0)


def test_fewer_rows_are_decoded_and_all_classes_seen(tmp_path, load):
    root = class_folders(tmp_path / "pets", {"a": 40, "b": 40, "c": 40})
    class_folders(tmp_path / "s" / "train", {"a": 4, "b": 4, "c": 4})
    class_folders(tmp_path / "s" / "val", {"a": 30, "b": 30, "c": 30})
    data = load(root, max_train_samples=20, max_eval_samples=9)
    assert len(data.train) == 20
    assert len(data.validation["validation"]) == 9
    assert len(data.train._pixels) == 29
    assert len(np.unique(load(tmp_path / "s", max_eval_samples=12).validation["validation"].labels)) == 3


def test_what_does_not_fit_is_streamed(tmp_path, load):
    root = class_folders(tmp_path / "pets", {"a": 10, "b": 10})
    needed = 20 * 8 * 8 * 3
    assert load(root, memory_limit=needed).in_memory
    assert not load(root, memory_limit=needed - 1).in_memory


def test_free_memory(tmp_path):
    assert 2**20 < free_memory() < 2**50
    for name, content in (
        ("memory.max", "1000"),
        ("memory.current", "700"),
        ("memory.stat", "anon 5\ninactive_file 100"),
    ):
        save(tmp_path / name, content.encode())
    assert _container(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert _container(tmp_path) is None
    assert _container(tmp_path / "nowhere") is None


def test_pixels_on_another_device_are_the_same():
    """The road of GPUs, on the one device without memory that every machine has, as far as shapes go."""
    data = load_image_data(ImageRequest(dataset="digits"))
    assert data.to("cpu") is data
    moved = data.train.to("meta")
    assert moved.device.type == "meta"
    assert moved.pixels.shape == data.train.pixels.shape
    assert moved.labels is not None
    assert moved.labels.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("crop", ["pad", "none"])
def test_a_gpu_makes_the_same_batches(crop):
    data = load_image_data(ImageRequest(dataset="digits"))
    there = data.to("cuda")
    augment = Augment(crop=crop, padding=2)
    items = data.train.__getitems__(list(range(50)))
    here, gpu = data.collator(augment)(items), there.collator(augment)(items)
    assert gpu["pixel_values"].device.type == "cuda"
    torch.testing.assert_close(gpu["pixel_values"].cpu(), here["pixel_values"])
    assert torch.equal(gpu["labels"].cpu(), here["labels"])
