"""Nothing in the repository tells of one machine or opens a door: no path of somebody's, no token."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written so that no pattern finds itself in this file.
PATTERNS = {
    "a path of one machine": r"(?<![\w.~-])/(?:wor[k]|roo[t]|op[t]/pypi|op[t]/wheels)/\w",
    "somebody's home": r"(?<![\w.~-])/(?:home|Users)/(?!(?:user|me|you|name)\b)\w+",
    "a drive of one machine": r"\b[C-Z]:\\Users\\\w+",
    "a token of the Hub": r"\bhf_[A-Za-z0-9]{30,}",
    "a token of a forge": r"\b(?:gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{20,}",
    "a token of a service": r"\b(?:(?:sk|pypi|xox[abp])-[A-Za-z0-9_-]{30,}|AKIA[0-9A-Z]{16})",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"\bhttps?://[^\s/:@\"'{}<>]+:[^\s/:@\"'{}<>]{8,}@",
    "an address in a private network": r"\bhttps?://(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d+\.\d+",
}


def tracked() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def tells(text: str) -> list[str]:
    return [
        f"{what}: {match.group()[:20]}" for what, pattern in PATTERNS.items() for match in re.finditer(pattern, text)
    ]


def test_no_tracked_file_tells_of_a_machine_or_a_secret() -> None:
    found = {}
    for path in tracked():
        if told := tells(path.read_bytes().decode("utf-8", "replace")):
            found[str(path.relative_to(ROOT))] = told
    assert found == {}


def test_only_small_files_are_tracked() -> None:
    """Weights, predictions and data belong to a run folder or the Hub."""
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked() if path.stat().st_size > 1_000_000}
    assert large == {}
    kinds = {".bin", ".pt", ".pth", ".pkl", ".safetensors", ".parquet", ".arrow", ".pyc"}
    assert [str(path) for path in tracked() if path.suffix in kinds] == []


@pytest.mark.parametrize(
    "text",
    [
        "cache_dir = '/wor" + "k/data'",
        "see /home/" + "jane/runs",
        "token=hf_" + "a1" * 17,
        "ghp_" + "Z9" * 15,
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "https://user:" + "open-sesame@example.org/simple",
        "http://10." + "0.0.7:3141/simple",
    ],
)
def test_each_kind_is_seen(text: str) -> None:
    assert len(tells(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/work/data",
        "docs/work/x",
        "/home/user/data.csv",
        "http://127.0.0.1:8000",
        "hf_hub_download",
    ],
)
def test_what_is_no_secret_passes(text: str) -> None:
    assert tells(text) == []
