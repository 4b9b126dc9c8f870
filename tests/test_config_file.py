"""``--config``: the words of a file stand before those of the command line."""

from __future__ import annotations

import json

import pytest
from tinyrun import flags

from logitmix_hf.cli import main as logitmix
from logitmix_hf.config_file import with_config
from logitmix_hf.errors import UserError

WRITTEN = """
# a comment
method: logitmix
learning-rate: 1e-3
eval_strategy: no            # YAML 1.1 would call this false
save_strategy: "no"
seed: 012
mixer_probs: [.5, 0.5]
bf16: false
lr_scheduler_kwargs: {num_cycles: 2}
start: 2026-11-28            # nor is this a date
shift: 12:30                 # or this 750
"""


def test_a_word_stays_a_word(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(WRITTEN)
    assert with_config(["--seed", "3", "--config", str(path)]) == [
        *("--method", "logitmix", "--learning_rate", "1e-3", "--eval_strategy", "no", "--save_strategy", "no"),
        *("--seed", "012", "--mixer_probs", "0.5", "0.5", "--bf16", "false"),
        *("--lr_scheduler_kwargs", '{"num_cycles": 2}', "--start", "2026-11-28", "--shift", "12:30"),
        *("--seed", "3", "--config", str(path)),
    ]
    assert with_config(["--seed", "3"]) == ["--seed", "3"]


def test_the_command_line_wins_and_a_run_is_the_same_as_by_flags(tiny_model, files, tmp_path):
    words = flags(tiny_model, files, tmp_path / "run", method="mixup", seed="7")
    lines = [f"{name[2:]}: {json.dumps(value)}" for name, value in zip(words[::2], words[1::2], strict=True)]
    (tmp_path / "run.yaml").write_text("\n".join(lines))
    assert logitmix(["glue", "--config", str(tmp_path / "run.yaml"), "--seed", "8"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["arguments"]["seed"], record["arguments"]["method"]) == (8, "mixup")


BAD = {
    "missing": (None, "cannot be read"),
    "list": ("- a\n- b\n", "holds a list"),
    "empty": ("", "holds nothing"),
    "broken": ("a: [1\n", "is no YAML"),
    "twice": ("seed: 1\nmethod: mixup\nseed: 2\n", "'seed' is given twice"),
    "twice, spelt otherwise": ("learning-rate: 1\nlearning_rate: 2\n", "'learning_rate' is given twice"),
    "nothing": ("seed:\n", "seed has no value"),
    "nested list": ("names: [[1], 2]\n", "list of words"),
    "itself": ("config: other.yaml\n", "another config"),
    "unsafe": ("seed: !!python/object/apply:os.system ['true']\n", "is no YAML"),
    "unknown": ("metod: mixup\n", "Did you mean '--method'"),
    "binary": (b"\xff\xfe\x00", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line(name, tmp_path, capsys):
    content, said = BAD[name]
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert logitmix(["glue", "--config", str(path)]) == 2
    error = capsys.readouterr().err.strip().split("\n")
    assert len(error) == 1
    assert error[0].startswith("error: ")
    assert said in error[0]


def test_a_recipe_may_stand_in_it(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("recipe: paper\nconfig_is: not here\n")
    from logitmix_hf.flags import with_recipe

    words = with_recipe(["--config", str(path)])
    assert words[-4:] == ["--config_is", "not here", "--config", str(path)]
    assert "paper" in words
    with pytest.raises(UserError):
        with_config(["--config="])
