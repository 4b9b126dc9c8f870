"""What was asked of several processes against what came."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType

from logitmix_hf.errors import UserError
from logitmix_hf.training import parallel_flags
from logitmix_hf.training.parallel_flags import check_asked, check_got, read_fsdp


def asked(**values):
    defaults = {
        "deepspeed": None,
        "fsdp": None,
        "do_train": True,
        "device": torch.device("cpu"),
        "deepspeed_plugin": None,
    }
    return SimpleNamespace(**{**defaults, **values})


@pytest.fixture
def _joined(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)


@pytest.mark.parametrize(
    ("given", "means"),
    [("true", True), ("True", True), ("", True), (True, True), ("false", None), ("none", None), (None, None)],
)
def test_words_of_fsdp(given, means):
    assert read_fsdp(given) is means
    assert read_fsdp("full_shard auto_wrap") == "full_shard auto_wrap"


@pytest.mark.usefixtures("_joined")
def test_fsdp_on_a_cpu_is_refused_whoever_asks(monkeypatch):
    with pytest.raises(UserError, match="DDP without a word"):
        check_asked(asked(fsdp=True))
    check_asked(asked())
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="--use_cpu"):
        check_asked(asked())
    check_asked(asked(do_train=False))  # nothing is spread out


@pytest.mark.parametrize(
    ("asks", "came", "refused"),
    [
        ({"fsdp": True}, DistributedType.MULTI_CPU, ["FSDP was asked", "MULTI_CPU"]),
        ({"fsdp": True}, DistributedType.NO, ["FSDP was asked", "NO"]),
        ({"deepspeed": "zero.json"}, DistributedType.MULTI_GPU, ["DeepSpeed was asked", "MULTI_GPU"]),
        ({"fsdp": True}, DistributedType.FSDP, []),
        ({"deepspeed": {}}, DistributedType.NO, []),  # no settings ask for nothing
        ({"deepspeed": "zero.json"}, DistributedType.DEEPSPEED, []),
        ({}, DistributedType.MULTI_CPU, []),
    ],
)
def test_asked_is_compared_with_what_came(asks, came, refused):
    accelerator = SimpleNamespace(distributed_type=came)
    if not refused:
        check_got(asked(**asks), accelerator)
        return
    with pytest.raises(UserError) as told:
        check_got(asked(**asks), accelerator)
    assert all(words in str(told.value) for words in refused)


@pytest.mark.parametrize(("spread", "name"), [({"fsdp": True}, "FSDP"), ({"deepspeed": "zero.json"}, "DeepSpeed")])
def test_an_average_of_weights_needs_whole_weights(spread, name):
    with pytest.raises(UserError, match=rf"--ema 0.99 .*{name} .*leave"):
        check_asked(asked(ema=0.99, **spread))
    check_asked(asked(ema=0.99))


@pytest.mark.usefixtures("_joined")
def test_zero_3_must_let_the_model_be_saved():
    def with_zero(**zero):
        plugin = SimpleNamespace(deepspeed_config={"zero_optimization": zero})
        return asked(deepspeed="zero.json", deepspeed_plugin=plugin)

    with pytest.raises(UserError, match="stage3_gather_16bit_weights_on_model_save"):
        check_asked(with_zero(stage=3))
    check_asked(with_zero(stage=2))
    check_asked(with_zero(stage=3, stage3_gather_16bit_weights_on_model_save=True))


def test_accelerate_shards_on_gpus_alone():
    assert not parallel_flags.runs_fsdp(torch.device("cpu"))
    assert parallel_flags.runs_fsdp(torch.device("cuda", 0))
