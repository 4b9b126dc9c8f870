"""The finished model on corrupted images: a table, ``corruptions.json``, ``corruptions.png``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from logitmix_hf.evaluation import Predictions
from logitmix_hf.evaluation.corruption import PREFIX, SCORES, CorruptionTable, Outcome
from logitmix_hf.reporting.corruptions import FILE, PICTURE, corruption_plot
from logitmix_hf.reporting.folder import RunFolder
from logitmix_hf.tables import aligned_table
from logitmix_hf.vision.data.corruptions import USUAL


class CorruptionJudge:
    """Predicts every corruption at every severity, and keeps of each row no more than the scores need.

    Args:
        splits: by corruption and severity, severities in order.
        facts: what the record says of them.
        bins: of ECE.
    """

    def __init__(
        self, splits: Mapping[tuple[str, int], Any], predict: Callable[[Any, str], Predictions], facts: Any, bins: int
    ) -> None:
        self.facts, self.bins = facts, bins
        self._splits, self._predict = splits, predict
        self.deployed, self.plain = CorruptionTable(USUAL, bins), CorruptionTable(USUAL, bins)

    def run(self, deploy: Callable[[Predictions], Predictions] | None) -> None:
        """By every process; ``deploy`` divides by the temperature, None where there is none."""
        for (name, _), split in self._splits.items():
            p = self._predict(split, f"{PREFIX}{split.name}")
            self.deployed.add(name, Outcome.of(p if deploy is None else deploy(p)))
            if deploy is not None:
                self.plain.add(name, Outcome.of(p))

    def results(self) -> dict[str, Any]:
        """The entries of ``eval_results.json``: as deployed, and of all images together without the temperature too."""
        made = self.deployed.results()
        for pool, scores in self.plain.pooled().items() if self.plain.found else ():
            made |= {f"{PREFIX}{pool}_uncalibrated_{score}": scores[score] for score in ("nll", "ece")}
        facts = {key: self.facts[key] for key in ("name", "source", "official", "rows")}
        return {**made, "corrupted": {**facts, "pools": self.deployed.pools}}

    def write(self, folder: RunFolder, clean: Predictions, title: str) -> None:
        """``corruptions.json`` with every severity, and the picture, which begins at the clean images."""
        start = Outcome.of(clean).scores(self.bins)
        table = self.deployed.by_severity()
        content = {**self.facts, "clean": start, "severities": table, "pooled": self.deployed.pooled()}
        folder.write_json(FILE, {**content, "pools": self.deployed.pools})
        corruption_plot(table, start, folder.path / PICTURE, title)


def corruption_lines(results: Mapping[str, Any]) -> list[str]:
    """What the terminal says: a row for each corruption, the mean over its severities, then all images together."""
    facts = results.get("corrupted")
    if not facts:
        return []
    first, *_ = facts["pools"].values()
    rows = [
        [name, *(f"{results[f'{PREFIX}{name}_{score}']:.4f}" for score in SCORES)] for name in (*first, *facts["pools"])
    ]
    names = {"all15": "all15 leaves out speckle_noise, gaussian_blur, spatter and saturate"}
    notes = [names[pool] for pool in facts["pools"] if pool in names and len(facts["pools"]) > 1]
    what = f"{facts['name']}: {facts['rows']:,} images of {facts['source']}, a corruption and severity"
    made = "" if facts["official"] else "; made here, and not CIFAR-C"
    return [
        *aligned_table(["corruption", "accuracy", "NLL", "ECE"], rows, "lrrr").split("\n"),
        "",
        "; ".join([what + made, *notes]) + ".",
    ]
