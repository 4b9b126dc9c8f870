"""``logitmix push RUN``: push the folder of a finished run, now or again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from logitmix_hf.commands.finished import RUN, finished_run
from logitmix_hf.errors import say
from logitmix_hf.flags import FlagParser, option, word
from logitmix_hf.reporting import hub
from logitmix_hf.reporting.benchmark import write_eval_results
from logitmix_hf.training.push import push


@dataclass(frozen=True)
class PushSettings:
    """Which run goes where."""

    run: str = word(*RUN)
    hub_model_id: str | None = option(None, "user/name; default the folder's name, yours")
    hub_token: str | None = option(None, "token; default the one you logged in with")
    hub_private_repo: bool | None = option(None, "make a new repository private")
    hub_revision: str | None = option(None, "branch; default main")
    eval_results: bool = option(
        False, "push .eval_results/*.yaml too, which leaderboards of the Hub's benchmark data sets read"
    )


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    settings = FlagParser([PushSettings], prog="logitmix push", description=__doc__).parse(argv)[0]
    folder = finished_run(settings.run)
    options = hub.HubOptions.from_arguments(settings)
    hub.check_model(folder)
    name = options.repo_id or folder.path.resolve().name
    folder.check_free()
    if settings.eval_results:
        with folder.writing():
            write_eval_results(folder)
    try:
        repo_id = hub.check_access(name, options.token, options.private, undone="Nothing was pushed")
    except hub.OutOfReach as trouble:
        again = hub.push_command(folder.path, name, options.revision)
        say(f"error: {trouble} Try again with: {again}")
        return 3
    return push(folder, replace(options, repo_id=repo_id))
