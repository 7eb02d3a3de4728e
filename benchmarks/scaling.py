"""What a run costs this machine as jobs, servers and pictures grow (docs/scaling.md has larger numbers).

``python -m benchmarks.scaling`` prints all tables with small numbers; with ``folders JOBS...``, ``servers COUNT...``,
``ray ACTORS...``, ``store JOBS...`` or ``pictures`` one of them. Where this machine has other work, processor time tells more than
what a clock says. Planning is measured in `benchmarks.planning`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml
from PIL import Image

from benchmarks.instant_engine import InstantSupply
from benchmarks.light_server import light_servers
from comfy_runner import JobFinished, run
from comfy_runner.collect.verify import verify_picture
from comfy_runner.config import Config
from comfy_runner.graph.sizes import Size
from comfy_runner.planning.drafting import draft_all
from comfy_runner.ray_options import RayOptions
from comfy_runner.recipe.sources import load_source
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.running.policy import Policy
from comfy_runner.running.start import begin
from comfy_runner.store.local import LocalStore, write_spool
from comfy_runner.store.registry import local_part
from comfy_runner.store.run_folder import RunFolder
from tests.s3 import proxy, s3_server

_FOLDERS, _SERVERS, _ACTORS, _STORES = (256, 1024), (8, 64), (4,), (8, 32)
_DENOISE = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
_ENGINES = 4
_EACH, _SECONDS = 24, 5.0  # jobs of a server, and what one of them takes, about
_WORK = 35.0  # weighted steps of such a job, about
_COMMANDS: Mapping[str, Sequence[str]] = {
    "status": ("status", "run"),
    "plan": ("plan", "scaling.yaml", "--out", "run"),
    "run, all done": ("run", "scaling.yaml", "--out", "run", "--no-report"),
    "check": ("check", "run"),
    "find": ("find", "search.yaml", "--out", "run", "--dry-run"),
    "verify": ("verify", "run"),
    "report": ("report", "run"),
    "suggest": ("suggest", "run"),
    "clean": ("clean", "run"),
    "repair": ("repair", "run"),
    "merge": ("merge", "run", "--to", "merged"),
}
_RSS = 1 if sys.platform == "darwin" else 1024  # in what systems count the memory that a process had at most, bytes
_WATCH = """
import os, sys, time
began = time.perf_counter()
code = os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:])
used = __import__("resource").getrusage(__import__("resource").RUSAGE_CHILDREN)
print()
print(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
_SIZES = ((1024, 576), (2048, 1152), (4096, 2304))


def main() -> None:
    """Print the tables; or do what a child process was asked for."""
    match sys.argv[1:]:
        case ["--make", jobs, folder]:
            _make(int(jobs), Path(folder))
        case ["--drive", servers, each, seconds, *ray]:
            print(json.dumps(_drive(int(servers), int(each), float(seconds), on_ray=bool(ray))))
        case [table, *numbers]:
            _TABLES[table](list(map(int, numbers)))
        case _:
            for show in _TABLES.values():
                show([])


# Run folders


def _folders(sizes: Sequence[int]) -> None:
    print("a run folder of finished jobs, two small pictures each: made by engines that are done at once, then each command")
    print(f"  {'':14} {'jobs':>8} {'wall':>9} {'processor':>10} {'a job':>9} {'memory':>8}")
    for jobs in sizes or _FOLDERS:
        with tempfile.TemporaryDirectory() as folder:
            _show("rendered", jobs, _measured([sys.executable, "-m", "benchmarks.scaling", "--make", str(jobs), folder]))
            ledger = (Path(folder) / "run" / "ledger.sqlite").stat().st_size
            for name, words in _COMMANDS.items():
                _show(name, jobs, _measured([sys.executable, "-m", "comfy_runner", *words], cwd=Path(folder)))
            print(f"  the ledger has {ledger / jobs:.0f} bytes a job")


def _make(jobs: int, path: Path) -> None:
    """Write two recipes of the same jobs, one of which has them searched, and render all into a run folder, without any server."""
    recipe = path / "scaling.yaml"
    recipe.write_text(yaml.safe_dump(_recipe(jobs)))
    over = {"find": {"over": {"upscale.denoise": _DENOISE}}, "sweep": {"seed": _recipe(jobs)["sweep"]["seed"]}}
    (path / "search.yaml").write_text(yaml.safe_dump({**_recipe(jobs), **over}))
    _render(recipe, path / "run")


def _recipe(jobs: int) -> dict[str, Any]:
    return {
        "name": "scaling",
        "checkpoint": "tiny-random-sd15.safetensors",
        "prompt": "a lake",
        "size": {"width": 64, "height": 64},
        "sampler": {"steps": 20},
        "sweep": {"seed": {"start": 1, "count": jobs // len(_DENOISE)}, "upscale.denoise": _DENOISE},
    }


def _render(recipe: Path, folder: Path) -> None:
    variants = expand(load_source(str(recipe)))
    plan = draft_all(variants, templates=(), seed_of=lambda _variant: 0)
    rendering = begin(
        plan,
        frozenset(variant.job_id for variant in variants),
        RunFolder(folder),
        supply=InstantSupply(_ENGINES),
        force=False,
        policy=Policy(),
    )
    for result in rendering.results():
        if result.error is not None:
            raise result.error


def _measured(command: Sequence[str], cwd: Path | None = None) -> tuple[float, float, float]:
    """Run a program; return its seconds, those of the processor, and the megabytes that it had at most."""
    # By a small process in between: the system counts the memory of whoever starts a program as the program's.
    watching = [sys.executable, "-S", "-c", _WATCH, *command]
    watched = subprocess.run(watching, cwd=cwd, capture_output=True, text=True)
    *_, last = watched.stdout.splitlines() or [""]
    if watched.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {watched.returncode}: {watched.stderr[-500:]}")
    wall, processor, memory = map(float, last.split())
    return wall, processor, memory * _RSS / 10**6


def _show(name: str, jobs: int, found: tuple[float, float, float]) -> None:
    wall, processor, memory = found
    print(f"  {name:14} {jobs:8} {wall:7.1f} s {processor:8.1f} s {processor / jobs * 1000:6.2f} ms {memory:5.0f} MB", flush=True)


# Servers


def _servers(counts: Sequence[int]) -> None:
    print(f"one run and many servers, {_EACH} jobs of about {_SECONDS:g} s for each, whose samplers tell of 20 steps:")
    for count in counts or _SERVERS:
        _driven(count, "servers")


def _actors(counts: Sequence[int]) -> None:
    print("the same on a Ray of this machine, with actors that each own such a server; pictures come to the driver:")
    for count in counts or _ACTORS:
        found = _driven(count, "actors", "ray")
        print(
            f"       Ray, its actors and what they start: {found['others']:.0f} MB, and {found['setup']:.0f} s until all answered"
        )


def _driven(count: int, what: str, *ray: str) -> dict[str, Any]:
    """Have a process of its own drive a run, and print what that took."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--drive", str(count), str(_EACH), str(_SECONDS), *ray]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    goals = (" (goal: 5 ms)", " (goal: 95 %)") if count == max(_SERVERS) else ("", "")
    print(
        f"  {count:4} {what}, {found['jobs']:6} jobs: {found['processor']:.1f} ms of the processor a job{goals[0]}, "
        f"servers busy {found['efficiency']:.1%} of {found['wall']:.0f} s{goals[1]}, {found['megabytes']:.0f} MB at most"
    )
    asked = ", ".join(f"{number:.2f} {route}" for route, number in found["asked"].items())
    print(
        f"       a job: {asked}; {found['frames']:.0f} frames; {found['to']:.1f} kB there and {found['back']:.1f} kB back",
        flush=True,
    )
    return found


def _drive(servers: int, each: int, seconds: float, *, on_ray: bool = False) -> dict[str, Any]:
    jobs = servers * each
    # Tiny pictures that take as much work as loading a checkpoint.
    recipe = {**_recipe(jobs), "sampler": {"steps": 1000}}
    with (
        light_servers(0 if on_ray else servers, processes=1 + servers // 48, seconds=seconds / _WORK) as light,
        tempfile.TemporaryDirectory() as folder,
    ):
        asked_for = time.perf_counter()
        if on_ray:
            # Ray believes that this machine has room for all of them.
            room = {"CPU": (os.cpu_count() or 1) / servers}
            given: dict[str, Any] = {"ray": RayOptions(min=servers, max=servers, resources=room, command=light.command)}
        else:
            given = {"server": light.urls}
        rendering = run([recipe], out=folder, config=Config(), **given)
        began, used = time.perf_counter(), time.process_time()
        others = 0.0
        for number, event in enumerate(rendering):
            if isinstance(event, JobFinished) and event.result.error is not None:
                raise event.result.error
            if on_ray and not others and number > jobs:
                others = _memory_of(light.command)
        wall, processor = time.perf_counter() - began, time.process_time() - used
    asked = sum((each.asked for each in light.served), Counter[str]())
    return {
        "jobs": jobs,
        "setup": began - asked_for,
        "wall": wall,
        "processor": processor / jobs * 1000,
        "efficiency": sum(each.worked for each in light.served) / wall / servers,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS / 10**6,
        "others": others,
        "asked": {route: number / jobs for route, number in asked.most_common()},
        "frames": sum(each.frames for each in light.served) / jobs,
        "to": sum(each.received for each in light.served) / jobs / 1000,
        "back": sum(each.sent for each in light.served) / jobs / 1000,
    }


def _memory_of(command: str) -> float:
    """Return the megabytes that Ray has, with its actors and what these have started: each page that several share counts once."""
    port = command.partition(" >&3")[0].partition("/dev/tcp/")[2].partition(" ")[0]
    found = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            is_ours = os.getpid() in [parent.pid for parent in process.parents()] and "multiprocessing" not in line
            if is_ours or port in line:
                found += process.memory_full_info().pss
    return found / 10**6


# Stores


def _store(sizes: Sequence[int]) -> None:
    print("requests to an S3 (moto's) by a run at a URL, and by the same command once all is done:")
    with tempfile.TemporaryDirectory() as folder, s3_server() as s3, proxy(s3) as counting:
        os.environ.update(counting.as_server.environment, COMFY_RUNNER_STATE=f"{folder}/state")
        bucket, recipe = s3.bucket(), Path(folder) / "scaling.yaml"
        for jobs in sizes or _STORES:
            recipe.write_text(yaml.safe_dump(_recipe(jobs)))
            for what in ("rendered", "all done"):
                counting.seen.clear()
                _render(recipe, local_part(f"s3://{bucket}/{jobs}"))
                methods = Counter(request.partition(" ")[0] for request in counting.seen)
                told = ", ".join(f"{number} {method}" for method, number in methods.most_common())
                print(f"  {jobs:4} jobs, {what}: {len(counting.seen)} requests, {len(counting.seen) / jobs:.1f} a job ({told})")


# Pictures


def _pictures(_numbers: Sequence[int]) -> None:
    print("one picture written, synced and verified, as each is before it counts:")
    for width, height in _SIZES:
        data, size = _photograph(width, height), Size(width, height)
        with tempfile.TemporaryDirectory() as folder:
            store, used = LocalStore(Path(folder)), time.process_time()
            spooled = write_spool(store, "picture.png", [data])
            written, used = time.process_time() - used, time.process_time()
            verify_picture(spooled.path, expected=size, may_be_flat=False)
            verified = time.process_time() - used
        print(
            f"  {width}x{height}, {len(data) / 10**6:.1f} MB: {written * 1000:.0f} ms to write, {verified * 1000:.0f} ms to verify "
            f"({verified * 1000 / (width * height / 10**6):.0f} ms a megapixel)"
        )


def _photograph(width: int, height: int) -> bytes:
    """Return a PNG that is about as hard to decode as a rendered picture: soft shapes under a little noise."""
    draw = random.Random(0)  # noqa: S311 - a picture
    shapes = Image.frombytes("RGB", (16, 9), draw.randbytes(16 * 9 * 3)).resize((width, height), Image.Resampling.BICUBIC)
    noise = Image.effect_noise((width, height), 6).convert("RGB")
    data = io.BytesIO()
    Image.blend(shapes, noise, 0.2).save(data, "PNG", compress_level=4)
    return data.getvalue()


_TABLES: Mapping[str, Callable[[Sequence[int]], None]] = {
    "folders": _folders,
    "servers": _servers,
    "ray": _actors,
    "store": _store,
    "pictures": _pictures,
}


if __name__ == "__main__":
    main()
