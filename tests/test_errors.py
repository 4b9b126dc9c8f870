"""Messages of others within sentences of ours."""

import pytest

from logitmix_hf.errors import one_line


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("No more data to read.", "No more data to read"),
        ("two\nlines.\n", "two lines"),
        ("plain", "plain"),
        ("x" * 400, "x" * 297 + "…"),
    ],
)
def test_it_stands_on_one_line_and_ends_no_sentence(message, expected):
    assert one_line(ValueError(message)) == expected
