"""A sheet of a hundred jobs with pictures of 2048x1152 and their originals, each time in a new process: time and memory."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from comfy_runner.report.sheet.sheet import draw_sheet
from tests.report.support import make_run

_RUNS = 3
_SEEDS = list(range(10))
_DENOISE = [round(0.3 + 0.05 * step, 2) for step in range(10)]
_SIZES = {"original": (1024, 576), "upscaled": (2048, 1152)}


def main() -> None:
    """Print the medians; with an argument, draw that run's sheet and print what it took as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(_once(Path(sys.argv[1]))))
        return
    pictures = {role: _picture(size) for role, size in _SIZES.items()}
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "run", {"seed": _SEEDS, "upscale.denoise": _DENOISE}, lambda _: pictures)
        command = [sys.executable, "-m", "benchmarks.sheet", str(run)]
        found = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(_RUNS)]
    seconds, mib, before = (statistics.median(each[name] for each in found) for name in ("seconds", "mib", "before"))
    width, height = found[0]["size"]
    print(f"{len(_SEEDS) * len(_DENOISE)} jobs of {_SIZES['upscaled'][0]}x{_SIZES['upscaled'][1]}, median of {_RUNS}:")
    print(f"  {seconds:.1f} s, {mib:.0f} MiB at most ({before:.0f} MiB before it starts)")
    print(f"  one PNG of {width}x{height} pixels, {found[0]['bytes'] / 1024**2:.1f} MiB")


def _picture(size: tuple[int, int]) -> Image.Image:
    """Return a picture about as hard to decode as a photograph: coarse noise made smooth, and fine noise on it."""
    coarse = Image.frombytes("RGB", (size[0] // 16, size[1] // 16), os.urandom(size[0] // 16 * (size[1] // 16) * 3))
    fine = Image.merge("RGB", [Image.effect_noise(size, 16)] * 3)
    return Image.blend(coarse.resize(size, Image.Resampling.BICUBIC), fine, 0.3)


def _peak() -> float:
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1024**2


def _once(run: Path) -> dict[str, object]:
    before, start = _peak(), time.perf_counter()
    sheet = draw_sheet(run, measured={})
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "mib": _peak(),
        "before": before,
        "size": (sheet.width, sheet.height),
        "bytes": sheet.path.stat().st_size,
    }


if __name__ == "__main__":
    main()
