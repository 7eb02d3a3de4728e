"""A Ray of several nodes on this machine, which belongs to a test alone: a process of its own, for Ray does not bear being forked.

``python -m tests.ray_cluster`` starts it, tells its address, and then does what it reads from stdin, line by line: ``add NAME``
adds a node, ``kill NAME`` kills one with SIGKILL; each is answered by a line.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

# Nothing of the cluster may be found by others, nor is any of it left in the home folder.
_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
}
_OBJECTS_BYTES = 100 * 1024 * 1024


class RayCluster:
    """A Ray that runs.

    Args:
        process: The process that has started it.
        environment: What clients of it need.
        folder: Its own.
    """

    def __init__(self, process: subprocess.Popen[str], environment: Mapping[str, str], folder: str) -> None:
        self._process, self.environment, self._folder = process, environment, folder
        self.address = self._answer()
        assert self.address, "Ray did not start"

    def actors(self) -> list[psutil.Process]:
        """Return the processes of actors that run."""
        family = psutil.Process(self._process.pid).children(recursive=True)
        return [each for each, line in _running(family) if line[0].startswith("ray::ComfyUIActor")]

    def servers(self) -> list[psutil.Process]:
        """Return the stand-ins that actors have started, which are no children of theirs."""
        standins = (each for each, line in _running(psutil.process_iter()) if line[1:3] == ["-m", "tests.standin"])
        return [each for each in standins if each.environ().get("RAY_TMPDIR") == self._folder]

    def add(self, name: str) -> None:
        """Add a node with room for one actor; ``fast:2`` says that it has two GPUs, which Ray believes."""
        self._ask(f"add {name}")

    def kill(self, name: str) -> None:
        """Kill the raylet of a node, as a spot instance goes away."""
        self._ask(f"kill {name}")

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _running(processes: Iterable[psutil.Process]) -> Iterator[tuple[psutil.Process, list[str]]]:
    """Yield those of these processes that run, with their command lines."""
    for each in processes:
        with contextlib.suppress(psutil.Error):
            if each.status() != psutil.STATUS_ZOMBIE and (line := each.cmdline()):
                yield each, line


@contextmanager
def ray_cluster(*nodes: str, **variables: str) -> Iterator[RayCluster]:
    """Run a Ray whose head has no room, and whose nodes have room for an actor each.

    Args:
        nodes: The nodes that it begins with, as for `RayCluster.add`.
        variables: Of the environment of its actors.
    """
    folder = tempfile.mkdtemp(prefix="ray-")
    environment = {**os.environ, **_VARIABLES, **variables, "RAY_TMPDIR": folder}
    command = [sys.executable, "-m", "tests.ray_cluster", *nodes]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield RayCluster(process, {name: environment[name] for name in (*_VARIABLES, *variables)}, folder)
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        if process.stdout is not None:
            process.stdout.close()
        for member in psutil.wait_procs(family, timeout=10)[1]:
            member.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _serve(names: list[str]) -> None:
    from ray.cluster_utils import Cluster

    given: dict[str, Any] = {"object_store_memory": _OBJECTS_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**given, "num_cpus": 0, "node_name": "head"})
    nodes: dict[str, Any] = {}

    def add(wanted: str) -> None:
        name, _, gpus = wanted.partition(":")
        nodes[name] = cluster.add_node(num_cpus=1, num_gpus=int(gpus or 0), node_name=name, object_store_memory=_OBJECTS_BYTES)

    for name in names:
        add(name)
    print(cluster.address, flush=True)  # noqa: T201 - for the test
    for line in sys.stdin:
        order, name = line.split()
        if order == "add":
            add(name)
        else:
            raylet = nodes.pop(name).all_processes["raylet"][0].process
            os.kill(raylet.pid, signal.SIGKILL)
        print("done", flush=True)  # noqa: T201 - likewise
    cluster.shutdown()


if __name__ == "__main__":
    _serve(sys.argv[1:])
