"""Checkpoints that are complete or absent, and signals that save one before the end."""

from __future__ import annotations

import json
import shutil
import signal
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import TrainerCallback, TrainerState
from transformers.trainer_pt_utils import safe_globals
from transformers.trainer_utils import rotate_checkpoints

from logitmix_hf.disk import sync_folder, sync_tree
from logitmix_hf.errors import UserError, say
from logitmix_hf.process import handling, is_main_process
from logitmix_hf.trainer.best_model import BestModel

# Below the output folder; not a name that a search for checkpoints finds.
STAGING = ".saving"


class CheckpointError(RuntimeError):
    """A checkpoint could not be written; the message names the last good one."""


def check_checkpoint(folder: str | Path) -> None:
    """Require a checkpoint to hold what training goes on from, readable as far as that is quick to see. Without a state of
    the optimizer, which nobody may have saved, it begins anew, and a line says so.

    Raises:
        UserError: naming the file that is damaged or missing.
    """
    folder, kinds = Path(folder), (".pt", ".pth", ".safetensors", ".json")
    files = sorted(folder.iterdir())
    problem = next((told for path in files if path.suffix in kinds and (told := _trouble(path))), None)
    names, whole = [path.name for path in files], any(path.is_dir() for path in files)  # folders: of FSDP, of DeepSpeed
    if not problem and "trainer_state.json" not in names:
        problem = f"{folder} has no trainer_state.json"
    if not problem and not whole and not any(fnmatchcase(name, one) for name in names for one in _WEIGHTS):
        problem = f"{folder} has no weights (model.safetensors)"
    if problem:
        raise UserError(
            f"{problem}: training cannot go on from this checkpoint. Remove {folder} to go on from the one before, or begin"
            " again with --overwrite."
        )
    lacking = [name for name in ("optimizer.pt", "scheduler.pt") if name not in names]
    if lacking and not whole and is_main_process():
        say(
            f"{folder} has no {' and no '.join(lacking)}: the optimizer and the learning rate's schedule begin anew, and"
            " the run will not end as one that was never stopped."
        )


_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "adapter_model.bin")


def _trouble(path: Path) -> str | None:
    """Why a file of a checkpoint cannot be read, in words."""
    try:
        if path.name == "trainer_state.json":
            if not isinstance(TrainerState.load_from_json(str(path)).global_step, int):
                return f"{path} is damaged (its step is no number)"
        elif path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            if path.name.endswith(".index.json"):
                for name in sorted(set(content["weight_map"].values())):
                    if not (path.parent / name).is_file():
                        return f"{path.parent} has no {name}, which {path.name} names"
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                file.keys()
        else:
            with safe_globals():
                torch.load(path, map_location="cpu", weights_only=True, mmap=path.suffix == ".pt")
    except Exception as problem:  # torch, zipfile, pickle and json raise half a dozen classes
        return f"{path} is damaged ({type(problem).__name__})"
    return None


class AtomicCheckpoints(BestModel):
    """A ``Trainer`` whose ``checkpoint-N`` folders appear whole: written aside, flushed, then renamed.

    A process killed at any moment, or a full disk, leaves the last good checkpoint as it was.
    """

    _staging: str | None = None

    def _get_output_dir(self, trial: Any) -> str:
        return self._staging or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self.args.push_to_hub:
            # Trainer's own push reads the checkpoint while it saves it, under its final name.
            return super()._save_checkpoint(model, trial)
        self._point_at_best(trial)  # stock looks for it beside what it saves, where only this checkpoint will be
        folder = Path(super()._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        final, staged = folder / name, folder / STAGING / name
        if self.is_world_process_zero():
            shutil.rmtree(folder / STAGING, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._staging = str(folder / STAGING)
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                self._publish(staged, final)
        except Exception as problem:  # torch, safetensors and the disk: none may leave half a checkpoint
            shutil.rmtree(folder / STAGING, ignore_errors=True)
            raise CheckpointError(_failure(folder, final, problem)) from problem
        finally:
            self._staging = None
        if self.state.best_model_checkpoint == str(staged):
            self.state.best_model_checkpoint = str(final)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            rotate_checkpoints(
                output_dir=str(folder),
                save_total_limit=self.args.save_total_limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def _publish(self, staged: Path, final: Path) -> None:
        if self.state.best_model_checkpoint == str(staged):
            self.state.best_model_checkpoint = str(final)
            self.state.save_to_json(str(staged / "trainer_state.json"))
        sync_tree(staged)
        if final.exists():  # a resumed run may save the same step again
            shutil.rmtree(final)
        staged.rename(final)
        shutil.rmtree(staged.parent, ignore_errors=True)
        sync_folder(final.parent)


def _failure(folder: Path, final: Path, problem: Exception) -> str:
    good = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    kept = f"the last good checkpoint is {good[-1]}" if good else "there is no earlier checkpoint"
    free = shutil.disk_usage(folder).free / 2**20
    return (
        f"{final.name} could not be saved ({type(problem).__name__}: {problem}); {free:.0f} MiB are free in {folder};"
        f" {kept}. Make room and go on with --resume."
    )


class Interrupted(SystemExit):
    """SIGTERM or SIGINT came; its code is 143 or 130."""


class SaveOnSignal(TrainerCallback):
    """On SIGTERM or SIGINT: in training, finish the step, save a checkpoint and stop; elsewhere end at once.

    Use it as a context manager around the whole run and as a callback of the trainer. A second signal ends at once,
    too, by raising :class:`Interrupted`. In another thread than the main one, which gets no signals, it does nothing.

    Attributes:
        received: the signal's number, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._training = False
        self._handling = handling(self._on_signal, signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> SaveOnSignal:
        self._handling.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._handling.__exit__(None, None, None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again, self.received = self.received is not None, number
        if again or not self._training:
            raise Interrupted(128 + number)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._training = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._anyone_stopped(args):
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        # The last step of an epoch has saved already, and nobody waits for a score.
        if self.received is not None and control.should_training_stop:
            control.should_save = control.should_evaluate = False
        return control

    def _anyone_stopped(self, args: Any) -> bool:
        if args.world_size == 1:
            return self.received is not None
        # The processes get the signal at different steps but must stop after the same one.
        flag = torch.tensor(self.received or 0, device=args.device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        self.received = int(flag) or None
        return self.received is not None
