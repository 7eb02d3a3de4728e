"""Whether the server ever waits for us: forty half-second jobs, against all forty prompts queued by hand at once.

Both sides alternate, since the machine's mood counts; each round has seeds of its own, so that nothing comes from the server's
cache but what a round's own jobs share. By hand nothing is downloaded, verified or recorded.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from typing import Any

import requests

from comfy_runner import render, run
from comfy_runner.api import connect
from comfy_runner.config import load_config

_JOBS = 40
_ROUNDS = 3
_RECIPE: Mapping[str, Any] = {
    "name": "wait",
    "checkpoint": "tiny-random-sd15.safetensors",
    "prompt": "a lake",
    "size": {"width": 64, "height": 64},
    "sampler": {"steps": 8},
}
_seeds = itertools.count(int(time.time()) % 1_000_000 * 1000, _JOBS)


def main() -> None:
    """Print the medians and their ratio."""
    server = sys.argv[1] if len(sys.argv) > 1 else "local"
    url = connect(server, load_config(), say=print).url
    _by_hand(url, next(_seeds), 2)
    by_hand, ours = [], []
    for _ in range(_ROUNDS):
        by_hand.append(_by_hand(url, next(_seeds), _JOBS))
        ours.append(_ours(url, next(_seeds)))
    base, median = statistics.median(by_hand), statistics.median(ours)
    print(f"{_JOBS} jobs of {base / _JOBS:.2f} s, median of {_ROUNDS} rounds:")
    print(f"  queued by hand at once {base:.2f} s, comfy_runner {median:.2f} s: {median / base - 1:+.1%} (goal: at most +2 %)")


def _by_hand(url: str, seed: int, count: int) -> float:
    workflows = [render({**_RECIPE, "seed": seed + number}).to_api() for number in range(count)]
    with requests.Session() as session:
        start = time.perf_counter()
        for workflow in workflows:
            body = {"prompt": workflow, "prompt_id": str(uuid.uuid4()), "client_id": "bench"}
            session.post(f"{url}/prompt", json=body, timeout=60).raise_for_status()
            last = body["prompt_id"]
        while not session.get(f"{url}/history/{last}", timeout=60).json():
            time.sleep(0.02)
        return time.perf_counter() - start


def _ours(url: str, seed: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = run([_RECIPE], server=url, out=folder, sweeps=[f"seed={seed}:{seed + _JOBS - 1}"]).results()
        taken = time.perf_counter() - start
        for result in results:
            if result.error is not None:
                raise result.error
        return taken


if __name__ == "__main__":
    main()
