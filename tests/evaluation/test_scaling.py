"""What files say a classifier's logits are divided by."""

from __future__ import annotations

import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.evaluation.scaling import Scaling


@pytest.mark.parametrize("value", [10**400, -1, 0, True, "1", None, float("inf"), float("nan"), [1.0]])
def test_what_is_no_temperature_is_told_in_one_line(value):
    """JSON has whole numbers that no float holds; the line stays short."""
    with pytest.raises(UserError, match=r"^config\.json has the temperature .{1,40}; it must be a number above 0\.$"):
        Scaling.read({"temperature": value}, "config.json")


@pytest.mark.parametrize(
    "record", [{"scale": [10**400, 1], "shift": [0, 0]}, {"scale": [1, 2]}, {"scale": "a", "shift": 1}]
)
def test_what_is_no_vector_scaling_is_told_in_one_line(record):
    with pytest.raises(UserError, match=r"^config\.json has .*$"):
        Scaling.read(record, "config.json")
