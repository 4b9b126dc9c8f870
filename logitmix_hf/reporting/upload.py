"""Sending files to a repository in one commit, none twice."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from logitmix_hf.reporting.retry import Patience

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

Contents = dict[str, str | bytes]
"""Name in the repository to the path of the file, or to what it holds."""


def commit(
    api: HfApi,
    repo_id: str,
    contents: Contents,
    access: dict[str, Any],
    message: str,
    patience: Patience,
    say: Callable[[str], None],
) -> None:
    """Upload the large files, of which the Hub keeps each that arrived, then commit all at once."""
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
    tried = False

    def once() -> None:
        nonlocal tried
        # The answer to a commit may be lost where the commit is not.
        if tried and len(there_already(api, repo_id, contents, access)) == len(contents):
            return
        tried = True
        api.create_commit(repo_id, operations, commit_message=message, **access)

    patience.call(once, say)


def there_already(api: HfApi, repo_id: str, contents: Contents, access: dict[str, Any]) -> set[str]:
    """The names of the files that the repository holds with the same content."""
    from huggingface_hub.hf_api import RepoFile

    found = api.get_paths_info(repo_id, list(contents), **access)
    return {file.path for file in found if isinstance(file, RepoFile) and _is_same(contents[file.path], file)}


def _is_same(content: str | bytes, file: RepoFile) -> bool:
    size = len(content) if isinstance(content, bytes) else os.path.getsize(content)
    if file.size != size:
        return False
    # The Hub names a large file by its SHA-256, any other as git does.
    digest = hashlib.sha256() if file.lfs else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest() == (file.lfs.sha256 if file.lfs else file.blob_id)
