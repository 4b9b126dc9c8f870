"""What each of two processes runs: a whole command under FSDP2, with accelerate's gate lifted, which lets FSDP train on
GPUs alone; torch's own FSDP2 runs on a CPU over gloo."""

from __future__ import annotations

import sys

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

_made, _gathered = AcceleratorState.__init__, Accelerator.get_state_dict


def _let_fsdp_in(self, *args, fsdp_plugin=None, **kwargs):
    _made(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def _arrived(self, *args, **kwargs):
    """What is gathered onto a CPU is handed out before it has come; from a GPU the copy to the CPU waits for it."""
    return {
        name: value.wait() if hasattr(value, "wait") else value
        for name, value in _gathered(self, *args, **kwargs).items()
    }


if __name__ == "__main__":
    AcceleratorState.__init__, Accelerator.get_state_dict = _let_fsdp_in, _arrived

    from logitmix_hf.cli import main
    from logitmix_hf.training import parallel_flags

    parallel_flags.runs_fsdp = lambda device: True
    sys.exit(main(sys.argv[1:]))
