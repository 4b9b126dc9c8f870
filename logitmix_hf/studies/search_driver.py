"""The loop of a search: Optuna is asked for a trial whenever a run may start, and told how it ended."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.driver import Driver
from logitmix_hf.studies.engines.engine import Engine
from logitmix_hf.studies.manifest import Cell, Study, write_manifest
from logitmix_hf.studies.outcome import Ending
from logitmix_hf.studies.search import Found, Group, read_trial, trial_cell

JOURNAL = "optuna.journal"
AT_A_TIME = 10
"""Trials of one search that run beside each other: one that is asked for before others ended learns nothing from them."""


def load_optuna() -> Any:
    """The library.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna  # type: ignore
    except ImportError:
        raise UserError("search: needs a package that is not installed: pip install 'logitmix_hf[search]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class SearchDriver(Driver):
    """Runs the trials of searches, each to its number.

    The journal holds what was drawn and how good it was; whether a trial is done, runs or was given up is read from its
    folder, as of every run. One that was given up stays a trial without a score.

    Args:
        searches: those that are not whole.
        others: as of :class:`Driver`.
    """

    def __init__(self, study: Study, searches: Sequence[Found], engine: Callable[[], Engine], **others: bool) -> None:
        super().__init__(study, [], engine, **others)
        self.optuna = load_optuna()
        self._groups: dict[str, Group] = {found.group.key: found.group for found in searches}
        self.total = len(self._groups) * study.file.trials
        self._studies: dict[str, Any] = {}
        self._asked: dict[str, list[tuple[Any, int]]] = {}
        """By id, the trials that drew these flags: a draw that was there before is not run again."""

    def _todo(self) -> list[Cell]:
        known = {(cell.key, cell.labels["trial"]) for cell in self.study.trials}
        storage = self._storage(self.study.folder / JOURNAL)
        for key, group in self._groups.items():
            self._studies[key] = study = self._study(storage, key)
            for trial in study.get_trials(deepcopy=False):
                cell = self._cell(group, self.optuna.trial.Trial(study, trial._trial_id))
                if (key, trial.number) not in known:
                    self.study.trials.append(cell)
                if not trial.state.is_finished():
                    self._asked.setdefault(cell.id, []).append((study, trial.number))
                    self._tell(cell)
                if cell.id not in {each.id for each in self.cells}:
                    self.cells = [*self.cells, cell]
        write_manifest(self.study)
        todo = super()._todo()
        self._ended = sum(len(study.get_trials(deepcopy=False)) for study in self._studies.values()) - len(todo)
        return todo

    def _storage(self, path: Path) -> Any:
        journal = self.optuna.storages.journal
        if path.is_file() and not (text := path.read_bytes()).endswith(b"\n"):  # a crash cut the last line short
            path.write_bytes(text[: text.rfind(b"\n") + 1])
        return self.optuna.storages.JournalStorage(journal.JournalFileBackend(str(path), _Held()))

    def _study(self, storage: Any, key: str) -> Any:
        study = self.optuna.create_study(storage=storage, study_name=key, load_if_exists=True)
        seed = (int(key[:8], 16) + len(study.get_trials(deepcopy=False))) % 2**32  # not the same draws again
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            study.sampler = self.optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        return study

    def _cell(self, group: Group, trial: Any) -> Cell:
        """What a trial drew; values that the journal has not are drawn now."""
        drawn = {name: space.drawn(trial, name) for name, space in self.study.file.search.items()}
        return trial_cell(self.study, group, trial.number, drawn)

    def _short(self) -> list[str]:
        """Searches that lack trials, the one that lacks most first."""
        counts = {key: len(study.get_trials(deepcopy=False)) for key, study in self._studies.items()}
        return sorted((key for key, n in counts.items() if n < self.study.file.trials), key=counts.__getitem__)

    def _left(self) -> bool:
        return super()._left() or bool(self._short())

    def _start_some(self, engine: Engine) -> None:
        while len(self._queue) < engine.free() and (cell := self._ask()) is not None:
            self._queue.append(cell)
        super()._start_some(engine)

    def _ask(self) -> Cell | None:
        """A new run of the search that lacks most."""
        at_work = [cell.key for cell in (*self._queue, *self._running.values())]
        while keys := [key for key in self._short() if at_work.count(key) < AT_A_TIME]:
            study = self._studies[keys[0]]
            trial = study.ask()
            cell = self._cell(self._groups[keys[0]], trial)
            self.study.trials.append(cell)
            write_manifest(self.study)
            again = cell.id in {each.id for each in self.cells}
            self._asked.setdefault(cell.id, []).append((study, trial.number))
            if not again:
                self.cells = [*self.cells, cell]
                return cell
            self._ended += self._tell(cell)
        return None

    def _judge(self, cell: Cell, outcome: Ending, engine: Engine) -> None:
        super()._judge(cell, outcome, engine)
        if outcome.kind in (ends.DONE, ends.PUSH) and not self._tell(cell):
            self.pause = f"{cell.name} is done and {read_trial(self.study.file, cell).state.line} to choose by"

    def _tell(self, cell: Cell) -> bool:
        """Tell the score of a run to all trials that drew it; whether it has one."""
        found = read_trial(self.study.file, cell)
        if found.score is None:
            return False
        for study, number in self._asked.pop(cell.id, []):
            study.tell(number, found.loss)
        return True


class _Held:
    """The journal's lock: the driver holds the study's own."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None
