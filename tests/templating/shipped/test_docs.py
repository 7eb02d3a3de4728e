"""What docs/templates.md shows: it works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.shipped import shipped
from comfy_runner.templating.lookup import template_names
from tests.templating.shipped.golden import PICTURE

DOCS = (Path(__file__).parents[3] / "docs" / "templates.md").read_text(encoding="utf-8")


def block(heading: str, kind: str, number: int = 0) -> str:
    """Return a fenced block of a section."""
    section = DOCS.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return str(re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)[number])


HOW = "From a workflow to a template"


def test_the_template_of_the_docs_renders_for_each_job_of_their_recipe(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "glow.json.j2").write_text(block(HOW, "jinja", -1), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(block(HOW, "yaml"), encoding="utf-8")
    found = [api.render(recipe, only=[f"recipe-glow0p{glow}-s{seed}"]) for seed in (1, 2) for glow in (2, 4, 6)]
    assert [(graph.nodes["sampler"].inputs["seed"], graph.nodes["blend"].inputs["blend_factor"]) for graph in found] == [
        (seed, glow / 10) for seed in (1, 2) for glow in (2, 4, 6)
    ]
    assert found[0].outputs == {"glowing": "save"}


def test_the_command_of_the_docs_makes_a_template_of_the_exported_graph(tmp_path: Path) -> None:
    (tmp_path / "glow.json").write_text(block(HOW, "json"), encoding="utf-8")
    command = block(HOW, "console").split()
    imported = api.import_workflow(tmp_path / command[3], params=[command[5], command[7]], config=Config())
    recipe, _template = api.write_import(imported, tmp_path)
    graph = api.render(recipe, sets=["params.radius=9", "params.glow=0.25"], config=Config())
    assert (graph.nodes["10"].inputs["blur_radius"], graph.nodes["11"].inputs["blend_factor"]) == (9, 0.25)


def test_the_exported_graph_of_the_docs_is_a_template_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "glow.json.j2").write_text(block(HOW, "json"), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("template: ./glow.json.j2", encoding="utf-8")
    assert api.render(recipe).outputs == {"9": "9"}


def test_the_header_of_the_docs_is_one(tmp_path: Path) -> None:
    header = block("The header", "yaml")
    (tmp_path / "mine.json.j2").write_text(f"{{#\n{header}#}}\n" + block(HOW, "json"), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{template: ./mine.json.j2, params: {mode: soft}}", encoding="utf-8")
    assert api.render(recipe).outputs == {"9": "9"}


def test_the_docs_show_a_shipped_template_as_it_is() -> None:
    source = (shipped("templates") / "pixel_upscale.json.j2").read_text(encoding="utf-8")
    assert block("Blocks that templates share", "jinja") == source.split("#}\n", 1)[1]


def test_the_docs_name_every_shipped_template() -> None:
    listed = DOCS.split("\n## Those that are shipped\n", 1)[1].split("\n## ", 1)[0]
    assert [name for name in template_names([shipped("templates")]) if f"`{name}`" not in listed] == []


def test_the_inpainting_of_the_docs_renders(tmp_path: Path) -> None:
    (tmp_path / "inpaint.json.j2").write_text(block("Input files", "jinja", -1), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    params = f"{{picture: {PICTURE}, mask: {PICTURE}}}"
    recipe.write_text(f"template: ./inpaint.json.j2\nprompt: a\ncheckpoint: c\nparams: {params}\n", encoding="utf-8")
    graph = api.render(recipe)
    assert graph.outputs == {"original": "save_original", "inpainted": "save_inpainted"}
    assert graph.nodes["second_pass"].inputs["denoise"] == 0.9
