"""What comfy_runner adds to a job: many millisecond jobs one after the other, against a bare loop of POST and /history polling.

Both sides alternate in one run, since the machine's mood counts. The bare loop neither downloads nor verifies nor records anything;
comfy_runner's jobs are finished when their picture is verified and in place, and their sidecar is written.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import requests

from comfy_runner import JobFinished, Policy, render, run
from comfy_runner.api import connect
from comfy_runner.config import load_config

_JOBS = 50
_ROUNDS = 3
_TEMPLATES = Path(__file__).parent / "templates"
_colours = itertools.count(int(time.time()) % 1_000_000)


def main() -> None:
    """Print the medians."""
    server = sys.argv[1] if len(sys.argv) > 1 else "local"
    url = connect(server, load_config(), say=print).url
    _bare_loop(url, 5)
    bare, alone, ahead = [], [], []
    for _ in range(_ROUNDS):
        bare += _bare_loop(url, _JOBS)
        alone += _our_jobs(url, _JOBS, in_flight=1)
        ahead += _our_jobs(url, _JOBS, in_flight=2)
    base = statistics.median(bare) * 1000
    print(f"{_ROUNDS} rounds of {_JOBS} jobs of EmptyImage -> SaveImage, median time per job:")
    print(f"  bare loop of POST and /history polling       {base:6.2f} ms")
    for name, taken in (("one job on the server at a time ", alone), ("two jobs, as `run` does it      ", ahead)):
        median = statistics.median(taken) * 1000
        print(f"  comfy_runner, {name} {median:6.2f} ms: {median - base:+.2f} ms (goal: at most +5 ms)")


def _recipe(number: int) -> dict[str, object]:
    return {"name": f"job {number}", "template": "millisecond", "params": {"colour": next(_colours)}}


def _bare_loop(url: str, count: int) -> list[float]:
    taken = []
    with requests.Session() as session:
        for number in range(count):
            workflow = render(_recipe(number), templates=[_TEMPLATES]).to_api()
            start = time.perf_counter()
            prompt_id = str(uuid.uuid4())
            body = {"prompt": workflow, "prompt_id": prompt_id, "client_id": "bench"}
            session.post(f"{url}/prompt", json=body, timeout=10).raise_for_status()
            while not session.get(f"{url}/history/{prompt_id}", timeout=10).json():
                pass
            taken.append(time.perf_counter() - start)
    return taken


def _our_jobs(url: str, count: int, *, in_flight: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        recipes = [_recipe(number) for number in range(count)]
        moments = []
        with run(recipes, server=url, out=folder, templates=[_TEMPLATES], policy=Policy(in_flight=in_flight)) as rendering:
            for event in rendering:
                if isinstance(event, JobFinished):
                    if event.result.error is not None:
                        raise event.result.error
                    moments.append(time.perf_counter())
    return [after - before for before, after in itertools.pairwise(moments)]


if __name__ == "__main__":
    main()
