"""Makes the picture of docs/ci.md anew, from the page itself: ``python -m tests.report.page.failing_comparison``."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter
from skimage import data

from comfy_runner.api import check_run, update_baseline, write_report
from comfy_runner.config import Config
from tests.baseline.support import repaint
from tests.chromium import chromium
from tests.report.page.pages import wait_for_pictures
from tests.report.support import make_run

PICTURE = Path(__file__).parents[3] / "docs" / "failing_comparison.webp"

_FACE = (120, 20, 340, 185)
_EYE = (258, 172, 322, 212)


def _portrait(_: Mapping[str, Any]) -> dict[str, Image.Image]:
    # NASA's, of Eileen Collins; it is in the public domain.
    face = Image.fromarray(data.astronaut()).crop(_FACE)
    return {"original": face, "upscaled": face.resize((512, 384), Image.Resampling.LANCZOS)}


def _with_another_eye(run: Path) -> Image.Image:
    with Image.open(run / "portrait-s42" / "upscaled.png") as image:
        picture = image.convert("RGB")
    eye = picture.crop(_EYE).transpose(Image.Transpose.ROTATE_180)
    soft = Image.new("L", eye.size)
    ImageDraw.Draw(soft).ellipse((4, 4, eye.width - 4, eye.height - 4), fill=255)
    picture.paste(eye, _EYE[:2], soft.filter(ImageFilter.GaussianBlur(2)))
    return picture


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        run = make_run(Path(name) / "run", {"seed": [42]}, _portrait, recipe={"name": "portrait"})
        update_baseline(run, Path(name) / "base")
        repaint(run, "portrait-s42", "upscaled", _with_another_eye(run))
        check_run(run, baseline=Path(name) / "base", config=Config())
        page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
        page.goto(write_report(run).page.as_uri())
        wait_for_pictures(page, ".triple img")
        shot = page.locator("#compared").screenshot()
        with Image.open(io.BytesIO(shot)) as image:
            image.convert("RGB").save(PICTURE, "WEBP", quality=80, method=6)


if __name__ == "__main__":
    main()
