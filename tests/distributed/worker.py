"""What each of two processes runs: one optimiser step of MixTrainer, its gradients and plans written to a folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

import torch
from test_trainer import Gradients, trainer_of

from logitmix_hf import MixArguments, MixTrainer
from logitmix_hf.steps.mixed import MixedStep

RAGGED = (5, 8, 9, 11, 23)
"""Numbers of rows that two processes with batches of 4 share evenly, and not."""


def main() -> None:
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    plans = []

    draw = MixedStep.draw

    def watched(step, rows, mix, generator):
        plans.append(draw(step, rows, mix, generator))
        return plans[-1]

    MixedStep.draw = watched
    seen = Gradients()
    trainer = trainer_of(
        folder,
        kind=MixTrainer,
        mix=MixArguments(site="layer.1"),
        rows=8 * steps,
        per_device_train_batch_size=4,
        train_sampling_strategy="sequential",
        max_grad_norm=0.0,
        callbacks=[seen],
    )
    trainer.train()
    rank = trainer.accelerator.process_index
    trained = [parameter.detach().clone() for parameter in trainer.accelerator.unwrap_model(trainer.model).parameters()]
    output = trainer.predict(torch.utils.data.Subset(trainer.eval_dataset, range(8 * steps - 1)))
    losses = {}
    for rows in RAGGED:
        some = torch.utils.data.Subset(trainer.eval_dataset, range(rows))
        trainer.args.per_device_eval_batch_size = 4
        losses[rows] = trainer.evaluate(some)["eval_loss"]
    torch.save(
        {
            "gradients": seen.first,
            "plans": [(plan.sources, plan.shares) for plan in plans],
            "weights": trained,
            "losses": losses,
            "log": trainer.state.log_history,
            "order": output.label_ids.tolist(),
        },
        folder / f"rank{rank}.pt",
    )


if __name__ == "__main__":
    main()
