"""Two interleaved spirals: the data, the network and what is read off a trained one.

After Manifold Mixup (Verma et al., ICML 2019, figures 1 and 2) and LogitMix (IJCAI 2022, section 4.1, figure 1). Neither
gives its sizes or settings; those below are ours. Plans, blends and the loss are the package's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from logitmix_hf.commands.spiral_settings import INNER, OUTER
from logitmix_hf.losses import LogitMixLoss, LossOutput
from logitmix_hf.methods import METHODS
from logitmix_hf.plan import MixPlan, blend, draw_plan, step_generator
from logitmix_hf.targets import SINGLE

WIDTHS = (2, 64, 64, 64, 2, 64, 64, 2)
"""Units of each layer, input to logits; the two in the middle are Manifold Mixup's bottleneck."""
BOTTLENECK = 4
LEARNING_RATE = 1e-3
RING = (2.4, 2.8)
"""Radii between which no data lies."""
REACH = 2.8
"""Half the side of the square that is looked at."""
UNSURE = (0.3, 0.7)
"""Probabilities of a class that count as undecided."""

# Streams of randomness beside those of the mixing, which are told apart by their step.
_TRAIN, _FRESH, _WEIGHTS = 1, 2, 3


@dataclass(frozen=True)
class ToyMethod:
    """How one method mixes here; its loss weights are those of :data:`logitmix_hf.methods.METHODS`.

    Attributes:
        name: of the method.
        title: as a reader of the papers knows it.
        alpha: of Beta(alpha, alpha).
        sites: layers whose input may be mixed, one drawn each step; 0 is the data itself.
    """

    name: str
    title: str
    alpha: float
    sites: tuple[int, ...] = (0,)

    @property
    def weights(self) -> tuple[float, float, float]:
        """(w_mix, w_cls, w_sim)."""
        return METHODS[self.name].weights

    def loss(self) -> LogitMixLoss:
        """The package's loss with the method's weights."""
        return LogitMixLoss(*self.weights, problem_type=SINGLE)


TOY_METHODS: dict[str, ToyMethod] = {
    method.name: method
    for method in (
        ToyMethod("vanilla", "Vanilla", 0.0),
        ToyMethod("mixup", "Mixup", 1.0),
        ToyMethod("manifold_mixup", "Manifold Mixup", 2.0, (0, 1, BOTTLENECK)),
        ToyMethod("logitmix", "LogitMix", 3.0),
    )
}


