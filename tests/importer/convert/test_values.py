"""The list of values in a file is read by the order of its class's controls, in files of any age."""

from __future__ import annotations

from typing import Any

import pytest

from comfy_runner.errors import WorkflowError
from tests.importer.convert.support import class_, converted, inputs, node, page, server


def _read(type_: str, values: Any, *, more: dict[str, Any] | None = None, **kept: Any) -> dict[str, Any]:
    return inputs(converted(page(node(1, type_, values, **kept), links=[]), server(**(more or {}))), "1")


def _refused(type_: str, values: Any, *, more: dict[str, Any] | None = None, **kept: Any) -> str:
    with pytest.raises(WorkflowError) as caught:
        _read(type_, values, more=more, **kept)
    return str(caught.value)


@pytest.mark.parametrize("control", ["fixed", "increment", "decrement", "randomize", True, False, None])
def test_what_changes_a_seed_after_each_run_is_no_input(control: Any) -> None:
    assert _read("KSampler", [7, control, 25, 5.5, "euler", "karras", 1]) == {
        "seed": 7,
        "steps": 25,
        "cfg": 5.5,
        "sampler_name": "euler",
        "scheduler": "karras",
        "denoise": 1,
    }


def test_a_list_without_it_is_refused_for_all_that_follows_would_be_shifted() -> None:
    assert "KSampler): its values do not fit" in _refused("KSampler", [7, 25, 5.5, "euler", "karras", 1])


@pytest.mark.parametrize(
    ("spec", "values", "seeds"),
    [
        ({}, [1, "fixed", 2], (1, 2)),
        ({"control_after_generate": True}, [1, "fixed", 2], (1, 2)),
        ({"control_after_generate": False}, [1, 2], (1, 2)),
    ],
)
def test_a_number_called_seed_has_it_unless_the_class_says_otherwise(
    spec: dict[str, Any], values: list[Any], seeds: tuple[int, int]
) -> None:
    more = {"Noise": class_({"seed": ["INT", spec], "other": ["INT", {}]}, [])}

    assert tuple(_read("Noise", values, more=more).values()) == seeds


def test_a_list_of_options_that_changes_after_each_run_has_a_filter_behind_it() -> None:
    more = {"Pick": class_({"pick": [["a", "b"], {"control_after_generate": True}], "tail": ["INT", {}]}, [])}

    assert _read("Pick", ["b", "increment", "/x/", 7], more=more) == {"pick": "b", "tail": 7}


def test_values_that_are_missing_are_those_of_the_class() -> None:
    assert _read("EmptyLatentImage", [768]) == {"width": 768, "height": 512, "batch_size": 1}
    assert _read("EmptyLatentImage", None) == {"width": 512, "height": 512, "batch_size": 1}
    assert _read("LoraLoader", None) == {"lora_name": "a.safetensors", "strength_model": 1.0, "strength_clip": 1.0}


def test_values_by_name_are_read_by_name_and_that_is_said() -> None:
    result = converted(page(node(1, "EmptyLatentImage", {"height": 256, "width": 128}), links=[]))

    assert inputs(result, "1") == {"width": 128, "height": 256, "batch_size": 1}
    assert "read by name" in result.notes[0].what


_COMBINE = class_(
    {
        "format": [
            ["image/gif", "video/h264-mp4"],
            {
                "formats": {
                    "video/h264-mp4": [
                        ["pix_fmt", ["yuv420p", "yuv420p10le"]],
                        ["crf", "INT", {"default": 19, "min": 0, "max": 100}],
                        ["trim_to_audio", "BOOLEAN", {"default": False}],
                    ]
                }
            },
        ],
        "pingpong": ["BOOLEAN", {"default": False}],
    },
    [],
)


def test_what_a_chosen_format_brings_is_read_by_name_and_what_another_brings_is_left_out() -> None:
    given = {"format": "video/h264-mp4", "pix_fmt": "yuv420p10le", "crf": 7, "pingpong": True, "profile": "hq", "videopreview": {}}

    result = converted(page(node(1, "VHS_VideoCombine", given), links=[]), server(VHS_VideoCombine=_COMBINE))

    chosen = {"format": "video/h264-mp4", "pix_fmt": "yuv420p10le", "crf": 7, "trim_to_audio": False, "pingpong": True}
    assert inputs(result, "1") == chosen
    assert any("1 value of controls that its class does not have" in note.what for note in result.notes)
    assert _read("VHS_VideoCombine", {**given, "format": "image/gif"}, more={"VHS_VideoCombine": _COMBINE}) == {
        "format": "image/gif",
        "pingpong": True,
    }


