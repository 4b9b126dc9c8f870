"""A whole run from Python: the flags of a command as keywords, the run folder as an object."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logitmix_hf.errors import UserError
from logitmix_hf.flag_words import flag_words
from logitmix_hf.flags import COMMANDS
from logitmix_hf.modality import IMAGE, TEXT
from logitmix_hf.reporting.folder import RECORD, RunFolder
from logitmix_hf.reporting.results import RESULTS, TESTED, read_results

if TYPE_CHECKING:
    import pandas as pd

    from logitmix_hf.serving.classifier import Classifier


@dataclass(frozen=True)
class Run:
    """A run folder, and what is in it.

    Attributes:
        folder: what ``from_pretrained`` and every command take.
        pushed: whether the run went to the Hub, where that was asked for; None where it was not.
    """

    folder: Path
    pushed: bool | None = None

    @cached_property
    def record(self) -> dict[str, Any]:
        """``run.json``: arguments, seeds, versions, seconds, peak memory …"""
        return RunFolder(str(self.folder)).read_json(RECORD)

    @cached_property
    def scores(self) -> dict[str, Any]:
        """Every score of the judged splits, validation and labelled test; empty where nothing was judged."""
        found = any((self.folder / name).is_file() for name in (RESULTS, TESTED))
        return read_results(RunFolder(str(self.folder))) if found else {}

    @cached_property
    def classifier(self) -> Classifier:
        """The model ready to predict, with its temperature."""
        from logitmix_hf.serving.classifier import load_classifier

        return load_classifier(str(self.folder))

    def predictions(self, split: str = "validation") -> pd.DataFrame:
        """Row by row: ``idx, label, prediction, logits`` of a judged split, or of a test split that was predicted.

        Raises:
            UserError: naming the splits that there are.
        """
        import pandas as pd

        known = {path.stem: path for path in sorted((self.folder / "predictions").glob("*.parquet"))}
        if split not in known:
            raise UserError(f"{self.folder} has no predictions of {split!r}; there are: {', '.join(known) or 'none'}.")
        return pd.read_parquet(known[split])


def fine_tune(modality: str | None = None, **flags: Any) -> Run:
    """Train, judge and write a run folder, as ``logitmix glue`` and ``logitmix vision`` do.

    >>> run = fine_tune(task="sst2", dataset_name="builtin", model="builtin", method="logitmix")  # doctest: +SKIP
    >>> run.scores["eval_accuracy"]  # doctest: +SKIP

    Args:
        modality: "text" or "image"; default "image" where ``dataset`` is among the flags, which texts do not have.
        flags: of the command, ``True`` and ``False`` for switches, a list for several words, a dict for JSON; None is
            what no flag says.

    Returns:
        The finished run. Where it could not be pushed, a warning says so: it is trained and saved.

    Raises:
        UserError: for a mistake that the command would end with in one line.
        KeyboardInterrupt: stopped by a signal, after a checkpoint was saved.
    """
    modality = modality or (IMAGE if "dataset" in flags else TEXT)
    if modality not in COMMANDS:
        raise UserError(f"modality must be {TEXT} or {IMAGE}, got {modality!r}.")
    if modality == TEXT:
        from logitmix_hf.commands.glue import parse
    else:
        from logitmix_hf.commands.vision import parse  # type: ignore[assignment]
    job = parse(flag_words(flags), f"logitmix {COMMANDS[modality]}")
    if job.run.prepare:
        raise UserError("prepare trains nothing, so that there is no run to return: `logitmix glue --prepare` fetches.")
    from logitmix_hf.training.run import fine_tune as carry_out

    code = carry_out(job)
    if code >= 128:
        raise KeyboardInterrupt(f"stopped by signal {code - 128}; go on with resume=True")
    if code:
        warnings.warn(
            f"{job.training.output_dir} is trained and saved, but was not pushed: `logitmix push` does that later.",
            stacklevel=2,
        )
    return Run(Path(str(job.training.output_dir)), None if not job.training.push_to_hub else code == 0)
