"""How a process leaves the others."""

from __future__ import annotations

import torch.distributed as dist

from logitmix_hf.process import guarded


def test_a_command_that_is_done_leaves_no_group_behind(tmp_path):
    store = dist.FileStore(str(tmp_path / "store"), 1)

    def command() -> int:
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
        return 3

    try:
        assert guarded(command) == 3
        assert not dist.is_initialized()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