def test_a_number_that_its_class_does_not_take_is_said() -> None:
    result = converted(page(node(1, "KSampler", [-1, "fixed", 25, 5.5, "euler", "karras", 1]), links=[]))

    assert inputs(result, "1")["seed"] == -1
    assert "input seed is -1, but its class requires at least 0" in result.notes[0].what


def test_too_many_values_are_said_and_shifted_ones_refused() -> None:
    result = converted(page(node(1, "EmptyLatentImage", [64, 64, 1, 5]), links=[]))

    assert inputs(result, "1") == {"width": 64, "height": 64, "batch_size": 1}
    assert "4 values where the page has 3 controls" in result.notes[0].what
    assert "3 stands for upscale_method (COMBO)" in _refused("ImageScaleBy", [3, "lanczos", 2.0])


def test_the_button_behind_a_file_that_can_be_uploaded_is_no_input() -> None:
    more = {
        "Film": class_({"x": ["INT", {}], "film": [["a.mp4"], {"video_upload": True}]}, [], optional={"o": ["INT", {"default": 9}]})
    }

    assert _read("LoadImage", ["my.png", "image"]) == {"image": "my.png"}
    assert _read("Film", [5, "b.mp4", 8, "image"], more=more) == {"x": 5, "film": "b.mp4", "o": 8}


def test_a_file_of_another_folder_is_named_with_it() -> None:
    more = {"Again": class_({"image": [["a.png"], {"image_upload": True, "image_folder": "output"}]}, [])}

    assert _read("Again", ["b.png", "image"], more=more) == {"image": "b.png [output]"}
    assert _read("Again", ["b.png [output]", "image"], more=more) == {"image": "b.png [output]"}


def test_an_image_that_no_one_names_is_refused_where_the_server_has_none() -> None:
    more = {"LoadImage": class_({"image": [[], {"image_upload": True}]}, ["IMAGE"])}

    assert "input image: no file is named" in _refused("LoadImage", None, more=more)


def test_dummies_of_sockets_in_older_files_are_left_out() -> None:
    forced = class_(
        {
            "a": ["INT", {}],
            "b": ["INT", {"forceInput": True}],
            "c": ["STRING", {"forceInput": True}],
            "d": ["FLOAT", {"default": 0.5}],
        },
        [],
    )

    assert _read("Forced", [3, 11, "cc", 0.7], more={"Forced": forced}) == {"a": 3, "d": 0.7}
    assert _read("Forced", [3, 0.7], more={"Forced": forced}) == {"a": 3, "d": 0.7}


def test_the_order_is_that_of_the_page_required_inputs_first() -> None:
    class_type = class_({"b": ["INT", {}], "a": ["INT", {}]}, [], optional={"c": ["INT", {}]})
    class_type["input_order"] = {"required": ["a", "b"], "optional": ["c"]}

    assert _read("Ordered", [1, 2, 3], more={"Ordered": class_type}) == {"a": 1, "b": 2, "c": 3}


def test_a_list_is_wrapped_for_a_bare_one_would_be_a_link() -> None:
    more = {"Many": class_({"many": ["COMBO", {"options": ["x", "y"], "multi_select": {}}]}, [])}

    assert _read("Many", [["x", "y"]], more=more) == {"many": {"__value__": ["x", "y"]}}


def test_a_control_of_a_node_pack_alone_is_refused() -> None:
    more = {"Odd": class_({"table": ["SPREADSHEET", {}], "n": ["INT", {}]}, [])}

    assert "belongs to a node pack" in _refused("Odd", [{"cells": []}, 5], more=more)
    assert _read("Odd", [5], more=more, table=None) == {"n": 5}


def test_what_the_page_draws_or_records_is_refused() -> None:
    more = {"WebcamCapture": class_({"image": ["WEBCAM", {}]}, ["IMAGE"])}

    assert "takes a picture with the page's camera" in _refused("WebcamCapture", [None], more=more)


_FORMATS = class_(
    {
        "format": [
            "COMFY_DYNAMICCOMBO_V3",
            {
                "options": [
                    {"key": "png", "inputs": {"required": {"depth": [["8", "16"], {}]}}},
                    {
                        "key": "jpeg",
                        "inputs": {"required": {"quality": ["INT", {"default": 90}]}, "optional": {"mask": ["MASK", {}]}},
                    },
                    {"key": "none", "inputs": {}},
                ]
            },
        ],
        "tail": ["INT", {"default": 3}],
    },
    [],
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["png", "16", 5], {"format": "png", "format.depth": "16", "tail": 5}),
        (["jpeg", 77, 5], {"format": "jpeg", "format.quality": 77, "tail": 5}),
        (["none", 5], {"format": "none", "tail": 5}),
        (None, {"format": "png", "format.depth": "8", "tail": 3}),
    ],
)
def test_an_option_brings_its_own_controls(values: Any, expected: dict[str, Any]) -> None:
    assert _read("Save", values, more={"Save": _FORMATS}) == expected


