from __future__ import annotations

import tomllib
from pathlib import Path

from comfy_runner.shipped import shipped


def test_the_shipped_recipes_and_templates_are_there() -> None:
    assert (shipped("recipes") / "quickstart.yaml").is_file()
    assert (shipped("templates") / "latent_upscale.json.j2").is_file()


def test_every_licence_of_what_others_wrote_is_in_the_package_and_on_the_page() -> None:
    root = Path(__file__).parents[1]
    carried = {path for path in (root / "comfy_runner").rglob("*LICENSE*") if "_shipped" not in path.parts}
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    page = (root / "docs" / "licences.md").read_text(encoding="utf-8")

    assert len(carried) == 3
    listed = {path for pattern in settings["project"]["license-files"] for path in root.glob(pattern)}
    assert listed == {*carried, root / "LICENSE"}
    assert [path for path in carried if f"`{path.relative_to(root / 'comfy_runner').as_posix()}`" not in page] == []
