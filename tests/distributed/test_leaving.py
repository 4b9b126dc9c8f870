"""How a process leaves the others."""

from __future__ import annotations

import pytest
import torch.distributed as dist

from logitmix_hf.errors import UserError
from logitmix_hf.process import guarded


@pytest.mark.parametrize("code", [3, 2])
def test_a_command_leaves_no_group_behind_whether_it_is_done_or_finds_a_mistake(code, tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)

    def command() -> int:
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
        if code == 2:
            raise UserError("a folder is taken")
        return code

    try:
        assert guarded(command) == code
        assert not dist.is_initialized()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
