"""The page of a thousand jobs: how large it is, when it is first seen, how smoothly it scrolls."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from comfy_runner.report.measures import Measured, Measures
from comfy_runner.report.page.page import write_page
from comfy_runner.report.run_data import read_material
from tests.report.support import job_id_of, make_run, points

_AXES: dict[str, list[Any]] = {"seed": list(range(100)), "upscale.denoise": [number / 20 for number in range(5, 15)]}
_RUNS = 3
_FRAMES = 240
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]

_SCROLL = """async ([frames, step]) => {
    const times = [];
    let before = performance.now();
    for (let frame = 0; frame < frames; frame += 1) {
        scrollBy({ top: step, behavior: 'instant' });
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - before);
        before = now;
    }
    return times;
}"""


def main() -> None:
    """Print the medians."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        print("the page of a report: not measured, there is no chromium")
        return
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(
            Path(folder) / "run", _AXES, _paint, recipe={"prompt": "a mountain lake at dawn, mist over the water. " * 20}
        )
        material, measured = read_material(run), {job_id_of(values): _measured() for values in points(_AXES)}
        taken = []
        for _ in range(2):
            start = time.perf_counter()
            path = write_page(material, measured, None)
            taken.append(time.perf_counter() - start)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
            found = [_looked_at(browser, path) for _ in range(_RUNS)]
            browser.close()
        thumbnails = sum(file.stat().st_size for file in (run / "report_files").iterdir())
        print(f"The page of {len(material.entries)} jobs with 2 pictures each (128x72 and 256x144), median of {_RUNS}:")
        print(f"  report.html {path.stat().st_size / 1e3:.0f} kB, thumbnails {thumbnails / 1e6:.1f} MB")
        print(f"  written in {taken[0]:.1f} s, and again with its thumbnails in {taken[1]:.1f} s")
    first, median, worst, slow = (statistics.median(values) for values in zip(*found, strict=True))
    print(f"  first contentful paint after {first:.0f} ms (goal: 2000 ms)")
    print(f"  scrolling a list: {median:.1f} ms a frame, at worst {worst:.0f} ms, {slow:.0f} of {_FRAMES} over 50 ms")


def _looked_at(browser: Browser, path: Path) -> tuple[float, float, float, float]:
    """Return milliseconds to the first paint, a frame's while scrolling, the worst frame's, and how many were slow."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    first = float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    for name in ("Rows", "Columns"):
        page.get_by_label(name).select_option(label="none")
    page.wait_for_timeout(500)
    times = page.evaluate(_SCROLL, [_FRAMES, 90])
    page.close()
    return first, statistics.median(times), max(times), sum(taken > 50 for taken in times)


def _paint(values: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
    noise = Image.effect_noise((128, 72), 20 + values["seed"] % 60)
    original = Image.merge("RGB", (noise, noise.point(lambda value: value * 0.8), noise))
    return {"original": original, "upscaled": original.resize((256, 144), Image.Resampling.BICUBIC)}


def _measured() -> Measured:
    numbers: dict[str, Any] = dict.fromkeys(("noise", "blocks", "seams", "halos", "colour_shift", "shift"), 0.0123)
    return Measured(measures=Measures(drift=0.1234, local_drift=0.2345, detail=0.3456, **numbers))


if __name__ == "__main__":
    main()
