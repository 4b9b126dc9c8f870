"""A Ray cluster: a task of Ray Core for each attempt. Ray places and queues; what is tried again is the driver's business."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from logitmix_hf.errors import UserError, one_line
from logitmix_hf.studies import outcome as ends
from logitmix_hf.studies.attempt import PROGRAM
from logitmix_hf.studies.child import child_environment
from logitmix_hf.studies.engines.cluster import AttemptTask
from logitmix_hf.studies.manifest import Cell, Study
from logitmix_hf.studies.outcome import Ending


class Ray:
    """Tasks of a cluster.

    Args:
        study: whose runs they are.
        most: at a time; None: as many as the cluster holds.
        program: what stands before the command.
        address: of the cluster; None: ``RAY_ADDRESS``, else one on this machine, for as long as this process lives.
    """

    stays = False

    def __init__(
        self, study: Study, most: int | None = None, program: Sequence[str] = PROGRAM, address: str | None = None
    ) -> None:
        # Without an address Ray asks for the cluster that it remembers, and where that is gone it waits without end.
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        if address != "local" and _holds_token():
            # From Ray 2.60 on `ray start` asks for the token that lies there, and `ray.init` does not show it by itself. A
            # cluster that asks for none takes one too. Ray reads this when it is imported.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray  # type: ignore
        except ImportError:
            raise UserError(
                "--engine ray needs a package that is not installed: pip install 'logitmix_hf[ray]'."
            ) from None
        self.ray: Any = ray
        self.study, self.most, self.program = study, most, program
        paths = {name: value for name, value in child_environment().items() if name == "PYTHONPATH"}
        try:
            self.ray.init(
                address=address,
                runtime_env={"env_vars": paths},
                log_to_driver=False,
                include_dashboard=False if address == "local" else None,
                logging_level="error",
            )
        except (ConnectionError, OSError, RuntimeError, ValueError) as problem:
            raise UserError(f"The Ray cluster at {address} was not reached: {one_line(problem)}.") from None
        self._stop = (study.folder / f".stop-{uuid.uuid4().hex}").absolute()
        self._tasks: dict[Any, Cell] = {}
        self._check_shared()

    def _check_shared(self) -> None:
        """Require every node to see the study's folder: a file of a name that nobody guesses must be there too."""
        nonce = (self.study.folder / f".nonce-{uuid.uuid4().hex}").absolute()
        nonce.write_text("")
        try:
            seen = {
                self._remote(_sees, node["NodeID"], cpus=0).remote(str(nonce)): node.get("NodeManagerHostname", "?")
                for node in self.ray.nodes()
                if node["Alive"]
            }
            for task, host in seen.items():
                if not self.ray.get(task):
                    raise UserError(
                        f"The node {host} does not see {str(self.study.folder.absolute())!r}: the folder of a study must"
                        " be on a disk that all nodes share, under one path."
                    )
        finally:
            nonce.unlink(missing_ok=True)

    def _remote(self, function: Any, node: str | None = None, cpus: float | None = None) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # type: ignore

        resources = self.study.file.resources
        options: dict[str, Any] = {"num_cpus": resources.all_cpus if cpus is None else cpus, "max_retries": 0}
        if cpus is None and self._gpus:
            options["num_gpus"] = self._gpus
        if cpus is None and resources.memory_gb:
            options["memory"] = int(resources.memory_gb * 1e9)
        if node is not None:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        return self.ray.remote(**options)(function)

    @property
    def _gpus(self) -> float:
        return self.study.file.resources.all_gpus(bool(self.ray.cluster_resources().get("GPU")))

    def free(self) -> int:
        has = self.ray.cluster_resources()
        room = int(has.get("CPU", 0) // self.study.file.resources.all_cpus)
        if self._gpus:
            room = min(room, int(has.get("GPU", 0) / self._gpus + 1e-9))
        return (max(1, room) if self.most is None else self.most) - len(self._tasks)

    def start(self, cell: Cell, closed: Collection[str] = ()) -> None:
        node = None
        if closed:
            left = [
                each["NodeID"] for each in self.ray.nodes() if each["Alive"] and host_of(each["NodeID"]) not in closed
            ]
            node = left[len(self._tasks) % len(left)] if left else None
        task = self._remote(_attempt, node).remote(AttemptTask(self.study, cell, self._stop, self.program))
        self._tasks[task] = cell

    def open(self, closed: Collection[str]) -> bool:
        return any(host_of(node["NodeID"]) not in closed for node in self.ray.nodes() if node["Alive"])

    def ended(self) -> list[tuple[Cell, Ending]]:
        if not self._tasks:
            return []
        done, _ = self.ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0.5)
        found = []
        for task in done:
            cell = self._tasks.pop(task)
            try:
                found.append((cell, self.ray.get(task)))
            except self.ray.exceptions.RayError as problem:  # the worker or its node is gone
                found.append((cell, Ending(ends.LOST, line=one_line(problem)[:200], host="")))
        return found

    def stop(self) -> None:
        Path(self._stop).write_text("")

    def close(self) -> None:
        self.ray.shutdown()
        self._stop.unlink(missing_ok=True)


def _holds_token() -> bool:
    """Whether Ray would find a token here: one that ``ray.init`` of a cluster on this machine left behind, or a given one."""
    given = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return given or (Path.home() / ".ray" / "auth_token").is_file()


def host_of(node: str) -> str:
    """What the breaker knows a node by: a machine may hold several."""
    return f"node {node[:12]}"


def _attempt(task: AttemptTask) -> Ending:
    import ray  # type: ignore

    return replace(task(), host=host_of(ray.get_runtime_context().get_node_id()))  # type: ignore


def _sees(path: str) -> bool:
    return Path(path).exists()
