"""Messages of others within sentences of ours."""

import pytest

from logitmix_hf.errors import nearest, one_line


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


def test_the_beginning_of_a_name_is_nearer_than_what_looks_alike():
    assert nearest("--out", ["--points", "--output_dir", "--overwrite"]) == " Did you mean '--output_dir'?"
    assert nearest("logit", ["logitmix_atoms", "logitmix", "mixup"]) == " Did you mean 'logitmix'?"
    assert nearest("", ["rte"]) == ""
