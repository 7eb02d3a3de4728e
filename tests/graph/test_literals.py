"""Lists that a custom node may know better than: what is left to the server, and what is still an error."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.graph.literals import judge
from comfy_runner.graph.object_info import ObjectInfo

FILES = ["a.mp4", "b.mp4"]
MODELS = ["SDXL/base.safetensors", "two.safetensors"]


def said(spec: Any, value: Any, *, module: str = "custom_nodes.pack", class_type: str = "Pick") -> tuple[str, Any]:
    """What is made of a value for an input that is announced so."""
    raw = {class_type: {"input": {"required": {"i": spec}}, "python_module": module}}
    info = ObjectInfo(raw, source="http://server")
    node = info.get(class_type)
    assert node is not None
    found = judge(value, node.inputs["i"], node, info, at="node, input i")
    assert (found.acceptance == "fine") == (found.what == "")
    return found.acceptance, found.value


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["none"],
        ["-"],
        ["", "---"],
        ["Select the Wildcard to add to the text"],
        ["choose…", "None"],
        ["<no files found>", "No presets"],
        ["only one"],
    ],
)
@pytest.mark.parametrize("value", ["__forest__", "a, b: c", "Style 7"])
def test_of_a_list_with_nothing_to_choose_from_the_server_decides(options: list[str], value: str) -> None:
    assert said([options, {}], value) == ("noted", value)
    assert said(["COMBO", {"options": options}], value) == ("noted", value)


@pytest.mark.parametrize(
    "value",
    [
        "/data/films/a.mp4",
        "C:\\films\\a.mp4",
        "~/a.mp4",
        "../a.mp4",
        "sub/a.mp4",
        "sub\\c.MP4",
        "https://example.org/a.mp4",
        "c.mp4 [output]",
        "a.mp4 [temp]",
    ],
)
def test_a_file_that_is_elsewhere_is_not_the_one_of_that_name_in_the_list(value: str) -> None:
    assert said([FILES, {}], value) == ("noted", value)


@pytest.mark.parametrize("value", ["/models/x.safetensors", "D:\\models\\x.ckpt", "hf://owner/name/x.safetensors"])
def test_a_model_by_its_whole_path_is_left_to_the_server(value: str) -> None:
    assert said([MODELS, {}], value) == ("noted", value)


@pytest.mark.parametrize(
    ("options", "value", "meant"),
    [
        (MODELS, "sdxl\\BASE.safetensors", MODELS[0]),
        (MODELS, "/elsewhere/two.safetensors", MODELS[1]),
        (MODELS, "base", MODELS[0]),
        (["SDXL/base.fp16.safetensors"], "SDXL/base.fp16", "SDXL/base.fp16.safetensors"),
        (["Films\\a.mp4"], "films/a.mp4", "Films\\a.mp4"),
    ],
)
def test_a_name_that_means_an_option_is_that_option(options: list[str], value: str, meant: str) -> None:
    assert said([options, {}], value) == ("noted", meant)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (FILES, "c.mp4"),
        (MODELS, "three.safetensors"),
        (MODELS, "SDXL/three.safetensors"),
        (MODELS, "SDXL/three"),
        (["one.safetensors"], "three.safetensors"),
        (["None", "one.safetensors"], "three.safetensors"),
        (["lanczos", "area"], "lanczoz"),
        (["none", "a", "b"], "c"),
        ([1], 2),
        (["a"], None),
        ([1, 2], None),
    ],
)
def test_what_a_list_can_know_stays_an_error(options: list[Any], value: Any) -> None:
    assert said([options, {}], value) == ("refused", value)


@pytest.mark.parametrize("options", [[], ["choose\u2026"]])
@pytest.mark.parametrize("value", [None, 5, True])
def test_a_list_with_nothing_to_choose_from_takes_whatever_the_page_exports(options: list[str], value: Any) -> None:
    assert said([options, {}], value) == ("noted", value)


@pytest.mark.parametrize("value", ["shots/day 1", "..\\shots", "/data/shots"])
def test_a_folder_of_a_folder_is_not_listed(value: str) -> None:
    assert said([["films", "shots"], {}], value) == ("noted", value)


@pytest.mark.parametrize(
    ("options", "value"), [([], "x"), (["none"], "x"), (FILES, "sub/c.mp4"), (MODELS, "/models/x.safetensors")]
)
def test_the_lists_of_nodes_of_comfyui_are_binding(options: list[str], value: str) -> None:
    assert said([options, {}], value, module="nodes") == ("refused", value)


@pytest.mark.parametrize("value", ["sub/c.png", "sub\\c.png", "/data/c.png", "c.png [output]"])
@pytest.mark.parametrize(("class_type", "extra"), [("LoadImage", {"image_upload": True}), ("LoadLatent", {})])
def test_loaders_of_comfyui_take_files_of_other_folders(class_type: str, extra: dict[str, Any], value: str) -> None:
    assert said([["a.png", "c.png"], extra], value, module="nodes", class_type=class_type) == ("fine", value)


@pytest.mark.parametrize(
    "spec",
    [
        ["COMBO", {"remote": {"route": "/x"}}],
        ["COMBO", {"remote": {"route": "/x"}, "options": []}],
        [[], {"remote": {"route": "/x"}}],
        ["COMBO", {"options": ["a", "b"], "multi_select": {"placeholder": "some"}}],
    ],
)
def test_of_a_list_that_the_page_asks_elsewhere_for_nothing_is_known(spec: Any) -> None:
    assert said(spec, "anything") == ("fine", "anything")
