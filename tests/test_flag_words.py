"""Flags as words: what argparse reads back is what was meant."""

from __future__ import annotations

from pathlib import Path

from transformers.trainer_utils import SchedulerType

from logitmix_hf.flag_words import flag_words


def test_every_kind_of_value():
    made = flag_words({"a": True, "b": None, "c": [0.5, 0.25], "d": {"n": 1}, "e": "-x", "f": 1e-5, "g": Path("run")})
    assert made == ["--a", "true", "--c", "0.5", "0.25", "--d", '{"n": 1}', "--e=-x", "--f", "1e-05", "--g", "run"]
    assert flag_words({"lr_scheduler_type": SchedulerType.COSINE}) == ["--lr_scheduler_type", "cosine"]
    assert flag_words({}) == []
