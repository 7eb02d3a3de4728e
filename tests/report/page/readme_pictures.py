"""Makes the two pictures of the README anew: ``python -m tests.report.page.readme_pictures`` (some minutes without a GPU).

They are of a real sweep of the shipped recipe ``quickstart`` on the local ComfyUI, whose tiny checkpoint paints abstract textures.
Its run folder stays in ``build``, so that it is rendered once.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from comfy_runner.api import draw_sheet, run, write_report
from comfy_runner.config import Config
from comfy_runner.engine.local import LocalOptions, setup, start, stop
from tests.chromium import chromium

_ROOT = Path(__file__).parents[3]
PICTURES = _ROOT / "docs"
_SWEEPS = ["seed=1,3", "upscale.denoise=0.3,0.45,0.6,0.8"]


def main() -> None:
    """Render the sweep, draw its sheet and photograph its page."""
    options = LocalOptions(instance="readme-pictures")
    folder = _ROOT / "build" / "readme_pictures"
    with chromium() as browser:
        setup(options, say=print)
        try:
            url = start(options, say=print).url
            with run(["quickstart"], server=url, sweeps=_SWEEPS, out=folder, config=Config()) as rendering:
                rendering.results()
        finally:
            stop(options)
        draw_sheet(folder, cell=240)
        with Image.open(folder / "sheet.png") as sheet:
            sheet.convert("RGB").save(PICTURES / "sheet.webp", "WEBP", quality=80, method=6)
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
        page.goto(write_report(folder).page.as_uri())
        page.locator(".card img").first.wait_for()
        page.wait_for_load_state("networkidle")
        with Image.open(io.BytesIO(page.screenshot())) as image:
            image.convert("RGB").save(PICTURES / "report.webp", "WEBP", quality=80, method=6)


if __name__ == "__main__":
    main()
