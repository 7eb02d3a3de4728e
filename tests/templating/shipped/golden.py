"""Golden graphs of all shipped recipes.

``python -m tests.templating.shipped.golden`` writes them anew, after a change that is meant.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from comfy_runner import api
from comfy_runner.recipe.load import shipped_recipes

GOLDEN = Path(__file__).parent / "golden"
PICTURE = GOLDEN / "picture.png"
NEEDS_A_PICTURE = ("img2img-upscale", "z-image-upscale")


def golden_text(name: str) -> str:
    """Return the text that the golden file of a recipe must have."""
    sets = [f"params.image={PICTURE}"] if name in NEEDS_A_PICTURE else []
    return api.render(name, sets=sets).to_json() + "\n"


if __name__ == "__main__":
    Image.linear_gradient("L").convert("RGB").resize((96, 64)).save(PICTURE)
    for recipe in shipped_recipes():
        (GOLDEN / f"{recipe}.json").write_text(golden_text(recipe), encoding="utf-8")
