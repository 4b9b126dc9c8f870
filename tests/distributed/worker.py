"""What each of two processes runs: steps of MixTrainer on texts and on images; what came of them is written to a folder.

One start of two processes does all of it: a start takes longer than the steps.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

import test_image_trainer
import test_trainer
import torch
from test_image_trainer import Plain
from test_trainer import Gradients, no_dropout
from tinyimages import LABELS, build

from logitmix_hf import MixArguments, MixTrainer
from logitmix_hf.steps.mixed import MixedStep
from logitmix_hf.vision.networks import build_network

STEPS = 3
RAGGED = (5, 8, 9, 11, 23)
"""Numbers of rows that two processes with batches of 4 share evenly, and not."""
METHODS = {
    "layer": {"site": "layer.1"},
    "mixed rows alone": {"method": "mixup", "site": "layer.1"},
    "embeddings alone": {"method": "mixup", "site": "embeddings"},
    "pooled": {"site": "pooled"},
    "vanilla": {"method": "vanilla"},
    "vwci": {"method": "vwci", "vwci": 3},
    "frozen": {"site": "layer.1"},
    "idle parameters": {"site": "layer.1"},
}
PASSES = {
    "joint": {"mixer": "cutmix"},
    "separate": {"mixer": "cutmix", "bn_mode": "separate"},
    "puzzlemix": {"mixer": "puzzlemix", "mixer_options": "blocks=2"},
    "adversarial": {"mixer": "puzzlemix", "mixer_options": "blocks=2,adv_prob=.9"},
    "mixed_only": {"mixer": "puzzlemix", "method": "mixup"},
    "middle": {"mixer": "mixup", "site": "middle"},
    "plain": {"mixer": "mixup", "bn_mode": "separate"},  # a network without BatchNorm
    "members": {"method": "cut_mixmo"},
    "members_extra": {"method": "cut_mixmo", "mixer": "cutmix", "mix_prob": 1.0, "w_cls": 1.0, "w_sim": 0.1},
}


class Idle(torch.nn.Linear):
    """Parameters that nothing asks for."""


def members() -> torch.nn.Module:
    """Two members, without BatchNorm, whose statistics would be a process's own."""
    torch.manual_seed(0)
    network = build_network("digits", LABELS, 8, members=2)
    for name, module in list(network.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            network.set_submodule(name, torch.nn.Identity())
    return network


def weights_of(trainer: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.accelerator.unwrap_model(trainer.model).parameters()]


def losses_of(trainer: Any, data: Any, counts: tuple[int, ...]) -> dict[int, float]:
    trainer.args.per_device_eval_batch_size = 4
    return {rows: trainer.evaluate(torch.utils.data.Subset(data, range(rows)))["eval_loss"] for rows in counts}


def texts(folder: Path) -> dict[str, Any]:
    """Some steps, with the gradients of the first and the plans of all."""
    plans, draw, seen = [], MixedStep.draw, Gradients()

    def watched(step, rows, mix, generator):
        plans.append(draw(step, rows, mix, generator))
        return plans[-1]

    MixedStep.draw = watched
    trainer = test_trainer.trainer_of(
        folder,
        kind=MixTrainer,
        mix=MixArguments(site="layer.1"),
        rows=8 * STEPS,
        per_device_train_batch_size=4,
        train_sampling_strategy="sequential",
        max_grad_norm=0.0,
        callbacks=[seen],
    )
    trainer.train()
    MixedStep.draw = draw
    trained = weights_of(trainer)
    output = trainer.predict(torch.utils.data.Subset(trainer.eval_dataset, range(8 * STEPS - 1)))
    return {
        "gradients": seen.first,
        "plans": [(plan.sources, plan.shares) for plan in plans],
        "weights": trained,
        "losses": losses_of(trainer, trainer.eval_dataset, RAGGED),
        "log": trainer.state.log_history,
        "order": output.label_ids.tolist(),
    }


def images(folder: Path, case: str) -> dict[str, Any]:
    """Steps of one kind of pass."""
    seen = Gradients()
    trainer = test_image_trainer.trainer_of(
        folder,
        model=Plain() if case == "plain" else members() if "members" in case else build(),
        mix=MixArguments(**PASSES[case]),
        rows=16,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        callbacks=[seen],
    )
    trainer.train()
    loss = losses_of(trainer, trainer.train_dataset, (13,))[13]
    return {"loss": loss, "gradients": seen.first, "weights": weights_of(trainer)}


def methods(folder: Path, case: str) -> dict[str, Any]:
    """Steps of one kind of text step, where DDP does not look for parameters that took no part."""
    model = no_dropout()
    if case == "frozen":
        model.base_model.embeddings.requires_grad_(False)
        model.base_model.encoder.layer[0].requires_grad_(False)
    if case == "idle parameters":
        model.idle = Idle(2, 2)
    options = {"rows": 32, "per_device_train_batch_size": 8, "model": model, "mix": MixArguments(**METHODS[case])}
    trainer = test_trainer.trainer_of(folder, **options)
    found = {"finds": trainer.args.ddp_find_unused_parameters, "error": ""}
    try:
        trainer.train()
    except ValueError as error:
        return {**found, "error": str(error)}
    return {**found, "weights": weights_of(trainer)}


def main() -> None:
    folder = Path(sys.argv[1])
    found = {
        "texts": texts(folder / "texts"),
        "images": {case: images(folder / case, case) for case in PASSES},
        "methods": {case: methods(folder / case.replace(" ", "_"), case) for case in METHODS},
    }
    torch.save(found, folder / f"rank{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main()
