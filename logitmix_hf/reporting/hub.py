"""Pushing a run to the Hub: the right to write is proven before training, the files go last, a failure says how to
go on. No message holds a token."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from logitmix_hf.errors import UserError
from logitmix_hf.redact import scrub
from logitmix_hf.reporting.card import relocated
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.reporting.retry import T, brief_client, is_passing, reason, retried

if TYPE_CHECKING:
    from huggingface_hub import HfApi

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

        Raises:
            UserError: one of them is empty, which is no wish for its default.
        """
        given = {name: getattr(args, name, None) for name in ("hub_model_id", "hub_token", "hub_revision")}
        for name, value in given.items():
            if value is not None and not value.strip():
                raise UserError(f"--{name} is empty (a variable that is not set?): give it a value, or leave it out.")
        return cls(given["hub_model_id"], given["hub_token"], args.hub_private_repo, given["hub_revision"])


def strategy_note(args: Any) -> str | None:
    """What to tell a user whose ``hub_strategy`` asks for pushes during training; None where there is nothing to."""
    strategy = str(getattr(args.hub_strategy, "value", args.hub_strategy))
    if strategy in ("end", "every_save") and not getattr(args, "hub_always_push", False):
        return None
    asked = f"--hub_strategy {strategy}" if strategy not in ("end", "every_save") else "--hub_always_push"
    return f"{asked}: the finished run is pushed once, at the end; checkpoints stay at home (they hold pickles)."


UNTRAINED = "Nothing was trained; without --push_to_hub the run stays on this machine"


class OutOfReach(UserError):
    """The Hub could not be asked, or had trouble of its own: nothing that the user did."""


def check_access(
    repo_id: str,
    token: str | None = None,
    private: bool | None = None,
    endpoint: str | None = None,
    undone: str = UNTRAINED,
) -> str:
    """Prove, before training, that the token may write to the repository; make the repository if it is missing.

    Args:
        undone: what did not happen yet, for the messages.

    Returns:
        The full id, ``user/name``.

    Raises:
        OutOfReach: no Hub within reach, or none that works.
        UserError: no token, a token that is not accepted or may only read, no right to make or write the repository,
            or a name that cannot be one.
    """
    api, token = _api(endpoint, token)
    if token is None:
        raise UserError(_NO_TOKEN)
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"--hub_model_id {repo_id!r} cannot be the name of a repository: {error}") from None

    def asked(call: Callable[[], T]) -> T:
        return retried(call, tries=3)

    def refused(error: Exception, what: str) -> UserError:
        if not isinstance(error, HfHubHTTPError) or is_passing(error):
            text = f"The Hub at {api.endpoint} cannot be reached or does not work ({reason(error)}). {undone}."
            return OutOfReach(scrub(text, [token]))
        if error.response.status_code in (401, 403, 404):
            return UserError(scrub(f"{what}. {undone}.", [token]))
        return UserError(scrub(f"The Hub refused {repo_id!r} on {api.endpoint}: {reason(error)}. {undone}.", [token]))

    try:
        user = asked(lambda: api.whoami(token=token))
    except Exception as error:  # hub, requests and OS classes: refused() tells them apart
        not_known = f"{api.endpoint} does not accept the token (--hub_token, HF_TOKEN or `hf auth login`)"
        raise refused(error, not_known) from None
    name = user.get("name")
    role = ((user.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise UserError(f"The token of {name!r} may only read; pushing to {repo_id!r} needs one that may write.")
    full = repo_id if "/" in repo_id else f"{name}/{repo_id}"
    try:
        _make(api, full, private, token, asked)
        # A repository that exists may be somebody else's: ask for the right itself.
        asked(lambda: api.auth_check(full, token=token, write=True))
    except Exception as error:  # as above
        where = f"{repo_id!r} on {api.endpoint}"
        what = f"The token of {name!r} may not write to {where}: give a --hub_model_id that it may, or another token"
        raise refused(error, what) from None
    return full


def push_run(
    folder: str | os.PathLike[str],
    repo_id: str,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> str:
    """Upload a finished run in one commit: exactly the files of ``folder.PUBLIC_FILES`` that are there.

    The repository and the branch are made if missing. The client sends no file that is there already with the same
    content, and, of a push that was cut off, no large file whose upload had ended (its commit is still to come). A
    server's error (5xx, 429) and a lost connection are tried again a few times; nothing is changed by a try that failed,
    and nothing is done twice. ``say`` gets one line for each try.

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

    def tell(line: str) -> None:
        say(scrub(line, [token]))

    def asked(call: Callable[[], T]) -> T:
        return retried(call, tell)

    full = repo_id
    try:
        with brief_client(tell), warnings.catch_warnings():
            # The client wonders at data files in a model's repository; the predictions are meant to be there.
            warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
            if "/" not in full:
                full = f"{asked(lambda: api.whoami(token=token))['name']}/{repo_id}"
            _make(api, full, private, token, asked)
            if revision not in (None, "main"):
                asked(lambda: api.create_branch(full, branch=str(revision), exist_ok=True, token=token))
            contents: dict[str, str | bytes] = {name: str(run.path / name) for name in names}
            if (card := "README.md") in contents:
                contents[card] = relocated((run.path / card).read_text(encoding="utf-8"), full).encode("utf-8")
            asked(lambda: _commit(api, full, contents, token, revision))
        return f"{api.endpoint}/{full}"
    except Exception as error:  # the run is whole: whatever failed, the push can be done later
        command = push_command(run.path, full, revision)
        raise PushFailed(
            scrub(
                f"The run is saved in {str(run.path)!r}, but pushing it to {full!r} on {api.endpoint} failed: "
                f"{reason(error)}. Push it later with: {command}",
                [token],
            ),
            command,
        ) from None


def _commit(api: HfApi, repo_id: str, contents: dict[str, str | bytes], token: str, revision: str | None) -> None:
    from huggingface_hub import CommitOperationAdd

    # Made anew for each try: an operation remembers what the Hub held before it, and where the commit arrived and its
    # answer did not, there is nothing left to commit.
    files = [CommitOperationAdd(name, content) for name, content in contents.items()]
    message = "Add the model, its card and its results"
    api.create_commit(repo_id, files, commit_message=message, token=token, revision=revision)


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


def _api(endpoint: str | None, token: str | None) -> tuple[HfApi, str | None]:
    from huggingface_hub import HfApi, get_token

    token = (token or get_token() or "").strip() or None
    return HfApi(endpoint=endpoint, token=token), token


def _make(
    api: HfApi, repo_id: str, private: bool | None, token: str, asked: Callable[[Callable[[], Any]], Any]
) -> None:
    # Asked first, because create_repo(exist_ok=True) hides a refusal where the repository exists, and then trips over
    # the address of a Hub other than HF_ENDPOINT.
    if not asked(lambda: api.repo_exists(repo_id, token=token)):
        asked(lambda: api.create_repo(repo_id, private=private, exist_ok=True, token=token))
