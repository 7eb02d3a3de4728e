"""Pictures of 2048x1152 measured against originals of 1024x576, each time in a new process: time, all cores, memory."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import Resampling

_RUNS = 3
_PICTURES = 8


def main() -> None:
    """Print the medians; with a folder, paint the pictures into it, or measure them once and print what it took as JSON."""
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        if not (folder / "original.png").exists():
            _paint(folder)
        else:
            print(json.dumps(_once(folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "benchmarks.metrics", temporary]
        # In a process of its own, since a new process starts with the peak of the one that starts it.
        subprocess.run(command, check=True)
        found = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(_RUNS)]
    names = ("importing", "seconds", "alone", "wall", "faster", "mib_one", "mib_all")
    importing, seconds, alone, wall, faster, mib_one, mib_all = (statistics.median(each[name] for each in found) for name in names)
    print(f"a picture of 2048x1152 measured, median of {_RUNS} times {_PICTURES}:")
    print(f"  {seconds:.2f} s of one core, {wall:.2f} s on the clock (goal: 0.5 s), after {importing:.2f} s of importing")
    print(f"  {alone:.2f} s where each picture has an original of its own")
    print(f"  {faster:.1f} times as fast with {os.cpu_count()} threads on {os.cpu_count()} cores")
    print(f"  {mib_one:.0f} MiB more than before at most, {mib_all:.0f} MiB with all threads (goal: 400 MB each)")


def _paint(folder: Path) -> None:
    """Write an original, its truth and pictures of as much detail as there are to measure: noise with an amplitude of 1/f."""
    y, x = np.meshgrid(np.fft.fftfreq(1152), np.fft.fftfreq(2048), indexing="ij")
    spectrum = np.fft.fft2(np.random.default_rng(1).normal(size=(1152, 2048))) / np.maximum(np.hypot(y, x), 1 / 1152)
    plane = np.fft.ifft2(spectrum).real
    grey = np.clip(128 + 45 * (plane - plane.mean()) / plane.std(), 0, 255).astype(np.uint8)
    truth = Image.fromarray(np.stack([grey, grey // 2 + 40, 255 - grey], axis=-1))
    original = truth.resize((1024, 576), Resampling.LANCZOS)
    original.save(folder / "original.png")
    plain = original.resize(truth.size, Resampling.LANCZOS)
    for number in range(_PICTURES):
        Image.blend(plain, truth, number / (_PICTURES - 1)).save(folder / f"upscaled-{number}.png", compress_level=4)


def _once(folder: Path) -> dict[str, float]:
    start = time.perf_counter()
    from comfy_runner.report.metrics import measure
    from comfy_runner.report.metrics.planes import remembered

    importing = time.perf_counter() - start
    original, pictures = folder / "original.png", sorted(folder.glob("upscaled-*.png"))
    before = _peak()
    measure(original, pictures[0])
    mib_one = _peak() - before
    start, spent = time.perf_counter(), time.process_time()
    for picture in pictures:
        measure(original, picture)
    wall, seconds = time.perf_counter() - start, time.process_time() - spent
    spent = time.process_time()
    for picture in pictures:
        remembered.cache_clear()
        measure(original, picture)
    alone = time.process_time() - spent
    start = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda picture: measure(original, picture), pictures))
    together = time.perf_counter() - start
    return {
        "importing": importing,
        "seconds": seconds / len(pictures),
        "alone": alone / len(pictures),
        "wall": wall / len(pictures),
        "faster": wall / together,
        "mib_one": mib_one,
        "mib_all": _peak() - before,
    }


def _peak() -> float:
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1024**2


if __name__ == "__main__":
    main()
