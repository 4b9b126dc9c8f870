"""What each of two processes runs: two steps of every kind of text step; its weights written to a folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

import torch
from test_trainer import no_dropout, trainer_of

from logitmix_hf import MixArguments

CASES = {
    "layer": {"site": "layer.1"},
    "mixed rows alone": {"method": "mixup", "site": "layer.1"},
    "embeddings alone": {"method": "mixup", "site": "embeddings"},
    "pooled": {"site": "pooled"},
    "vanilla": {"method": "vanilla"},
    "vwci": {"method": "vwci", "vwci": 3},
    "frozen": {"site": "layer.1"},
    "idle parameters": {"site": "layer.1"},
}


class Idle(torch.nn.Linear):
    """Parameters that nothing asks for."""


def main() -> None:
    folder, found = Path(sys.argv[1]), {}
    for case, given in CASES.items():
        model = no_dropout()
        if case == "frozen":
            model.base_model.embeddings.requires_grad_(False)
            model.base_model.encoder.layer[0].requires_grad_(False)
        if case == "idle parameters":
            model.idle = Idle(2, 2)
        options = {"rows": 32, "per_device_train_batch_size": 8, "model": model, "mix": MixArguments(**given)}
        trainer = trainer_of(folder / case.replace(" ", "_"), **options)
        found[case] = {"finds": trainer.args.ddp_find_unused_parameters, "error": ""}
        try:
            trainer.train()
        except ValueError as error:
            found[case]["error"] = str(error)
            continue
        unwrapped = trainer.accelerator.unwrap_model(trainer.model)
        found[case]["weights"] = [parameter.detach() for parameter in unwrapped.parameters()]
    torch.save(found, folder / f"rank{trainer.accelerator.process_index}.pt")


if __name__ == "__main__":
    main()
