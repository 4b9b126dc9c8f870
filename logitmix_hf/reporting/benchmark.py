"""``.eval_results/*.yaml``: a score as the leaderboards of the Hub's benchmark data sets read it.

Only data sets that the Hub has registered as benchmarks take part, so these files are written when they are asked for;
the metadata of the card says the same scores in every case. Format: huggingface.co/docs/hub/eval-results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from logitmix_hf.errors import UserError, say
from logitmix_hf.reporting.card.facts import hub_data
from logitmix_hf.reporting.folder import RECORD, RunFolder

FOLDER = ".eval_results"


def write_eval_results(folder: RunFolder) -> None:
    """Write ``.eval_results/*.yaml`` of a judged run, and say so.

    Raises:
        UserError: see ``benchmark_entries``.
    """
    name, text = benchmark_entries(folder.read_json(RECORD), folder.read_json("eval_results.json"))
    folder.write_text(name, text)
    say(f"wrote {folder.path / name}", out=True)


def benchmark_entries(run: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[str, str]:
    """Name (relative to the run folder) and content of the file: the headline score of each judged split.

    The task is the data set's configuration, ``default`` where it has one alone; of several splits (MNLI) each is a
    task of its own, ``mnli_matched`` and ``mnli_mismatched``, which are configurations of GLUE as well.

    Raises:
        UserError: the data is not of the Hub, only some of its rows were judged, there is no score, or the installed
            huggingface_hub does not know the format.
    """
    try:
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError:
        raise UserError(
            "--eval_results needs a huggingface_hub that knows EvalResultEntry (2.0 does): update it, or leave the flag "
            "out; the card's metadata holds the scores in every case."
        ) from None
    from huggingface_hub.utils import yaml_dump

    data, arguments = run.get("data", {}), run.get("arguments", {})
    source = hub_data(data)
    if source is None:
        kinds = {"hub": "no data set of the Hub", "folder": "a folder"}
        whence = "a generator" if data.get("synthetic") else kinds.get(str(data.get("kind") or "hub"), "files")
        raise UserError(
            f"--eval_results is for benchmark data sets of the Hub, and {str(data.get('source') or data.get('name'))!r} "
            f"came from {whence}: leave it out."
        )
    if arguments.get("max_eval_samples") is not None:
        raise UserError(
            f"--eval_results is for scores on the whole split, and this run was judged on at most "
            f"{arguments['max_eval_samples']} rows (--max_eval_samples): leave it out."
        )
    metric = str((data.get("metrics") or ("accuracy",))[0])
    every, config = data.get("splits") or {"eval": {"split": "validation"}}, data.get("config") or "default"
    splits = {prefix: split for prefix, split in every.items() if not split.get("test")}
    entries = []
    for prefix, split in splits.items():
        value, name = results.get(f"{prefix}_{metric}"), str(split.get("split", prefix))
        if value is not None and math.isfinite(float(value)):
            task = config if len(splits) == 1 else f"{config}_{name.removeprefix('validation_')}"
            notes = f"{metric.replace('_', ' ')} of the split {name}"
            entries.append(
                EvalResultEntry(source, task, float(value), date=run.get("finished") or run.get("started"), notes=notes)
            )
    if not entries:
        raise UserError(f"--eval_results has nothing to tell: eval_results.json has no {metric}.")
    return f"{FOLDER}/{source.rpartition('/')[2]}.yaml", yaml_dump(
        eval_result_entries_to_yaml(entries), sort_keys=False
    )