def test_inputs_that_have_grown_are_those_of_the_file() -> None:
    grown = class_(
        {
            "images": [
                "COMFY_AUTOGROW_V3",
                {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 9}},
            ]
        },
        [],
    )
    nodes = [node(1, "LoadImage", ["a.png", "image"]), node(2, "Batch", [], **{"images.image0": 1, "images.image1": 2})]

    result = converted(page(*nodes, links=[[1, 1, 0, 2, 0, "IMAGE"], [2, 1, 0, 2, 1, "IMAGE"]]), server(Batch=grown))

    assert inputs(result, "2") == {"images.image0": ["1", 0], "images.image1": ["1", 0]}


def test_values_that_newer_files_have_by_name_too_win_over_shifted_ones() -> None:
    ui = page(node(1, "EmptyLatentImage", [9, 64, 64, 1]), links=[])
    ui["nodes"][0]["widgets_values_named"] = {"new": 9, "width": 64, "height": 32, "batch_size": 1}

    result = converted(ui)

    assert inputs(result, "1") == {"width": 64, "height": 32, "batch_size": 1}
    assert "read by name" in result.notes[0].what


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("a // c\nb /* d\ne */ f", "a \nb  f"),
        (r"a \{x\} \| \(y\)", r"a {x} | \(y\)"),
        ("a {x} b", "a x b"),
        ("a {x|y} b", "a {x|y} b"),
        (None, ""),
        (5, "5"),
    ],
)
def test_a_prompt_is_what_the_page_sends_but_for_its_choices(text: Any, expected: str) -> None:
    assert _read("CLIPTextEncode", [text]) == {"text": expected}


def test_what_the_page_replaces_is_said() -> None:
    nodes = [node(1, "CLIPTextEncode", ["{a|b} // c"]), node(2, "SaveImage", ["%date:yyyy%/%KSampler.seed%_%width%"])]

    result = converted(page(*nodes, links=[]))

    assert inputs(result, "2") == {"filename_prefix": "%date:yyyy%/%KSampler.seed%_%width%"}
    said = " ".join(note.what for note in result.notes)
    assert "draws one of {a|b}" in said
    assert "are left out, as in" in said
    assert "%date:yyyy%, %KSampler.seed% in filename_prefix" in said


def test_names_of_samplers_and_classes_of_the_first_days_are_todays() -> None:
    more = {"ConditioningAverage": class_({"conditioning_to_strength": ["FLOAT", {}]}, [])}

    assert _read("KSampler", [7, True, 20, 8, "sample_euler", "normal", 1])["sampler_name"] == "euler"
    assert (
        converted(page(node(1, "ConditioningAverage ", [0.5]), links=[]), server(**more)).graph["1"]["class_type"]
        == "ConditioningAverage"
    )


def test_more_values_than_controls_are_refused_of_a_node_pack_whose_page_may_have_made_controls_for_them() -> None:
    stack = class_({}, ["MODEL"], optional={"model": ["MODEL"]}, python_module="custom_nodes.rgthree-comfy")

    assert "is from a node pack" in _refused(
        "Power Lora Loader", [{"lora": "a.safetensors", "on": True}], more={"Power Lora Loader": stack}
    )
    assert _read("Power Lora Loader", [{}, "", None], more={"Power Lora Loader": stack}) == {}


_COMBO = class_({"choice": ["COMBO", {"options": []}]}, ["STRING", "INT"])


def test_options_that_are_typed_in_the_page_are_sent_with_the_place_of_the_choice() -> None:
    values = ["soft", 1, "hard", "soft", ""]

    assert _read("CustomCombo", values, more={"CustomCombo": _COMBO}) == {
        "choice": "soft",
        "index": 1,
        "option1": "hard",
        "option2": "soft",
        "option3": "",
    }


@pytest.mark.parametrize(
    "values", [["soft"], ["soft", "hard", "soft", ""], ["soft", 0, "hard", "soft", ""], ["soft", 1, "hard", "soft"]]
)
def test_options_that_are_typed_in_the_page_are_refused_where_the_file_has_them_otherwise(values: Any) -> None:
    with pytest.raises(WorkflowError, match=r"is not the option|its options are defined in the page"):
        _read("CustomCombo", values, more={"CustomCombo": _COMBO})


@pytest.mark.parametrize("values", [[], [{"before": "/api/view?filename=a.png"}], None])
def test_a_comparison_of_pictures_says_nothing_whatever_it_shows(values: Any) -> None:
    comparing = class_({"compare_view": ["IMAGECOMPARE", {"socketless": True}]}, [])

    assert _read("ImageCompare", values, more={"ImageCompare": comparing}) == {"compare_view": {"__value__": ["", ""]}}
