"""What the demos end with: one table, one picture, and what to know about the numbers."""

from __future__ import annotations

from visionrun import flags

from logitmix_hf.commands import demo, demo_vision, vision
from logitmix_hf.commands.side_by_side import train_side_by_side


def test_runs_stand_in_one_table_above_the_lines_about_them(tmp_path, capfd):
    jobs = {
        name: vision.parse(flags(tmp_path / name, method=name, max_steps=2, bootstrap=0))
        for name in ("vanilla", "mixup")
    }
    assert train_side_by_side(jobs, tmp_path / "all.png", "digits", demo_vision.NOTE) == 0
    out = capfd.readouterr().out
    told = out[out.rindex("method") :].splitlines()
    assert [line.split()[0] for line in told[2:4]] == ["vanilla", "mixup"]
    assert set(demo_vision.NOTE) <= set(told)
    assert f"picture: {tmp_path / 'all.png'}" in told
    assert (tmp_path / "all.png").stat().st_size > 10_000
    # Done already: shown again, not trained again.
    assert train_side_by_side(jobs, tmp_path / "all.png", "digits") == 0
    assert "train_runtime" not in capfd.readouterr().out


def test_no_line_of_a_note_holds_a_break_that_the_terminal_would_be_shown_as_letters():
    for note in (demo.NOTE, demo_vision.NOTE):
        assert all("\n" not in line and len(line) <= 120 for line in note)
