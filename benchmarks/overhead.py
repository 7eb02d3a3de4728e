"""What comfy_runner adds to a job: many millisecond jobs one after the other, against a bare loop of POST and /history polling.

All sides alternate in one run, since the machine's mood counts. The bare loop neither downloads nor verifies nor records
anything; a second one also downloads, for that costs the server time. comfy_runner's jobs are finished when their picture is
verified and in place, and their sidecar is written. Several may finish together, so a round counts as a whole; where the machine
has other work, the processor time tells more. Where the time of our threads goes is sampled in a further round: they work beside
each other, so that the sum is more than what a job takes longer.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import requests

from comfy_runner import JobFinished, Policy, render, run
from comfy_runner.api import connect
from comfy_runner.config import load_config

_JOBS = 50
_ALONE, _AHEAD = "one job on the server at a time ", "two jobs, as `run` does it      "
_GOALS = {_ALONE: 2.5, _AHEAD: 1.0}
_SAMPLE_SECONDS = 0.001
# What a thread does, told from the first of these functions that it is in: part of the module's name, function, what it is.
_PLACES = (
    ("store/database.py", "_commit", "the ledger goes onto the disk"),
    ("atomic_files.py", "sync_folder", "folders of pictures go onto the disk"),
    ("store/local.py", "write_spool", "pictures and sidecars are written"),
    ("check/pictures.py", "", "pictures are verified"),
    ("store/ledger.py", "", "the ledger is changed"),
    ("running/prepare.py", "", "graphs are made ready"),
    ("running/decide", "", "it is decided what is next"),
    ("engine/comfyui/client.py", "submit", "POST /prompt"),
    ("engine/comfyui/client.py", "history", "GET /history"),
    ("engine/comfyui/client.py", "view", "GET /view"),
    ("engine/comfyui/client.py", "object_info", "GET /object_info, once a run"),
    ("engine/comfyui/client.py", "", "other requests"),
    ("collect/", "", "collecting, the rest"),
    ("engine/comfyui/tracker.py", "", "following prompts, the rest"),
)
_ROUNDS = 7
_TEMPLATES = Path(__file__).parent / "templates"
_colours = itertools.count(int(time.time()) % 1_000_000)


def main() -> None:
    """Print the medians."""
    server = sys.argv[1] if len(sys.argv) > 1 else "local"
    url = connect(server, load_config(), say=print).url
    _bare_loop(url, 5)
    bare, fetching, alone, ahead = [], [], [], []
    for _ in range(_ROUNDS):
        bare.append(_bare_loop(url, _JOBS))
        fetching.append(_bare_loop(url, _JOBS, fetches=True))
        alone.append(_our_jobs(url, _JOBS, in_flight=1))
        ahead.append(_our_jobs(url, _JOBS, in_flight=2))
    base = statistics.median(bare) * 1000
    print(f"{_ROUNDS} rounds of {_JOBS} jobs of EmptyImage -> SaveImage, median time per job:")
    print(f"  bare loop of POST and /history polling       {base:6.2f} ms")
    print(f"  the same, and GET /view                      {statistics.median(fetching) * 1000:6.2f} ms")
    for name, rounds in ((_ALONE, alone), (_AHEAD, ahead)):
        median, processor = (statistics.median(each) * 1000 for each in zip(*rounds, strict=True))
        goal = _GOALS[name]
        print(
            f"  comfy_runner, {name} {median:6.2f} ms: {median - base:+.2f} ms (goal: at most +{goal} ms), "
            f"{processor:.2f} ms of processor time"
        )
    with _sampled() as found:
        _our_jobs(url, _JOBS, in_flight=1)
    print("where the threads of a run spend their time, ms per job:")
    for what, seconds in sorted(found.items(), key=lambda item: -item[1]):
        print(f"  {what:45} {seconds * 1000 / _JOBS:6.2f}")


def _recipe(number: int) -> dict[str, object]:
    return {"name": f"job {number}", "template": "millisecond", "params": {"colour": next(_colours)}}


def _bare_loop(url: str, count: int, *, fetches: bool = False) -> float:
    """Return the seconds that a job takes."""
    taken = 0.0
    with requests.Session() as session:
        for number in range(count):
            workflow = render(_recipe(number), templates=[_TEMPLATES]).to_api()
            start = time.perf_counter()
            prompt_id = str(uuid.uuid4())
            body = {"prompt": workflow, "prompt_id": prompt_id, "client_id": "bench"}
            session.post(f"{url}/prompt", json=body, timeout=10).raise_for_status()
            while not (found := session.get(f"{url}/history/{prompt_id}", timeout=10).json()):
                pass
            if fetches:
                picture = found[prompt_id]["outputs"]["save"]["images"][0]
                session.get(f"{url}/view", params=picture, timeout=10).raise_for_status()
            taken += time.perf_counter() - start
    return taken / count


def _our_jobs(url: str, count: int, *, in_flight: int) -> tuple[float, float]:
    """Return the seconds that a job takes from one end to the next, and those of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        recipes = [_recipe(number) for number in range(count)]
        moments = []
        with run(recipes, server=url, out=folder, templates=[_TEMPLATES], policy=Policy(in_flight=in_flight)) as rendering:
            for event in rendering:
                if isinstance(event, JobFinished):
                    if event.result.error is not None:
                        raise event.result.error
                    moments.append((time.perf_counter(), time.process_time()))
    (began, used), (ended, used_then) = moments[0], moments[-1]
    return (ended - began) / (count - 1), (used_then - used) / (count - 1)


@contextmanager
def _sampled() -> Iterator[dict[str, float]]:
    """Look every millisecond at what all other threads do; gives the seconds that each kind of work took, by what it is."""
    found: dict[str, float] = defaultdict(float)
    ended = threading.Event()

    def look() -> None:
        before = time.perf_counter()
        while not ended.wait(_SAMPLE_SECONDS):
            now = time.perf_counter()
            for thread, frame in sys._current_frames().items():
                what = _what(frame) if thread != threading.get_ident() else ""
                if what:
                    found[what] += now - before
            before = now

    sampler = threading.Thread(target=look, daemon=True)
    sampler.start()
    try:
        yield found
    finally:
        ended.set()
        sampler.join()


def _what(frame: FrameType | None) -> str:
    """Return what a thread does; empty where it waits, or is none of a run."""
    seen = []
    while frame is not None:
        seen.append((frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name))
        frame = frame.f_back
    for place, function, what in _PLACES:
        if any(f"comfy_runner/{place}" in path and function in ("", name) for path, name in seen):
            return what
    return ""


if __name__ == "__main__":
    main()
