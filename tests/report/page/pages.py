"""Runs to make pages of, with pictures whose every pixel is known, and what is read off a page in a browser."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Locator, Page

from comfy_runner.report.measures import Measured, Measures
from comfy_runner.report.page.page import write_page
from comfy_runner.report.run_data import read_material
from comfy_runner.report.suggest import Limits, Point, Suggestion
from tests.report.support import job_id_of, make_run, points

AXES: Mapping[str, Sequence[Any]] = {"upscale.sampler": ["euler", "ddim"], "seed": [1, 2], "upscale.denoise": [0.3, 0.5, 0.7]}
PLANTED = (0.75, 0.25)
"""The middle of the patch that the upscaled pictures have and the originals have not, from the left and the top."""

BLUE, RED = (30, 60, 200), (200, 40, 30)


def paint(values: Mapping[str, Any]) -> dict[str, Image.Image | bytes]:
    """Return a blue original and a red upscaled picture with a white patch; every job's red is its own."""
    shade = (int(float(values.get("upscale.denoise", 0.5)) * 100), int(values.get("seed", 0)) % 256, len(str(values)))
    upscaled = Image.new("RGB", (320, 180), tuple(map(sum, zip(RED, (-50, 0, 0), shade, strict=True))))
    upscaled.paste((255, 255, 255), (230, 35, 250, 55))
    return {"original": Image.new("RGB", (160, 90), BLUE), "upscaled": upscaled}


def measures(*, drift: float = 0.1, detail: float = 0.3, vetoes: tuple[str, ...] = ()) -> Measured:
    """Return what a picture might have been measured to be."""
    numbers: dict[str, Any] = dict.fromkeys(("noise", "blocks", "seams", "halos", "colour_shift", "shift"), 0.01)
    return Measured(measures=Measures(drift=drift, local_drift=drift * 2, detail=detail, vetoes=vetoes, **numbers))


def suggest(values: Sequence[Any], chosen: Any, axis: str = "upscale.denoise") -> Suggestion:
    """Return a suggestion of one of an axis' values."""
    found = tuple(
        Point(
            value=value,
            label=str(value),
            measured=4,
            passing=4 if value == chosen else 1,
            detail=0.1 + index / 10,
            detail_spread=0.02,
            drift=0.1 * index,
            drift_spread=0.01,
            worst_drift=0.15 * index,
            worst_local_drift=0.2 * index,
            vetoes={},
            passes=value == chosen,
            why="" if value == chosen else "drifts too far",
        )
        for index, value in enumerate(values)
    )
    return Suggestion(
        axis=axis,
        limits=Limits(),
        points=found,
        chosen=next((point for point in found if point.value == chosen), None),
        reason="it has the most real detail within the limits",
        sureness="fairly sure",
        series=4,
        votes={str(chosen): 3, "none": 1},
        apart={"upscale.sampler": {"euler": str(chosen), "ddim": None}},
    )


FAILED = "lake-sddim-s2-d05"
VETOED = "lake-seuler-s1-d07"


def sweep_page(folder: Path) -> Path:
    """Make the page of a sweep over three axes of which a job has failed and one is vetoed."""
    make_run(folder, AXES, paint, failed=[FAILED], recipe={"prompt": "a quiet shore"})
    measured = {}
    for number, values in enumerate(points(AXES)):
        job_id = job_id_of(values)
        measured[job_id] = measures(detail=(number * 5 % 12) / 12, vetoes=("noise",) if job_id == VETOED else ())
    measured[FAILED] = Measured(measures=None, problem="has no upscaled picture")
    return write_page(read_material(folder), measured, suggest(AXES["upscale.denoise"], 0.5), notes=["Metrics need the extra."])


def shot(place: Page | Locator) -> Image.Image:
    """Return what is seen there."""
    return Image.open(io.BytesIO(place.screenshot())).convert("RGB")


def at(picture: Image.Image, x: float, y: float) -> tuple[int, int, int]:
    """Return the pixel at a place given from 0 to 1."""
    pixel = picture.getpixel((int(x * (picture.width - 1)), int(y * (picture.height - 1))))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    return int(red), int(green), int(blue)


def shown_jobs(page: Page) -> list[str]:
    """Return the alternative texts of all pictures of the grid, and the words of cards without one, in order."""
    found = page.locator(".card").evaluate_all("cards => cards.map(card => card.querySelector('img')?.alt ?? card.textContent)")
    return [str(text) for text in found]


def drawn(page: Page) -> int:
    """Return how many pictures were really drawn: loaded, with pixels, and visible."""
    script = "images => images.filter(i => i.complete && i.naturalWidth > 0 && i.checkVisibility()).length"
    return int(page.locator(".card img").evaluate_all(script))


def wait_for_pictures(page: Page, selector: str) -> None:
    """Wait until all pictures there are loaded."""
    page.wait_for_function(
        "s => { const all = [...document.querySelectorAll(s)]; return all.length && all.every(i => i.complete && i.naturalWidth) }",
        arg=selector,
    )


def open_job(page: Page, job_id: str) -> None:
    """Open a job in the viewer and wait for its pictures."""
    page.locator(f'.card:has(img[alt^="{job_id},"])').click()
    wait_for_pictures(page, ".stage img")
