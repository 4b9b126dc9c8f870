"""What run.json says, and what a resumed run may change."""

from __future__ import annotations

import re

import pytest

from logitmix_hf.errors import UserError
from logitmix_hf.redact import command_line, scrub
from logitmix_hf.reporting.record import (
    asked_arguments,
    check_same_arguments,
    describe_environment,
    new_record,
    peak_memory,
)


def test_environment_names_versions_device_and_threads():
    import torch
    import transformers

    found = describe_environment()
    assert (
        found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"] == torch.__version__
    )
    assert found["versions"]["transformers"] == transformers.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["device"]["type"] in ("cpu", "cuda", "mps")


def test_peak_memory_is_that_of_this_process():
    ballast = bytearray(60_000_000)
    first = peak_memory()["process_mb"]
    assert first is None or first > len(ballast) / 1e6


def test_a_record_starts_running_and_keeps_no_token():
    record = new_record(
        argv=["run_glue.py", "--task", "rte", "--hub_token", "hf_short", "--text_columns", "a b"],
        asked={"alpha": 3.0, "hub_token": "hf_short", "workers": 0},
        changed={"workers": (2, "files are slow")},
        seeds={"seed": 42},
        model={"base": "bert"},
        data={"name": "rte"},
        method={"name": "logitmix"},
    )
    assert record["status"] == "running"
    assert record["command"] == "run_glue.py --task rte --hub_token *** --text_columns 'a b'"
    assert "hf_short" not in str(record)
    assert record["arguments"] == {"alpha": 3.0, "workers": 2}
    assert record["changed"] == {"workers": {"asked": 0, "taken": 2, "why": "files are slow"}}
    assert asked_arguments(record) == {"alpha": 3.0, "workers": 0}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["started"])


@pytest.mark.parametrize(
    "argv", [["x", "--hub_token=secret"], ["x", "--hub-token", "secret"], ["x", "--token", "secret"]]
)
def test_commands_hide_every_spelling_of_a_token(argv):
    assert "secret" not in command_line(argv)
    assert "***" in command_line(argv)


def test_a_flag_after_a_secret_flag_is_no_value():
    assert command_line(["x", "--hub_token", "--tokenizer", "t"]) == "x --hub_token --tokenizer t"


def test_scrub_hides_tokens_by_shape_and_by_value():
    text = "Bearer abc, http://me:word@host/x, hf_AbCdEfGhIjKlMnOpQr, my-own"
    assert scrub(text, ["my-own", None, ""]) == "Bearer ***, http://***@host/x, ***, ***"
    assert (
        scrub("at https://word@host:80/x, https://me:a@b:c@host and a@b")
        == "at https://***@host:80/x, https://***@host and a@b"
    )
    assert scrub("hf_xet and hf_hub are packages") == "hf_xet and hf_hub are packages"


def test_the_longer_of_two_tokens_leaves_no_tail():
    assert scrub("secret-long", ["secret", "secret-long"]) == "***"


def test_resume_with_the_same_arguments_is_fine_and_may_change_what_moves_no_weight():
    old = {"alpha": 3.0, "output_dir": "a", "resume": False, "logging_steps": 5, "hub_model_id": None, "site": "middle"}
    new = {**old, "output_dir": "b", "resume": True, "logging_steps": 50, "hub_model_id": "x", "new_option": 1}
    check_same_arguments(old, new)


def test_a_record_of_an_older_version_was_asked_what_it_took():
    assert asked_arguments({"arguments": {"alpha": 3.0}}) == {"alpha": 3.0}


def test_resume_with_other_arguments_names_each_with_both_values():
    old = {"alpha": 3.0, "site": "middle", "recipe": None, "seed": 42}
    with pytest.raises(UserError) as caught:
        check_same_arguments(old, {"alpha": 1.0, "site": "layer.3", "recipe": "paper", "seed": 42})
    message = str(caught.value)
    assert "--alpha was 3.0, is now 1.0" in message
    assert "--site was 'middle', is now 'layer.3'" in message
    assert "--recipe was not set, is now 'paper'" in message
    assert "seed" not in message
    assert "\n" not in message


def test_a_tuple_that_went_through_json_is_the_same():
    check_same_arguments({"betas": [0.9, 0.99]}, {"betas": (0.9, 0.99)})
