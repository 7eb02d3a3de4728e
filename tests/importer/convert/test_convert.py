"""A file of ComfyUI's page becomes the graph that the page would send, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.errors import WorkflowError
from tests.importer.convert.support import converted, inputs, node, page

_SAMPLED = (
    node(1, "CheckpointLoaderSimple", ["a.safetensors"]),
    node(2, "CLIPTextEncode", ["a house"], clip=2, title="Good"),
    node(3, "CLIPTextEncode", ["blurry"], clip=3),
    node(4, "EmptyLatentImage", [768, 512, 1]),
    node(5, "KSampler", [7, "randomize", 25, 5.5, "euler", "karras", 1], model=1, positive=4, negative=5, latent_image=6),
    node(6, "VAEDecode", samples=7, vae=8),
    node(7, "SaveImage", ["out"], images=9),
)
_LINKS: list[Any] = [
    [1, 1, 0, 5, 0, "MODEL"],
    [2, 1, 1, 2, 0, "CLIP"],
    [3, 1, 1, 3, 0, "CLIP"],
    [4, 2, 0, 5, 1, "CONDITIONING"],
    [5, 3, 0, 5, 2, "CONDITIONING"],
    [6, 4, 0, 5, 3, "LATENT"],
    [7, 5, 0, 6, 0, "LATENT"],
    [8, 1, 2, 6, 1, "VAE"],
    [9, 6, 0, 7, 0, "IMAGE"],
]


def test_a_graph_is_what_the_page_exports() -> None:
    result = converted(page(*_SAMPLED, links=_LINKS))

    assert result.notes == ()
    assert result.graph == {
        "1": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "a.safetensors"},
            "_meta": {"title": "Load Checkpoint"},
        },
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a house", "clip": ["1", 1]}, "_meta": {"title": "Good"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["1", 1]}, "_meta": {"title": "CLIPTextEncode"}},
        "4": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 768, "height": 512, "batch_size": 1},
            "_meta": {"title": "EmptyLatentImage"},
        },
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 7,
                "steps": 25,
                "cfg": 5.5,
                "sampler_name": "euler",
                "scheduler": "karras",
                "denoise": 1,
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["3", 0],
                "latent_image": ["4", 0],
            },
            "_meta": {"title": "KSampler"},
        },
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}, "_meta": {"title": "VAEDecode"}},
        "7": {
            "class_type": "SaveImage",
            "inputs": {"filename_prefix": "out", "images": ["6", 0]},
            "_meta": {"title": "Save Image"},
        },
    }


def test_links_as_objects_are_read_like_lists() -> None:
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [dict(zip(keys, link, strict=True)) for link in _LINKS]

    assert converted(page(*_SAMPLED, links=links, version=1)).graph == converted(page(*_SAMPLED, links=_LINKS)).graph


@pytest.mark.parametrize("version", [None, 1])
def test_links_of_another_schema_than_the_file_is_of_are_read_and_that_is_said(version: int | None) -> None:
    result = converted(page(*_SAMPLED, links=_LINKS, version=version))

    assert result.graph == converted(page(*_SAMPLED, links=_LINKS)).graph
    assert "its links do not have the form of its version" in result.notes[0].what
    assert converted(page(*_SAMPLED, links=_LINKS)).notes == ()


def test_an_input_whose_source_is_muted_is_left_out() -> None:
    nodes = [*_SAMPLED[:3], node(4, "EmptyLatentImage", [768, 512, 1], mode=2), *_SAMPLED[4:]]

    result = converted(page(*nodes, links=_LINKS))

    assert "4" not in result.graph
    assert "latent_image" not in inputs(result, "5")


def test_classes_that_the_server_lacks_are_named_once_each() -> None:
    nodes = [*_SAMPLED, node(8, "Efficient Loader"), node(9, "Efficient Loader"), node(10, "Reactor", mode=4)]

    with pytest.raises(WorkflowError) as caught:
        converted(page(*nodes, links=_LINKS))

    assert [problem.what for problem in caught.value.problems] == [
        'http://server has no node class "Efficient Loader" (nodes 8, 9)'
    ]
    assert caught.value.problems[0].hint == "install the node pack that has it"


@pytest.mark.parametrize("ui", [{}, {"nodes": {}}, {"1": {"class_type": "VAEDecode", "inputs": {}}}])
def test_what_is_no_file_of_the_page_is_refused_as_such(ui: dict[str, Any]) -> None:
    with pytest.raises(WorkflowError, match="it has no list of nodes"):
        converted(ui)


def test_a_title_makes_no_lines_of_its_own_in_messages() -> None:
    hostile = node(1, "workflow>x", title="a\nerror: all is lost\x1b[2J" + "!" * 5000)

    with pytest.raises(WorkflowError) as caught:
        converted(page(hostile, node(1, "Note"), links=[]))

    assert caught.value.problems
    assert all(problem.what.isprintable() and len(problem.what) <= 1000 for problem in caught.value.problems)
