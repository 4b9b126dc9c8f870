"""Whether a place can be written, before anything is: what the file system itself refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from logitmix_hf.disk import why_no_name, why_not_writable


@pytest.mark.parametrize("below", ["", "not/there/yet"])
@pytest.mark.parametrize("name", ["a" * 300, "é" * 140])
def test_a_name_that_no_file_system_holds_is_found_below_what_is_not_there_yet(below, name, tmp_path):
    for path in (tmp_path / below / name, tmp_path / below / name / "run"):
        with pytest.raises(OSError, match="too long"):
            path.mkdir(parents=True)
    fresh = tmp_path / "fresh"
    assert "too long" in why_not_writable(fresh / below / name)
    assert "too long" in why_not_writable(fresh / below / name / "run")
    assert "too long" in why_no_name(fresh / below / name)
    assert why_not_writable(fresh / below / "run") == why_no_name(fresh / below / "run") == ""
    assert not fresh.exists()


def test_a_folder_named_from_here_is_looked_at_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "file").touch()
    for name in ("runs", "runs/new", ".", "..", "new", "runs/../runs"):
        assert why_not_writable(Path(name)) == ""
    assert "is a file" in why_not_writable(Path("file"))
    assert "too long" in why_not_writable(Path("runs") / ("x" * 300))
