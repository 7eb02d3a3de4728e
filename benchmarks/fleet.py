"""How well one run keeps many servers busy: its time against the ideal, for 1, 8 and 64 of them.

The ideal is what the servers have worked in all, divided among them, with nobody ever waiting; what they did more than a single
server would have had to (loads of models, first passes) is printed beside it. Servers sleep for as long as their jobs take, so that
64 of them fit on two cores; jobs take as long as leaves this machine time to spare.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.light_server import light_servers
from comfy_runner import run
from comfy_runner.config import Config
from comfy_runner.running.events import RunFinished, Spent

_ROUNDS = 3
_VALUES = 8  # of denoise, which share a first pass
_RECIPE: Mapping[str, Any] = {
    "name": "fleet",
    "checkpoint": "tiny-random-sd15.safetensors",
    "prompt": "a lake",
    "size": {"width": 64, "height": 64},
    # Tiny pictures that take as much work as loading a checkpoint.
    "sampler": {"steps": 1000},
}
_WORK = 35.0  # about, of such a job
# Servers, jobs for each, seconds of a job, processes.
_CASES = ((1, 24, 0.5, 1), (8, 24, 1.5, 1), (64, 24, 5.0, 2))


def main() -> None:
    """Print the medians."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else _ROUNDS
    for servers, each, seconds, processes in _CASES:
        found = [_measure(servers, servers * each, seconds, processes) for _ in range(1 if servers > 8 else rounds)]
        ratio = statistics.median(taken / ideal for taken, ideal, _ in found)
        taken, ideal, spent = found[-1]
        loads, first = spent.loads - spent.fewest_loads, spent.first - spent.fewest_first
        print(
            f"{servers:3} servers, {servers * each:5} jobs of about {seconds:g} s: {taken:6.1f} s, ideal {ideal:6.1f} s, "
            f"median {ratio - 1:+.1%}{' (goal: at most +10 %)' if servers == 64 else ''}; "
            f"{loads} loads and {first} first passes beyond {spent.fewest_loads} and {spent.fewest_first}, {spent.splits} splits"
        )


def _measure(servers: int, jobs: int, seconds: float, processes: int) -> tuple[float, float, Spent]:
    """Return the seconds that a run took, those that it would ideally have taken, and what it spent."""
    denoise = [round(0.2 + 0.1 * number, 1) for number in range(_VALUES)]
    recipe = {**_RECIPE, "sweep": {"seed": {"start": 1, "count": jobs // _VALUES}, "upscale.denoise": denoise}}
    with (
        light_servers(servers, processes=processes, seconds=seconds / _WORK) as light,
        tempfile.TemporaryDirectory() as folder,
    ):
        began = time.perf_counter()
        rendering = run([recipe], server=light.urls, out=folder, config=Config())
        last = list(rendering)[-1]
        taken = time.perf_counter() - began
        for result in rendering.results():
            if result.error is not None:
                raise result.error
    if not isinstance(last, RunFinished) or last.spent is None:
        raise RuntimeError("nothing was rendered")
    return taken, sum(each.worked for each in light.served) / servers, last.spent


if __name__ == "__main__":
    main()
