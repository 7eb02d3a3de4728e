"""Pairs of a template and a recipe, which render to the workflows that they were made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfy_runner import api
from comfy_runner.errors import WorkflowError
from comfy_runner.graph.workflow import parse_workflow
from comfy_runner.importer.recognise import recognise
from comfy_runner.importer.write import Pair, pair_name, prove, write_files, write_pair
from tests.importer.graphs import Graph, flux, hires, node, plain


def _pair(graph: Graph) -> Pair:
    workflow = parse_workflow(graph)
    made = write_pair(recognise(workflow), name="fox", source="fox.json")
    prove(made, workflow)
    return made


@pytest.mark.parametrize("graph", [plain(), flux(), hires()], ids=["plain", "flux", "hires"])
def test_a_pair_renders_to_the_workflow(graph: Graph) -> None:
    _pair(graph)


def test_texts_that_jinja_would_take_for_its_own_render_as_they_were_typed() -> None:
    texts = [
        "{{a|b}} {% raw %}",
        "{# gone #} {{masterpiece}}",
        "{{ seed }} #} \\{{ \"'\n\t%}",
        "}} {{% {{{",
        "\u202e{{ \U0001f600 \ud800",
    ]

    for text in texts:
        graph = plain(
            n6_text=text,
            n7_text=f"x {text}",
            x=node("Note" + text, f"title {text}", **{f"in {text}": {"__value__": [text, {text: text}]}}),
        )
        _pair(graph)


def test_further_loras_render_behind_those_of_the_workflow(tmp_path: Path) -> None:
    graph = plain(n3_model=["10", 0], n6_clip=["10", 1], n7_clip=["10", 1])
    graph["10"] = node(
        "LoraLoader", model=["4", 0], clip=["4", 1], lora_name="a.safetensors", strength_model=0.8, strength_clip=0.8
    )
    recipe = write_files(_pair(graph), tmp_path)

    more = api.render(recipe, sets=["loras=[a.safetensors, b.safetensors]"]).nodes
    none = api.render(recipe, sets=["loras=[]"]).nodes

    assert more["lora_2"].inputs["model"] == ["10", 0]
    assert more["3"].inputs["model"] == ["lora_2", 0]
    assert more["6"].inputs["clip"] == ["lora_2", 1]
    assert "10" not in none
    assert none["3"].inputs["model"] == ["4", 0]


def test_a_pair_that_renders_to_another_graph_is_refused() -> None:
    made = _pair(plain())
    other = parse_workflow(plain(n3_steps=21))

    with pytest.raises(WorkflowError) as caught:
        prove(made, other)

    assert 'input "steps" of node "3" is 20 instead of 21' in str(caught.value)


def test_titles_that_mean_harm_stay_in_their_places() -> None:
    nasty = "#} -#}\n# x: y\r\n\u2028name: evil\u202e\x1b[31m"
    made = _pair(plain(x=node("KSampler" + nasty, nasty, denoise=0.5, seed=3, images=["8", 0]), n9_images=["x", 0]))

    assert any("name: evil" in line for line in made.recipe.splitlines())
    assert [
        line for line in made.recipe.splitlines() if "name: evil" in line and " # " not in line and not line.startswith("# ")
    ] == []
    assert "\x1b" not in made.recipe + made.template


def test_names_of_pairs() -> None:
    assert pair_name("My Fox (2).PNG") == "my-fox-2-png"
    assert pair_name("狐") == "workflow"
