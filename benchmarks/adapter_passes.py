"""``python -m benchmarks.adapter_passes``: three adapters over one network, answered in one pass against three passes; and
one training step of the three beside each other against a step of each of three runs.

CPU time of the process, both sides in turns; MiniLM-L6's shape with random weights, one thread.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, BertConfig

from logitmix_hf import MixArguments
from logitmix_hf.ensembles import over_one_network
from logitmix_hf.ensembles.lora import lora_config
from logitmix_hf.steps import Where, build_step

MEMBERS = 3
SHAPES = ((1, 32), (8, 128))
"""Rows and tokens of a batch."""


def main() -> None:
    """Print the ratio for each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = AutoModelForSequenceClassification.from_config(config)
    alone = [over_one_network(copy.deepcopy(model), [lora_config(model, 8, 16.0, 0.0)]).train() for _ in range(MEMBERS)]
    joined = over_one_network(model, [lora_config(model, 8, 16.0, 0.0)] * MEMBERS).eval()
    print("| rows x tokens | one pass of three | of the rounds |\n|---|---|---|")
    for rows, tokens in SHAPES:
        batch = {"input_ids": torch.randint(5, 30_000, (rows, tokens))}
        ratios = [_turn(joined, batch) for _ in range(rounds + 1)][1:]  # the first only warms up
        print(f"| {rows} x {tokens} | {_told(ratios)} |", flush=True)
    print("\n| method, 8 x 128 | a training step of three | of the rounds |\n|---|---|---|")
    for method in ("vanilla", "logitmix"):
        mix = MixArguments(method=method)
        sides = [build_step(joined.train(), mix)], [build_step(one, mix) for one in alone]
        batch = {"input_ids": torch.randint(5, 30_000, (8, 128))}
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        ratios = [_step(sides, batch, number) for number in range(rounds + 1)][1:]
        print(f"| {method} | {_told(ratios)} |", flush=True)
        for step in (*sides[0], *sides[1]):
            step.remove()


def _told(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f}"


def _step(sides: Any, batch: dict[str, torch.Tensor], number: int) -> float:
    took, labels = [], torch.arange(8) % 2
    for steps in sides:
        began = time.process_time()
        for step in steps:
            step.run(step.model, batch, labels, Where(seed=0, step=number)).per_example.mean().backward()
            step.model.zero_grad()
        took.append(time.process_time() - began)
    return took[0] / took[1]


@torch.no_grad()
def _turn(joined: Any, batch: dict[str, torch.Tensor]) -> float:
    took = []
    for one_pass in (True, False):
        joined.in_one_pass = one_pass
        began = time.process_time()
        joined(**batch)
        took.append(time.process_time() - began)
    return took[0] / took[1]


if __name__ == "__main__":
    main()
