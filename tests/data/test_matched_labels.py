"""Which of a model's classes the labels of somebody else's data mean."""

from __future__ import annotations

import pytest

from logitmix_hf.data.match_labels import match_labels
from logitmix_hf.errors import UserError


@pytest.mark.parametrize(
    ("model", "data", "numbers", "told"),
    [
        (("entailment", "neutral", "contradiction"), ("contradiction", "entailment"), (2, 0), ""),
        (("NEGATIVE", "POSITIVE"), ("negative", "positive"), (0, 1), ""),
        (("not entailment", "entailment"), ("entailment", "not_entailment"), (1, 0), ""),
        (("A", "a"), ("a", "A"), (1, 0), ""),
        (("ham", "spam"), ("1", "0"), (1, 0), "numbers"),
        (("LABEL_0", "LABEL_1"), ("bad", "good"), (0, 1), "does not name its classes"),
        (("LABEL_0", "LABEL_1"), ("0", "1"), (0, 1), "numbers"),
        (("LABEL_0", "LABEL_1"), ("1", "2"), (0, 1), "does not name its classes"),
    ],
)
def test_labels_are_matched(model, data, numbers, told):
    match = match_labels(model, data)
    assert match.numbers == numbers
    assert told in match.note
    assert bool(told) == bool(match.note)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("bad", "good")),
        (("red", "blue"), ("red", "green")),
        (("red", "blue"), ("0", "2")),
        (("re-d", "red"), ("RED", "blue")),
    ],
)
def test_labels_that_do_not_match_are_not_guessed(model, data):
    with pytest.raises(UserError, match="do not match by name"):
        match_labels(model, data)
