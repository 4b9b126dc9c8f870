"""Batch repetition: what is in a batch, in which order, and that copies are augmented apart."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from logitmix_hf.errors import UserError
from logitmix_hf.vision.data.augment import Augment
from logitmix_hf.vision.data.collate import ImageCollator
from logitmix_hf.vision.data.repetition import RepeatedSampler, check_repetition, repeating
from logitmix_hf.vision.data.splits import MemorySplit

ROWS = 12


@pytest.fixture
def split():
    pixels = np.random.default_rng(0).integers(0, 256, (ROWS, 8, 8, 3), dtype=np.uint8)
    return MemorySplit(pixels, np.arange(ROWS) % 3)


def loader(split, b=2, batch=8, workers=0, **options):
    augment = Augment(padding=2, seed=5)
    collator = ImageCollator(split, (0.0,) * 3, (1.0,) * 3, augment)
    sampler = RepeatedSampler(len(split), b, seed=1)
    return DataLoader(split, batch, sampler=sampler, collate_fn=collator, num_workers=workers, **options)


@pytest.mark.parametrize("b", [1, 2, 4])
def test_every_row_comes_b_times_in_an_epoch_and_its_copies_side_by_side(b):
    sampler = RepeatedSampler(ROWS, b, seed=3)
    order = list(sampler)
    assert len(order) == len(sampler) == ROWS * b
    assert Counter(order) == dict.fromkeys(range(ROWS), b)
    assert order == [row for row in order[::b] for _ in range(b)]


def test_an_epoch_has_the_steps_of_the_authors():
    """50,000 rows, batches of 64, the last incomplete one left out: 781, 1562, 3125."""
    assert [len(RepeatedSampler(50_000, b)) // 64 for b in (1, 2, 4)] == [781, 1562, 3125]
    assert [len(RepeatedSampler(100_000, b)) // 100 for b in (1, 2, 4)] == [1000, 2000, 4000]


def test_the_order_hangs_on_seed_and_epoch_alone():
    sampler = RepeatedSampler(50, 2, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    other = RepeatedSampler(50, 2, seed=3)
    other.set_epoch(1)
    assert list(other) == list(sampler)
    assert list(RepeatedSampler(50, 2, seed=4)) != first


def test_copies_of_a_row_are_cut_and_flipped_apart(split):
    batch = next(iter(loader(split, b=4)))
    for start in (0, 4):
        copies = batch["pixel_values"][start : start + 4]
        assert len(set(batch["labels"][start : start + 4].tolist())) == 1
        assert len({copy.numpy().tobytes() for copy in copies}) == 4


def test_the_first_copy_is_what_a_row_without_copies_would_be(split):
    repeated = next(iter(loader(split, b=2)))
    order = list(RepeatedSampler(ROWS, 2, seed=1))[:8]
    collator = ImageCollator(split, (0.0,) * 3, (1.0,) * 3, Augment(padding=2, seed=5))
    alone = collator([split[row] for row in order[::2]])
    assert torch.equal(repeated["pixel_values"][::2], alone["pixel_values"])


def test_any_number_of_workers_makes_the_same_batches(split):
    one = [batch["pixel_values"] for batch in loader(split)]
    two = [batch["pixel_values"] for batch in loader(split, workers=2)]
    assert all(torch.equal(*pair) for pair in zip(one, two, strict=True))


def test_the_sampler_is_found_behind_accelerates_loader(split):
    from accelerate import Accelerator

    prepared = Accelerator(cpu=True).prepare_data_loader(loader(split))
    assert isinstance(repeating(prepared), RepeatedSampler)
    assert repeating(DataLoader(split, 4)) is None


@pytest.mark.parametrize(("b", "batch", "words"), [(3, 16, "3 does not divide.*16.*batch of 15"), (0, 4, "at least 1")])
def test_copies_must_fit_a_batch(b, batch, words):
    with pytest.raises(UserError, match=words):
        check_repetition(b, batch)
