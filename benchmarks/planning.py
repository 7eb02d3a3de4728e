"""A hundred thousand and a million jobs planned, ordered and written to a ledger, each in a new process: time and memory.

``python -m benchmarks.planning`` prints both, and what rendering one recipe takes; with numbers of jobs (multiples of 100), those.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from comfy_runner.planning.arrange import arrange
from comfy_runner.planning.drafting import draft_all
from comfy_runner.planning.passes import passes
from comfy_runner.planning.survey import plan_rows, survey
from comfy_runner.recipe.job import job
from comfy_runner.recipe.sources import load_source
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.recipe_template import find_recipe_template, template_folders

_GOALS = {100_000: "15 s, 400 MB", 1_000_000: "150 s, 3 GB"}
_RENDERINGS = 51
_ONCE = "--once"


def main() -> None:
    """Print what plans of both sizes take; what one of them takes as JSON, if asked so by itself."""
    if sys.argv[1:2] == [_ONCE]:
        print(json.dumps(_once(int(sys.argv[2]), Path(sys.argv[3]))))
        return
    print(f"a shipped recipe rendered, its template read and compiled before: {_rendering_seconds() * 1000:.1f} ms (goal: 4 ms)")
    for jobs in map(int, sys.argv[1:]) if sys.argv[1:] else _GOALS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.planning", _ONCE, str(jobs), folder]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        goal = f" (goal: {_GOALS[jobs]})" if jobs in _GOALS else ""
        print(f"{found['jobs']} jobs ({found['rendered']} different ones) planned, ordered and in the ledger:")
        print(
            f"  {found['seconds']:.1f} s, {found['cpu']:.1f} s of them on the processor, {found['megabytes']:.0f} MB at most{goal}"
        )
        print(f"  {', '.join(f'{name} {taken:.1f} s' for name, taken in found['parts'].items())} on the processor")
        print(f"  {found['loads']} checkpoint loads, {found['first']} first and {found['second']} second passes")


def _rendering_seconds() -> float:
    """Return what rendering the template of a recipe anew takes on the processor, as a median."""
    loaded = load_source("forest-sunrise")
    folders = template_folders(loaded, ())
    template, values = find_recipe_template(loaded, folders), job(loaded).values
    taken = []
    for _ in range(_RENDERINGS):
        begin = time.process_time()
        Renderer(template, folders).render(values)
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


def _once(jobs: int, path: Path) -> dict[str, object]:
    start = time.perf_counter()
    begin = moment = time.process_time()
    parts: dict[str, float] = {}

    def lap(name: str) -> None:
        nonlocal moment
        now = time.process_time()
        parts[name], moment = now - moment, now

    sweeps = ["upscale.denoise=0.30:0.79:0.01", "checkpoint=a.safetensors,b.safetensors", f"seed=1:{jobs // 100}"]
    variants = expand(load_source("forest-sunrise", sweeps=sweeps))
    lap("expand")
    plan = draft_all(variants, templates=(), seed_of=lambda _variant: 0)
    lap("draft")
    folder = RunFolder(path / "run")
    surveyed = survey(plan.drafts, folder, ledger=folder.ledger)
    lap("survey")
    arrangement = arrange(plan, frozenset(variant.job_id for variant in variants), surveyed, ledger=folder.ledger)
    lap("order")
    folder.ledger.write_plan(plan_rows(plan.drafts, arrangement.leaders, surveyed.again), recipes=["forest-sunrise"])
    lap("ledger")
    folder.close()
    taken = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - begin}
    needed = passes([draft.steps for draft in arrangement.rendered], plan.steps)
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "jobs": len(variants),
        "rendered": len(arrangement.rendered),
        **taken,
        "megabytes": peak / 10**6,
        "parts": parts,
        "loads": needed.loads,
        "first": needed.first,
        "second": needed.second,
    }


if __name__ == "__main__":
    main()