class SpiralNetwork(nn.Module):
    """A stack of linear layers with LeakyReLU(0.2) between them; its weights come from ``generator`` alone."""

    def __init__(self, generator: torch.Generator, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(widths):
            layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
            nn.init.kaiming_uniform_(layer.weight, a=0.2, generator=generator)
            nn.init.uniform_(layer.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)
            self.layers.append(layer)

    def forward(self, points: Tensor, plan: MixPlan | None = None, site: int = 0) -> Tensor:
        """Logits of (B, 2) points; with a plan (2B, classes): those of the clean rows, then of the mixed ones."""
        hidden = points
        for number, layer in enumerate(self.layers):
            if number:
                hidden = F.leaky_relu(hidden, 0.2)
            if plan is not None and number == site:
                hidden = torch.cat([hidden, blend(hidden, plan)])
            hidden = layer(hidden)
        return hidden


def spiral_points(points: int, noise: float, cycles: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two arms half a turn apart: (points, 2) float32 and (points,) int64 classes, half of each.

    Arm c at t in [0, 1] has the radius INNER + (OUTER - INNER) t and the angle 2 pi cycles t + pi c; t is evenly spaced,
    and Gaussian noise of this deviation is added to both coordinates.
    """
    first = (points + 1) // 2
    t = torch.cat([torch.linspace(0, 1, first), torch.linspace(0, 1, points - first)])
    labels = (torch.arange(points) >= first).long()
    angle = 2 * math.pi * cycles * t + math.pi * labels
    radius = INNER + (OUTER - INNER) * t
    place = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return place + noise * torch.randn(points, 2, generator=generator), labels


def training_points(points: int, noise: float, cycles: float, seed: int) -> tuple[Tensor, Tensor]:
    """The points that every method of this seed is trained on."""
    return spiral_points(points, noise, cycles, step_generator(seed, 0, purpose=_TRAIN))


def fresh_points(noise: float, cycles: float, seed: int, points: int = 2000) -> tuple[Tensor, Tensor]:
    """Points of the same arms that no method was trained on."""
    return spiral_points(points, noise, cycles, step_generator(seed, 0, purpose=_FRESH))


def untrained(seed: int) -> SpiralNetwork:
    """The network that every method of this seed starts from."""
    return SpiralNetwork(step_generator(seed, 0, purpose=_WEIGHTS))


def toy_loss(
    network: SpiralNetwork, method: ToyMethod, points: Tensor, labels: Tensor, generator: torch.Generator
) -> LossOutput:
    """One full batch under ``method``: partners, shares and site from ``generator``, clean and mixed rows in one pass.

    All the data is one batch here, so every pair draws its own share.
    """
    loss = method.loss()
    if not loss.needs_mixed:
        return loss(network(points), None, labels, None)
    plan = draw_plan(len(points), method.alpha, generator, per="example")
    site = method.sites[int(torch.randint(len(method.sites), (1,), generator=generator))]
    clean, mixed = network(points, plan, site).chunk(2)
    return loss(clean, mixed, labels, plan)


def train(
    network: SpiralNetwork, method: ToyMethod, points: Tensor, labels: Tensor, steps: int, seed: int
) -> SpiralNetwork:
    """Train ``network`` in place by Adam, the whole batch at each step; returns it."""
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    for step in range(steps):
        optimizer.zero_grad()
        toy_loss(network, method, points, labels, step_generator(seed, step)).loss.backward()
        optimizer.step()
    return network


@torch.no_grad()
def probability(network: SpiralNetwork, points: Tensor) -> np.ndarray:
    """p(class 1) of (..., 2) points: (...) float64."""
    return network(points.reshape(-1, 2)).double().softmax(1)[:, 1].reshape(points.shape[:-1]).numpy()


def plane(side: int = 301) -> Tensor:
    """(side, side, 2) points over the square, rows from below to above."""
    axis = torch.linspace(-REACH, REACH, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], 2)


def confidence(p: np.ndarray) -> np.ndarray:
    """The probability of the likelier class."""
    return np.maximum(p, 1 - p)


def undecided(p: np.ndarray) -> np.ndarray:
    """Whether the probability lies within :data:`UNSURE`."""
    return (p >= UNSURE[0]) & (p <= UNSURE[1])


def judge(network: SpiralNetwork, train_set: tuple[Tensor, Tensor], fresh: tuple[Tensor, Tensor]) -> dict[str, float]:
    """What the picture states, as plain numbers in [0, 1].

    ``train_accuracy``, ``train_confidence`` and ``train_undecided`` are shares or means over the training points,
    ``test_accuracy`` over fresh points of the arms, ``boundary_width`` is the share of the disc that the arms fill in
    which p is within UNSURE, ``ring_confidence`` the mean confidence on the ring outside the data.
    """
    points, labels = train_set
    p, fresh_p, where = probability(network, points), probability(network, fresh[0]), plane()
    around, radius = probability(network, where), where.norm(dim=2).numpy()
    ring = (radius >= RING[0]) & (radius <= RING[1])
    return {
        "train_accuracy": float(((p > 0.5) == labels.numpy()).mean()),
        "train_confidence": float(confidence(p).mean()),
        "train_undecided": float(undecided(p).mean()),
        "test_accuracy": float(((fresh_p > 0.5) == fresh[1].numpy()).mean()),
        "boundary_width": float(undecided(around)[radius <= OUTER].mean()),
        "ring_confidence": float(confidence(around)[ring].mean()),
    }
