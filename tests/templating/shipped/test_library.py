"""The shipped templates: each has a recipe and a golden graph, and is the graph that people draw for its route."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfy_runner.errors import TemplateError
from comfy_runner.graph.workflow import Workflow, parse_workflow
from comfy_runner.planning.drafting import draft_all
from comfy_runner.recipe.load import load, shipped_recipes
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.shipped import shipped
from comfy_runner.templating.lookup import find_template, template_names
from comfy_runner.text_files import read
from tests.graph.support import content_hash
from tests.templating.shipped.golden import GOLDEN, NEEDS_A_PICTURE, PICTURE, golden_text
from tests.templating.shipped.graphs import GRAPHS, OF_A_PICTURE

TEMPLATES = template_names([shipped("templates")])
LATENT = ("forest-sunrise", "urban-skyline", "quickstart")


def golden(name: str) -> Workflow:
    return parse_workflow(json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_renders_byte_for_byte_to_its_golden_graph(name: str) -> None:
    assert golden_text(name) == (GOLDEN / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_is_drafted_without_a_note(name: str) -> None:
    sets = [f"params.image={PICTURE}"] if name in NEEDS_A_PICTURE else []
    assert draft_all(expand(load(name, sets=sets)), templates=[], seed_of=lambda _: 0).notes == ()


def test_every_golden_graph_has_a_recipe() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(shipped_recipes())


def test_every_template_has_a_recipe() -> None:
    assert set(TEMPLATES) == {load(path).recipe.template for path in shipped_recipes().values()}


def test_every_recipe_has_a_hand_drawn_graph() -> None:
    assert {*GRAPHS, *OF_A_PICTURE, *LATENT} == set(shipped_recipes())
    assert set(OF_A_PICTURE) == set(NEEDS_A_PICTURE)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_golden_graph_is_the_one_that_is_drawn_for_the_route(name: str) -> None:
    assert content_hash(golden(name)) == content_hash(parse_workflow(GRAPHS[name]()))


@pytest.mark.parametrize("name", OF_A_PICTURE)
def test_the_golden_graph_is_the_one_that_is_drawn_for_the_route_from_a_picture(name: str) -> None:
    found = golden(name)
    (image,) = [node.inputs["image"] for node in found.nodes.values() if node.class_type == "LoadImage"]
    assert content_hash(found) == content_hash(parse_workflow(OF_A_PICTURE[name](image)))


@pytest.mark.parametrize("name", shipped_recipes())
def test_nodes_have_words_for_ids_and_titles_of_their_own(name: str) -> None:
    nodes = golden(name).nodes
    assert all(node_id.replace("_", "a").isalnum() and not node_id[0].isdigit() for node_id in nodes)
    titles = [node.title for node in nodes.values()]
    assert all(title != node.class_type for title, node in zip(titles, nodes.values(), strict=True))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_says_what_it_and_its_parameters_are(name: str) -> None:
    template = find_template(name, [shipped("templates")])
    assert template.header.description.endswith(".")
    assert template.header.params is not None
    assert [param.name for param in template.header.params.values() if not param.description.endswith(".")] == []
    roles = {
        role for recipe, path in shipped_recipes().items() if load(path).recipe.template == name for role in golden(recipe).outputs
    }
    assert template.header.outputs.keys() & roles
    if name != "compare" and name != "iterative_upscale":
        assert template.header.outputs.keys() == roles


@pytest.mark.parametrize("path", sorted(shipped("templates").glob("*.j2")), ids=lambda path: path.name)
def test_templates_keep_to_the_width_of_the_code(path: Path) -> None:
    assert [line for line in read(path, error=TemplateError).splitlines() if len(line) > 132] == []
