"""How long the command takes to say anything at all: median of many runs of `comfy-runner --help`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

_RUNS = 20


def main() -> None:
    """Print the median."""
    taken = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "comfy_runner", "--help"], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    print(f"comfy-runner --help: median of {_RUNS}: {statistics.median(taken) * 1000:.0f} ms (goal: at most 150 ms)")


if __name__ == "__main__":
    main()
