"""A hundred thousand jobs planned, deduplicated, ordered and written to a ledger, each time in a new process: time and memory."""

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
from comfy_runner.planning.draft import draft_all
from comfy_runner.planning.passes import passes
from comfy_runner.planning.survey import plan_rows, survey
from comfy_runner.recipe.sources import load_source
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.store.run_folder import RunFolder

_RUNS = 3
_SWEEP = ["upscale.denoise=0.30:0.79:0.01", "checkpoint=a.safetensors,b.safetensors", "seed=1:1000"]


def main() -> None:
    """Print the medians; with an argument, do it once and print what it took as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(_once(Path(sys.argv[1]))))
        return
    found = []
    for _ in range(_RUNS):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.planning", folder]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    last = found[-1]
    seconds, mib = (statistics.median(each[name] for each in found) for name in ("seconds", "mib"))
    print(f"{last['jobs']} jobs ({last['rendered']} different ones) planned, ordered and in the ledger, median of {_RUNS}:")
    print(f"  {seconds:.1f} s, {mib:.0f} MiB at most (goal: 15 s, 400 MB)")
    print(f"  {', '.join(f'{name} {taken:.1f} s' for name, taken in last['parts'].items())}")
    print(f"  {last['loads']} checkpoint loads, {last['first']} first and {last['second']} second passes")


def _once(path: Path) -> dict[str, object]:
    start = moment = time.perf_counter()
    parts: dict[str, float] = {}

    def lap(name: str) -> None:
        nonlocal moment
        now = time.perf_counter()
        parts[name], moment = now - moment, now

    variants = expand(load_source("forest-sunrise", sweeps=_SWEEP))
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
    needed = passes([draft.steps for draft in arrangement.rendered], plan.steps)
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "jobs": len(variants),
        "rendered": len(arrangement.rendered),
        "seconds": moment - start,
        "mib": peak / 1024**2,
        "parts": parts,
        "loads": needed.loads,
        "first": needed.first,
        "second": needed.second,
    }


if __name__ == "__main__":
    main()
