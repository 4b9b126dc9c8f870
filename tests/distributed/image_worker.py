"""What each of two processes runs: steps of MixTrainer on images, for every kind of pass; what came of it in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

import torch
from test_image_trainer import Plain, trainer_of
from test_trainer import Gradients
from tinyimages import LABELS, build

from logitmix_hf import MixArguments
from logitmix_hf.vision.networks import build_network

CASES = {
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


def members() -> torch.nn.Module:
    """Two members, without BatchNorm, whose statistics would be a process's own."""
    torch.manual_seed(0)
    network = build_network("digits", LABELS, 8, members=2)
    for name, module in list(network.named_modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            network.set_submodule(name, torch.nn.Identity())
    return network


def main() -> None:
    folder, found = Path(sys.argv[1]), {}
    for case, given in CASES.items():
        seen = Gradients()
        trainer = trainer_of(
            folder / case,
            model=Plain() if case == "plain" else members() if "members" in case else build(),
            mix=MixArguments(**given),
            rows=16,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            callbacks=[seen],
        )
        try:
            trainer.train()
        except RuntimeError as error:
            found[case] = {"error": str(error)}
            continue
        model = trainer.accelerator.unwrap_model(trainer.model)
        trainer.args.per_device_eval_batch_size = 4
        found[case] = {
            "loss": trainer.evaluate(torch.utils.data.Subset(trainer.train_dataset, range(13)))["eval_loss"],
            "gradients": seen.first,
            "weights": [parameter.detach() for parameter in model.parameters()],
            "error": "",
        }
    torch.save(found, folder / f"rank{trainer.accelerator.process_index}.pt")


if __name__ == "__main__":
    main()
