from __future__ import annotations

from comfy_runner.shipped import shipped


def test_the_shipped_recipes_and_templates_are_there() -> None:
    assert (shipped("recipes") / "quickstart.yaml").is_file()
    assert (shipped("templates") / "latent_upscale.json.j2").is_file()
