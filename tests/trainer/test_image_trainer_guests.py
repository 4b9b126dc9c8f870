"""MixTrainer with other people's data sets and networks, and with gradient checkpointing."""

from __future__ import annotations

import pytest
import torch
from test_image_trainer import Pictures, trainer_of
from test_trainer import assert_equal_gradients
from tinyimages import LABELS, Rows, build
from torch import nn

from logitmix_hf import MixArguments
from logitmix_hf.errors import UserError


class Pairs(Pictures):
    """As torchvision's data sets hand out their rows."""

    def __getitem__(self, row: int):
        return self.pixels[row], int(self.labels[row])


def test_a_data_set_of_pairs_trains_as_one_of_dictionaries(tmp_path):
    ends = []
    for kind in (Pictures, Pairs):
        trainer = trainer_of(tmp_path, max_steps=2)
        trainer.train_dataset = trainer.eval_dataset = kind()
        trainer.train()
        ends.append([*trainer.model.parameters(), torch.tensor(trainer.evaluate()["eval_loss"])])
    assert_equal_gradients(*ends)


def test_a_pair_whose_image_is_no_tensor_is_named(tmp_path):
    trainer = trainer_of(tmp_path)
    trainer.train_dataset = [(object(), 1)] * 8
    with pytest.raises(UserError, match=r"image of the type object: let its transform end in a tensor"):
        trainer.train()


def test_a_network_that_takes_neither_pixels_nor_tokens_is_told_what_to_do(tmp_path):
    from torchvision.models import resnet18

    with pytest.raises(UserError, match=r"ResNet takes x, but .* pixel_values .*build_network"):
        trainer_of(tmp_path, model=resnet18(num_classes=LABELS))


def test_checkpointing_is_refused_where_the_network_has_none(tmp_path):
    with pytest.raises(UserError, match="Plain does not offer it"):
        trainer_of(tmp_path, gradient_checkpointing=True)


@pytest.mark.parametrize("site", ["input", "stage.1", "stages"])
def test_checkpointing_gives_the_same_gradients_and_statistics(tmp_path, site):
    """BatchNorm must not count the batch again when backward runs a stage once more."""
    ends = []
    for checkpointing in (False, True):
        model = build().train()
        mix = MixArguments(site=site)
        trainer_of(tmp_path, model=model, mix=mix, max_steps=2, gradient_checkpointing=checkpointing).train()
        ends.append({**dict(model.named_parameters()), **dict(model.named_buffers())})
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, atol=1e-6, rtol=1e-5, msg=name)
    assert {norm.momentum for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)} == {0.1}


def test_checkpointing_really_runs_the_stages_again(tmp_path):
    model = build().train()
    count = Rows(model.stages[0])  # type: ignore[index]
    trainer_of(
        tmp_path, model=model, mix=MixArguments(method="vanilla"), max_steps=1, gradient_checkpointing=True
    ).train()
    assert count.calls == [8, 8]
