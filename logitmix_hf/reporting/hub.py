"""Pushing a run to the Hub: the right to write is proven before training, the files go last, a failure says how to
go on. No message holds a token."""

from __future__ import annotations

import os
import shlex
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from logitmix_hf.errors import UserError
from logitmix_hf.reporting.card import relocated
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.redact import scrub

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

_NO_TOKEN = (
    "Pushing to the Hub needs a token, and there is none: log in by `hf auth login`, set HF_TOKEN, or give "
    "--hub_token. Without --push_to_hub the run stays on this machine."
)


class PushFailed(RuntimeError):
    """The run is saved, but the Hub did not take it. ``command`` pushes it later."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.command = command


@dataclass(frozen=True)
class HubOptions:
    """Where a run is pushed to.

    repo_id:  ``user/name`` or ``name``; None: the name of the run's folder under the token's user.
    token:    None: the one of the environment or of ``hf auth login``.
    private:  of a repository that is made now; None: as the account's default has it.
    revision: branch; made if missing. None: ``main``.
    """

    repo_id: str | None = None
    token: str | None = field(default=None, repr=False)
    private: bool | None = None
    revision: str | None = None

    @classmethod
    def from_arguments(cls, args: Any) -> HubOptions:
        """Read ``hub_model_id``, ``hub_token``, ``hub_private_repo`` and ``hub_revision`` of ``TrainingArguments``.

        ``hub_strategy`` and ``hub_always_push`` ask for pushes during training. They change nothing here: a run is
        pushed once, when it is finished, and checkpoints stay at home, because they hold pickles (the optimizer, and
        the arguments with the token). See ``strategy_note``.
        """
        return cls(args.hub_model_id, args.hub_token, args.hub_private_repo, getattr(args, "hub_revision", None))


def strategy_note(args: Any) -> str | None:
    """What to tell a user whose ``hub_strategy`` asks for pushes during training; None where there is nothing to."""
    strategy = str(getattr(args.hub_strategy, "value", args.hub_strategy))
    if strategy in ("end", "every_save") and not getattr(args, "hub_always_push", False):
        return None
    asked = f"--hub_strategy {strategy}" if strategy not in ("end", "every_save") else "--hub_always_push"
    return f"{asked}: the finished run is pushed once, at the end; checkpoints stay at home (they hold pickles)."


def check_access(
    repo_id: str, token: str | None = None, private: bool | None = None, endpoint: str | None = None
) -> str:
    """Prove, before training, that the token may write to the repository; make the repository if it is missing.

    Returns:
        The full id, ``user/name``.

    Raises:
        UserError: no token, a token that is not accepted or may only read, no right to make or write the repository,
            a name that cannot be one, or no Hub within reach.
    """
    api, token = _api(endpoint, token)
    if token is None:
        raise UserError(_NO_TOKEN)
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import validate_repo_id

    where = f"{repo_id!r} on {api.endpoint}"
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"--hub_model_id {repo_id!r} cannot be the name of a repository: {error}") from None

    def refused(error: HfHubHTTPError, what: str) -> UserError:
        status = error.response.status_code
        if status in (401, 403, 404):
            return UserError(scrub(f"{what}. Nothing was trained.", [token]))
        return UserError(scrub(f"The Hub refused {where}: {_reason(error)}. Nothing was trained.", [token]))

    try:
        user = _retrying(lambda: api.whoami(token=token))
    except HfHubHTTPError as error:
        raise refused(
            error, f"{api.endpoint} does not accept the token (--hub_token, HF_TOKEN or `hf auth login`)"
        ) from None
    except Exception as error:
        raise _out_of_reach(api, error, token) from None
    name = user.get("name")
    role = ((user.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise UserError(f"The token of {name!r} may only read; pushing to {repo_id!r} needs one that may write.")
    no_right = f"The token of {name!r} may not write to {where}: give a --hub_model_id that it may, or another token"
    full = repo_id if "/" in repo_id else f"{name}/{repo_id}"
    try:
        _make(api, full, private, token)
        # A repository that exists may be somebody else's: ask for the right itself.
        _retrying(lambda: api.auth_check(full, token=token, write=True))
    except HfHubHTTPError as error:
        raise refused(error, no_right) from None
    except Exception as error:
        raise _out_of_reach(api, error, token) from None
    return full


def push_run(
    folder: str | os.PathLike[str],
    repo_id: str,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
    message: str = "Add the model, its card and its results",
    wait: float = 1.0,
) -> str:
    """Upload a finished run in one commit: exactly the files of ``folder.PUBLIC_FILES`` that are there.

    The repository and the branch are made if missing. A server's error (5xx, 429) and a lost connection are tried
    again, four times, ``wait`` × 1, 2, 4, 8 s apart; nothing is changed by a try that failed.

    Returns:
        The address of the repository.

    Raises:
        UserError: the folder holds no model, or there is no token.
        PushFailed: anything else; the message names the command that pushes later.
    """
    run = RunFolder(folder)
    names = check_model(run)
    api, token = _api(endpoint, token)
    if token is None:
        raise UserError(_NO_TOKEN)

    def once() -> str:
        from huggingface_hub import CommitOperationAdd

        # Made anew for each try: the client marks them as it goes.
        operations = [CommitOperationAdd(name, _content(run.path / name, full)) for name in names]
        with warnings.catch_warnings():
            # The client wonders at data files in a model's repository; the predictions are meant to be there.
            warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
            api.create_commit(full, operations, commit_message=message, token=token, revision=revision)
        return f"{api.endpoint}/{full}"

    full = repo_id
    try:
        if "/" not in full:
            full = f"{_retrying(lambda: api.whoami(token=token), wait, tries=5)['name']}/{repo_id}"
        _make(api, full, private, token, wait, tries=5)
        if revision not in (None, "main"):
            _retrying(lambda: api.create_branch(full, branch=revision, exist_ok=True, token=token), wait, tries=5)
        return _retrying(once, wait, tries=5)
    except Exception as error:
        command = push_command(run.path, full, revision)
        raise PushFailed(
            scrub(
                f"The run is saved in {str(run.path)!r}, but pushing it to {full!r} on {api.endpoint} failed: "
                f"{_reason(error)}. Push it later with: {command}",
                [token],
            ),
            command,
        ) from None


def check_model(run: RunFolder) -> list[str]:
    """The files of a run that a push would send.

    Raises:
        UserError: there is no model among them.
    """
    names = run.files()
    if not {"config.json", "adapter_config.json"} & set(names) or not any(n.endswith(".safetensors") for n in names):
        raise UserError(f"There is no model in {str(run.path)!r} to push: is it the folder of a finished run?")
    return names


def push_command(folder: str | os.PathLike[str], repo_id: str, revision: str | None = None) -> str:
    """The command that pushes a saved run, as one can paste it; the token is left to the environment."""
    words = ["logitmix", "push", os.fspath(folder), "--hub_model_id", repo_id]
    return shlex.join(words + (["--hub_revision", revision] if revision not in (None, "main") else []))


def _content(path: Path, repo_id: str) -> str | bytes:
    if path.name != "README.md":
        return str(path)
    return relocated(path.read_text(encoding="utf-8"), repo_id).encode("utf-8")


def _api(endpoint: str | None, token: str | None) -> tuple[HfApi, str | None]:
    from huggingface_hub import HfApi, get_token

    token = (token or get_token() or "").strip() or None
    return HfApi(endpoint=endpoint, token=token), token


def _make(api: HfApi, repo_id: str, private: bool | None, token: str, wait: float = 1.0, tries: int = 3) -> None:
    # Asked first, because create_repo(exist_ok=True) hides a refusal where the repository exists, and then trips over
    # the address of a Hub other than HF_ENDPOINT.
    if not _retrying(lambda: api.repo_exists(repo_id, token=token), wait, tries):
        _retrying(lambda: api.create_repo(repo_id, private=private, exist_ok=True, token=token), wait, tries)


def _retrying(call: Callable[[], T], wait: float = 1.0, tries: int = 3) -> T:
    for pause in (wait * 2**k for k in range(tries - 1)):
        try:
            return call()
        except Exception as error:
            if not _is_passing(error):
                raise
        time.sleep(pause)
    return call()


def _is_passing(error: Exception) -> bool:
    """Whether to try again: the server's own trouble or a lost connection, not a refusal.

    A large file that failed comes as RuntimeError; the client has tried it five times already.
    """
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    # The client's network errors are httpx's before huggingface_hub 2 and httpx2's since, and derive from no built-in.
    return any(
        kind.__name__ == "TransportError" and kind.__module__.split(".")[0] in ("httpx", "httpx2")
        for kind in type(error).__mro__
    )


def _reason(error: BaseException) -> str:
    """One line that says what went wrong, from the innermost cause that the Hub or the network gave."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    words = []
    for link in chain:
        response = getattr(link, "response", None)
        if response is None:
            words.append(" ".join(str(link).split()) or type(link).__name__)
        else:  # the client's own text goes over several lines, with addresses and a request's id
            said = getattr(link, "server_message", None) or response.reason_phrase
            words.append(f"HTTP {response.status_code}: {' '.join(said.split())}")
    reason = words[0].rstrip(".") + (f" ({words[-1].rstrip('.')})" if words[-1] != words[0] else "")
    if type(error) is ConnectionError:
        reason += " (uploads by Xet? HF_HUB_DISABLE_XET=1 uploads without it)"
    return reason


def _out_of_reach(api: HfApi, error: Exception, token: str | None) -> UserError:
    return UserError(
        scrub(
            f"The Hub at {api.endpoint} cannot be reached ({_reason(error)}), so the run could not be pushed. Nothing "
            "was trained; without --push_to_hub the run stays on this machine, and `logitmix push` pushes it later.",
            [token],
        )
    )
