"""Ratios that a noisy machine cannot spoil: the two sides of each pair take turns in one process."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

Step = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """One claim: a step of ``one`` takes at most ``bar`` times a step of ``other``; without a bar it is only told."""

    one: str
    other: str
    bar: float | None = None


@dataclass(frozen=True)
class Row:
    """What was measured of a pair.

    Attributes:
        ratio: median over the rounds of time(one) / time(other); the quartiles say how far rounds lay apart.
        milliseconds: median time of a step of ``one``: of this machine at this hour, and no bar.
        mebibytes: peak memory of a step of ``one``, see :func:`peak_memory`; ``memory_ratio`` to ``other``'s.
    """

    one: str
    other: str
    bar: float | None
    ratio: float
    quartiles: tuple[float, float]
    milliseconds: float
    mebibytes: float
    memory_ratio: float

    @property
    def missed(self) -> bool:
        """Whether the median lies above the bar."""
        return self.bar is not None and self.ratio > self.bar


CLOCKS: dict[str, Callable[[], float]] = {"wall": lambda: time.perf_counter(), "cpu": lambda: time.process_time()}
"""``cpu`` counts the seconds of all threads of this process: the nearer truth on a CPU that others use too."""


def measure(
    steps: Mapping[str, Step], pairs: Sequence[Pair], rounds: int, times: int, clock: str = "wall"
) -> list[Row]:
    """Let every pair take turns, ``rounds`` times over all pairs, ``times`` steps in a row on each side.

    Who begins changes with every round, so that neither side always meets the caches of the other.
    """
    memory = {name: peak_memory(step) for name, step in steps.items()}  # warms up too
    ratios: dict[Pair, list[float]] = {pair: [] for pair in pairs}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds):
        for pair in pairs:
            order = (pair.one, pair.other) if turn % 2 == 0 else (pair.other, pair.one)
            took = {
                name: statistics.median(_seconds(steps[name], CLOCKS[clock]) for _ in range(times)) for name in order
            }
            ratios[pair].append(took[pair.one] / took[pair.other])
            for name, value in took.items():
                seconds[name].append(value)
    return [
        Row(
            one=pair.one,
            other=pair.other,
            bar=pair.bar,
            ratio=statistics.median(found),
            quartiles=quartiles(found),
            milliseconds=1e3 * statistics.median(seconds[pair.one]),
            mebibytes=memory[pair.one] / 2**20,
            memory_ratio=memory[pair.one] / memory[pair.other],
        )
        for pair, found in ratios.items()
    ]


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third; of a single value, that value."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def _seconds(step: Step, now: Callable[[], float]) -> float:
    _wait()
    begun = now()
    step()
    _wait()
    return now() - begun


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory(step: Step) -> int:
    """Bytes of tensors that the second step has at its peak above what it began with: activations and gradients.

    (The first also makes the optimiser's state.) On a GPU as CUDA's allocator counts them; on a CPU the running sum of
    the allocations that torch's profiler saw: exact, and blind to what libraries keep for themselves.
    """
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| step of | against | ratio | quartiles | bar | ms | peak MiB | memory ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        bar = "" if row.bar is None else f"{row.bar:.3f}{' MISSED' if row.missed else ''}"
        low, high = row.quartiles
        lines.append(
            f"| {row.one} | {row.other} | {row.ratio:.3f} | {low:.3f} to {high:.3f} | {bar} | {row.milliseconds:.0f}"
            f" | {row.mebibytes:.0f} | {row.memory_ratio:.2f} |"
        )
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows as plain values."""
    return [{**asdict(row), "missed": row.missed} for row in rows]
