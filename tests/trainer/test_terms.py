"""What is kept of a step's terms between two lines of the log."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator

from logitmix_hf.trainer.terms import TermLog


def test_the_first_step_that_went_wrong_is_found_whatever_steps_tell_beside_it() -> None:
    """A plain step tells of cls alone, a mixed one of mix too: cls was wrong in a plain step and right ever after."""
    log = TermLog(["mix", "cls"])
    fine, wrong = torch.ones(2), torch.tensor([1.0, float("nan")])
    log.add({"cls": fine}, 1)
    assert log.first_bad() is None
    log.add({"cls": wrong}, 3)
    log.add({"mix": fine, "cls": fine}, 4)
    assert log.first_bad() == (3, ["cls"])
    log.add({"mix": wrong, "cls": fine}, 5)
    assert log.first_bad() == (3, ["cls"])


def test_a_term_is_averaged_over_the_rows_that_have_it() -> None:
    log = TermLog(["mix", "cls", "lam"])
    log.add({"cls": torch.tensor([1.0, 2.0, 3.0])}, 1)
    log.add({"mix": torch.tensor([10.0]), "cls": torch.tensor([6.0]), "lam": torch.tensor([0.25])}, 2)
    assert log.drain(Accelerator(cpu=True)) == {"loss_mix": 10.0, "loss_cls": pytest.approx(3.0), "lam": 0.25}
    assert log.drain(Accelerator(cpu=True)) == {}
