"""A graph against a server's object_info: what is refused, what is adjusted, and in which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from comfy_runner.errors import Note, Problem
from comfy_runner.graph.conformance import Checked, check
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.workflow import parse_workflow
from tests.graph.support import REFERENCE, node, recorded, shipped_graph, values, with_options

CHECKPOINT = REFERENCE["checkpoint"]
Change = Callable[[dict[str, Any]], object]


def info(**changed: Change) -> ObjectInfo:
    return recorded(CheckpointLoaderSimple=with_options("ckpt_name", [CHECKPOINT]), **changed)


def golden() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(shipped_graph().workflow.to_json())
    return data


def with_input(node_id: str, name: str, value: Any) -> dict[str, Any]:
    data = golden()
    data[node_id]["inputs"][name] = value
    return data


def without_input(node_id: str, name: str) -> dict[str, Any]:
    data = golden()
    del data[node_id]["inputs"][name]
    return data


def with_node(**nodes: Any) -> dict[str, Any]:
    return {**golden(), **nodes}


def checked(data: dict[str, Any], known: ObjectInfo | None = None, **given: Any) -> Checked:
    return check(parse_workflow(data), known or info(), **{"where": "template t", **given})


def problem(data: dict[str, Any], known: ObjectInfo | None = None, **given: Any) -> Problem:
    (found,) = checked(data, known, **given).problems
    return found


def notes(data: dict[str, Any], known: ObjectInfo | None = None) -> list[str]:
    return [note.what for note in checked(data, known).notes]


def value(data: dict[str, Any], node_id: str, name: str, known: ObjectInfo | None = None) -> Any:
    return checked(data, known).workflow.nodes[node_id].inputs[name]


def test_a_graph_that_fits_is_returned_as_it_is() -> None:
    assert checked(golden()) == Checked(parse_workflow(golden()), ())


# --- literals


@pytest.mark.parametrize(
    ("node_id", "name", "wrong", "what"),
    [
        ("first_pass", "steps", 30.5, "must be a whole number (got 30.5)"),
        ("first_pass", "steps", "30", 'must be a whole number (got "30")'),
        ("first_pass", "steps", True, "must be a whole number (got true)"),
        ("first_pass", "steps", None, "must be a whole number (got nothing)"),
        ("first_pass", "steps", {}, "must be a whole number (got a mapping)"),
        ("first_pass", "steps", {"__value__": [5]}, "must be a whole number (got a list)"),
        ("first_pass", "steps", 0, "must be at least 1 (got 0)"),
        ("first_pass", "steps", 10_001, "must be at most 10000 (got 10001)"),
        ("first_pass", "seed", -1, "must be at least 0 (got -1)"),
        ("first_pass", "seed", 2**64, "must be at most 18446744073709551615 (got 18446744073709551616)"),
        ("first_pass", "cfg", "5.0", 'must be a number (got "5.0")'),
        ("first_pass", "cfg", False, "must be a number (got false)"),
        ("first_pass", "cfg", 10**400, "must be at most 100 (got a very large number)"),
        ("second_pass", "denoise", 1.5, "must be at most 1 (got 1.5)"),
        ("second_pass", "denoise", -0.1, "must be at least 0 (got -0.1)"),
        ("prompt", "text", 5, "must be text (got 5)"),
        ("prompt", "text", None, "must be text (got nothing)"),
        ("prompt", "clip", "clip", 'needs a link to a CLIP (got "clip")'),
        ("prompt", "clip", None, "needs a link to a CLIP (got nothing)"),
    ],
)
def test_a_literal_that_does_not_fit_is_an_error(node_id: str, name: str, wrong: Any, what: str) -> None:
    place = {
        "first_pass": 'node "first_pass" (First pass, KSampler)',
        "second_pass": 'node "second_pass" (Second pass, KSampler)',
        "prompt": 'node "prompt" (Prompt, CLIPTextEncode)',
    }[node_id]
    assert problem(with_input(node_id, name, wrong)) == Problem(f"{place}, input {name}: {what}", "template t")


@pytest.mark.parametrize("wrong", ["false", 0, 1, "yes", None])
def test_only_true_and_false_are_booleans(wrong: Any) -> None:
    known = info(Flag=lambda it: it.update(input={"required": {"on": ["BOOLEAN", {}]}}, output_node=True))
    assert "input on: must be true or false (got " in problem(with_node(flag=node("Flag", on=wrong)), known).what
    assert notes(with_node(flag=node("Flag", on=False)), known) == []


@pytest.mark.parametrize(
    ("node_id", "name", "right"),
    [
        ("first_pass", "cfg", 7),
        ("first_pass", "steps", 30.0),
        ("first_pass", "cfg", 0),
        ("first_pass", "cfg", 100.0),
        ("first_pass", "seed", 2**64 - 1),
        ("second_pass", "denoise", 0.5551),
        ("first_pass", "steps", {"__value__": 5}),
        ("prompt", "text", "\ud800\u2028"),
    ],
)
def test_a_literal_that_fits_is_taken_as_it_is(node_id: str, name: str, right: Any) -> None:
    found = checked(with_input(node_id, name, right))
    assert found.workflow.nodes[node_id].inputs[name] == right
    assert found.notes == ()


def test_a_long_wrong_value_is_not_repeated_in_full() -> None:
    assert len(problem(with_input("first_pass", "cfg", "x" * 100_000)).what) < 250
    assert len(problem(with_input("first_pass", "scheduler", "x" * 100_000)).what) < 250


def literal(spec: Any, given: Any) -> list[str]:
    """The problems of one literal for an input that is announced so."""
    known = info(Custom=lambda it: it.update(input={"required": {"i": spec}}, output_node=True))
    return [str(each.what).split("input i: ")[-1] for each in checked(with_node(custom=node("Custom", i=given)), known).problems]


@pytest.mark.parametrize(
    ("spec", "given", "found"),
    [
        (["INT,FLOAT", {}], 5, []),
        (["INT,FLOAT", {}], 0.5, []),
        (["INT,FLOAT", {}], "5", ['must be a whole number or a number (got "5")']),
        (["INT,FLOAT", {"max": 3}], 5, ["must be at most 3 (got 5)"]),
        (["INT,STRING", {}], True, ["must be a whole number or text (got true)"]),
        (["*", {}], 5, []),
        (["*", {}], None, []),
        (["*,INT", {}], "x", []),
        (["INT,MODEL", {}], 5, []),
        (["WEBCAM", {}], "anything", []),
        (["COMBO", {"remote": {}}], "anything", []),
        (["COMFY_MATCHTYPE_V3", {}], 5, []),
        (["MODEL,CLIP", {}], 5, ["needs a link to a MODEL,CLIP (got 5)"]),
    ],
)
def test_a_type_that_is_more_than_one_takes_what_any_of_them_takes(spec: Any, given: Any, found: list[str]) -> None:
    assert literal(spec, given) == found


# --- enums and names


@pytest.mark.parametrize("spec", [[["a", "b"], {}], ["COMBO", {"options": ["a", "b"]}]])
def test_an_enum_of_either_generation_takes_only_its_options(spec: Any) -> None:
    known = info(Custom=lambda it: it.update(input={"required": {"i": spec}}, output_node=True))
    assert notes(with_node(custom=node("Custom", i="a")), known) == []
    found = problem(with_node(custom=node("Custom", i="c")), known)
    assert found.what == '"c" is not among the 2 that http://server has (node "custom" (Custom), input i)'
    assert found.hint == "known are a, b"
    found = problem(with_node(custom=node("Custom", i="c\new.pth")), known)
    assert found.hint.startswith("\\n in double quotes is that character: put the value in single quotes")


@pytest.mark.parametrize(("options", "wrong"), [((1, 2), True), ((1, 2), "1"), ((1, 2), 1.0), ((True, False), 1), (("a",), ["a"])])
def test_an_option_is_of_the_type_that_it_is(options: tuple[Any, ...], wrong: Any) -> None:
    assert literal([list(options), {}], {"__value__": wrong}) != []
    assert literal([list(options), {}], options[0]) == []


def test_a_recorded_enum_of_the_newer_generation_is_checked() -> None:
    scaled = node("ImageScaleToTotalPixels", image=["decode_original", 0], upscale_method="lanczoz", megapixels=1.0)
    found = problem(with_node(scaled=scaled, show=node("PreviewImage", images=["scaled", 0])))
    assert found.hint == "did you mean lanczos?"


def test_a_misspelt_option_is_an_error_with_the_nearest() -> None:
    found = problem(with_input("first_pass", "scheduler", "karas"))
    assert found.what == (
        '"karas" is not among the 9 that http://server has (node "first_pass" (First pass, KSampler), input scheduler)'
    )
    assert found.hint == "did you mean karras?"


def test_a_checkpoint_that_the_server_has_not_is_an_error_with_those_that_it_has() -> None:
    known = recorded(CheckpointLoaderSimple=with_options("ckpt_name", ["one.safetensors", "two.safetensors"]))
    assert problem(golden(), known).hint == "known are one.safetensors, two.safetensors"


def test_a_server_without_any_checkpoint_says_so() -> None:
    known = recorded(CheckpointLoaderSimple=with_options("ckpt_name", []))
    found = problem(golden(), known)
    assert f'"{CHECKPOINT}" is not among the 0 that http://server has' in found.what
    assert found.hint.startswith("put the file where that server looks")


def test_the_numbers_of_a_list_are_named_as_its_texts_are() -> None:
    known = info(EmptyLatentImage=with_options("width", [512, 768]))
    found = problem(golden(), known)
    assert found.hint == "known are 512, 768"


@pytest.mark.parametrize(
    "server_name",
    [f"sdxl\\{CHECKPOINT}", f"custom/sdxl/{CHECKPOINT}", CHECKPOINT.upper(), f"SDXL\\{CHECKPOINT.lower()}"],
)
def test_a_checkpoint_goes_by_the_server_s_own_name_and_the_user_is_told(server_name: str) -> None:
    known = recorded(CheckpointLoaderSimple=with_options("ckpt_name", ["other.safetensors", server_name]))
    found = checked(golden(), known)
    assert found.workflow.nodes["checkpoint"].inputs["ckpt_name"] == server_name
    what = f"{json.dumps(CHECKPOINT)} is {json.dumps(server_name)} on http://server"
    place = '(node "checkpoint" (Checkpoint, CheckpointLoaderSimple), input ckpt_name)'
    assert found.notes == (Note(f"{what} {place}", "template t", "changed"),)


def test_an_exact_name_wins_over_others_like_it() -> None:
    known = recorded(CheckpointLoaderSimple=with_options("ckpt_name", [f"a/{CHECKPOINT}", CHECKPOINT, CHECKPOINT.upper()]))
    assert value(golden(), "checkpoint", "ckpt_name", known) == CHECKPOINT
    assert notes(golden(), known) == []


def test_a_name_with_more_than_one_meaning_is_an_error_that_lists_them() -> None:
    names = [f"a\\{CHECKPOINT}", "other.safetensors", f"a-long-folder/and/another/one/below/it/{CHECKPOINT}"]
    known = recorded(CheckpointLoaderSimple=with_options("ckpt_name", names))
    found = problem(golden(), known)
    assert found.what.startswith(f'"{CHECKPOINT}" could be 2 of those that http://server has (node "checkpoint"')
    assert found.hint == f"write one of {names[0]}, {names[2]}"


def test_a_sampler_in_another_case_is_found() -> None:
    assert value(with_input("first_pass", "sampler_name", "DPMPP_2M"), "first_pass", "sampler_name") == "dpmpp_2m"


@pytest.mark.parametrize(("name", "taken"), [("a.png", True), ("sub/a.png", True), ("b.png [output]", True), ("b.png", False)])
def test_an_input_picture_may_lie_where_the_server_does_not_list(name: str, taken: bool) -> None:
    known = info(LoadImage=with_options("image", ["a.png"]))
    data = with_node(load=node("LoadImage", image=name), show=node("PreviewImage", images=["load", 0]))
    if taken:
        assert value(data, "load", "image", known) == name
    else:
        assert problem(data, known).hint == "did you mean a.png?"
        bring = "bring your own file with --set params.image=FILE"
        assert problem(data, known, files=["params.image"]).hint == f"{bring}; did you mean a.png?"
        empty = info(LoadImage=with_options("image", []))
        assert problem(data, empty, files=["params.image"]).hint == bring
        assert problem(data, empty).hint.startswith("use a template parameter of type image or file")


# --- inputs that are unknown or missing


def test_an_unknown_input_of_a_core_node_is_a_warning_with_the_nearest() -> None:
    found = checked(with_input("first_pass", "denoize", 0.5))
    what = 'node "first_pass" (First pass, KSampler) has no input denoize on http://server, which ignores it; did you mean denoise?'
    assert found.notes == (Note(what, "template t", "warning"),)
    assert found.workflow.nodes["first_pass"].inputs["denoize"] == 0.5


@pytest.mark.parametrize(
    ("node_id", "name", "value"),
    [
        ("first_pass", "control_after_generate", "randomize"),
        ("save_original", "upload", "image"),
        ("prompt", "speak_and_recognation", {"__value__": [False, True]}),
        ("save_original", "extra_pnginfo", "x"),
    ],
)
def test_what_only_the_page_reads_is_never_refused(node_id: str, name: str, value: Any) -> None:
    (note,) = checked(with_input(node_id, name, value)).notes
    assert note.level == "warning"
    assert note.what.endswith(f"has no input {name} on http://server, which ignores it")


def test_a_link_to_an_input_that_a_core_node_has_not_would_fail_on_the_server() -> None:
    found = problem(with_input("first_pass", "denoize", ["checkpoint", 0]))
    assert found.what == 'node "first_pass" (First pass, KSampler) has no input denoize, and would fail because of the link to it'
    assert found.hint == "did you mean denoise?"


def test_an_unknown_input_of_a_custom_node_is_a_warning() -> None:
    known = info(Custom=lambda it: it.update(input={"required": {}}, output_node=True))
    found = checked(with_node(custom=node("Custom", extra=5)), known)
    what = 'node "custom" (Custom) has no input extra that http://server knows of, and may ignore it'
    assert found.notes == (Note(what, "template t", "warning"),)
    assert found.workflow.nodes["custom"].inputs == {"extra": 5}


@pytest.mark.parametrize(
    ("node_id", "name", "default", "text"),
    [
        ("first_pass", "steps", 20, "20"),
        ("first_pass", "cfg", 8.0, "8.0"),
        ("save_original", "filename_prefix", "ComfyUI", '"ComfyUI"'),
    ],
)
def test_a_missing_input_with_a_default_is_filled_in_and_the_user_is_told(node_id: str, name: str, default: Any, text: str) -> None:
    found = checked(without_input(node_id, name))
    assert found.workflow.nodes[node_id].inputs[name] == default
    assert [note.level for note in found.notes] == ["changed"]
    assert found.notes[0].what.endswith(f", input {name}: not given, so the server's default {text} is used")


def test_a_missing_input_of_a_type_that_other_nodes_make_is_still_filled_in() -> None:
    assert info().is_produced("INT")
    assert value(without_input("empty_latent", "width"), "empty_latent", "width") == 512


@pytest.mark.parametrize("spec", [[["a", "b"], {"default": "b"}], ["COMBO", {"options": ["a", "b"], "default": "b"}]])
def test_a_missing_enum_with_a_default_is_filled_in(spec: Any) -> None:
    known = info(
        Custom=lambda it: it.update(input={"required": {"i": spec}}, output_node=True),
        Chooser=lambda it: it.update(input={"required": {}}, output=["COMBO", ["a", "b"]]),
    )
    assert value(with_node(custom=node("Custom")), "custom", "i", known) == "b"


def test_a_missing_enum_without_a_default_is_an_error_with_its_options() -> None:
    found = problem(without_input("upscale", "crop"))
    assert found.what == 'node "upscale" (Upscale the latent, LatentUpscale), input crop: required by the server, not given'
    assert found.hint == "known are disabled, center"


def test_a_missing_link_is_an_error_that_says_what_to_link() -> None:
    found = problem(without_input("second_pass", "latent_image"))
    assert found.what == 'node "second_pass" (Second pass, KSampler), input latent_image: required by the server, not given'
    assert found.hint == "link it to a node's LATENT"


def test_a_default_does_not_make_up_for_a_missing_link() -> None:
    known = info(Custom=lambda it: it.update(input={"required": {"m": ["MODEL", {"default": 1}]}}, output_node=True))
    assert problem(with_node(custom=node("Custom")), known).hint == "link it to a node's MODEL"


def test_a_missing_optional_input_is_left_out() -> None:
    known = info(Custom=lambda it: it.update(input={"optional": {"i": ["INT", {"default": 5}]}}, output_node=True))
    assert checked(with_node(custom=node("Custom")), known).workflow.nodes["custom"].inputs == {}


def test_an_input_that_grows_takes_its_parts() -> None:
    def grows(it: dict[str, Any]) -> None:
        dynamic = {"images": ["COMFY_AUTOGROW_V3", {}], "mode": ["COMFY_DYNAMICCOMBO_V3", {"options": []}]}
        it.update(input={"required": dynamic}, output_node=True, python_module="comfy_extras.nodes_new")

    parts = {"images.image0": ["decode_original", 0], "mode": "scale", "mode.width": 512}
    assert notes(with_node(new=node("New", **parts)), info(New=grows)) == []
    ignored = 'node "new" (New) has no input other.part on http://server, which ignores it'
    assert notes(with_node(new=node("New", **parts, **{"other.part": 1})), info(New=grows)) == [ignored]
    assert problem(with_node(new=node("New", mode="scale")), info(New=grows)).what.endswith(
        "input images: required by the server, not given"
    )


# --- classes and links


def test_an_unknown_class_is_an_error_with_the_nearest() -> None:
    data = golden()
    data["first_pass"]["class_type"] = "KSamplr"
    found = problem(data)
    assert str(found) == 'template t: node "first_pass": http://server has no node class KSamplr'
    assert found.hint == "did you mean KSampler? If not, install the node pack that has it, or use another template"


@pytest.mark.parametrize("class_type", ["Xyzzy9000", "SaveImagesAsGrid"])
def test_a_class_that_is_no_misspelling_comes_from_a_node_pack(class_type: str) -> None:
    found = problem(with_node(x=node(class_type)))
    assert found.hint == "install the node pack that has it, or use another template"


def test_a_class_that_the_template_knows_the_pack_of_comes_with_that() -> None:
    data = with_node(x=node("KSamplr"))
    found = problem(data, packs={"KSamplr": "the node pack Samplrs"}, version="0.3.40")
    assert found.hint == "it comes with the node pack Samplrs"


@pytest.mark.parametrize(
    ("class_type", "hint"),
    [
        ("Xyzzy9000", "it comes with ComfyUI 0.3.40 or newer"),
        ("KSamplr", "it comes with ComfyUI 0.3.40 or newer; or did you mean KSampler?"),
    ],
)
def test_a_class_of_no_pack_comes_with_the_comfyui_that_the_template_needs(class_type: str, hint: str) -> None:
    data = with_node(x=node(class_type))
    found = problem(data, packs={"Other": "a pack"}, version="0.3.40")
    assert found.hint == hint


def test_a_link_of_another_type_is_an_error_that_names_the_right_output() -> None:
    found = problem(with_input("prompt", "clip", ["checkpoint", 0]))
    assert found.what == 'node "prompt" (Prompt, CLIPTextEncode), input clip: needs CLIP (got MODEL from node "checkpoint")'
    assert found.hint == 'output 1 of node "checkpoint" is CLIP'


def test_a_link_to_a_node_that_has_no_such_output_has_no_hint() -> None:
    found = problem(with_input("second_pass", "latent_image", ["prompt", 0]))
    assert found.what.endswith('needs LATENT (got CONDITIONING from node "prompt")')
    assert found.hint == ""


@pytest.mark.parametrize(
    ("link", "what"),
    [
        (["checkpoint", 3], 'node "checkpoint" (CheckpointLoaderSimple) has 3 outputs (got index 3)'),
        (["prompt", 1], 'node "prompt" (CLIPTextEncode) has 1 output (got index 1)'),
    ],
)
def test_an_output_that_is_not_there_is_an_error(link: list[Any], what: str) -> None:
    assert problem(with_input("negative_prompt", "clip", link)).what.endswith(f", input clip: {what}")


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("IMAGE", "*", True),
        ("*", "MASK", True),
        ("IMAGE,MASK", "MASK", True),
        ("IMAGE", "LATENT, IMAGE", True),
        ("IMAGE,MASK", "LATENT,MODEL", False),
        ("IMAGE,*", "LATENT", True),
        ("INT", "FLOAT", False),
        ("COMFY_MATCHTYPE_V3", "MASK", True),
        ("image", "IMAGE", False),
    ],
)
def test_types_meet_as_the_server_sees_it(given: str, wanted: str, fits: bool) -> None:
    known = info(
        Give=lambda it: it.update(input={"required": {}}, output=[given]),
        Take=lambda it: it.update(input={"required": {"i": [wanted, {}]}}, output_node=True),
    )
    data = with_node(give=node("Give"), take=node("Take", i=["give", 0]))
    if fits:
        assert notes(data, known) == []
    else:
        assert problem(data, known).what == f'node "take" (Take), input i: needs {wanted} (got {given} from node "give")'


def test_a_number_may_come_by_a_link() -> None:
    data = with_input("first_pass", "steps", ["count", 0])
    assert notes({**data, "count": node("PrimitiveInt", value=7)}) == []


# --- outputs


def test_a_node_that_leads_to_no_output_is_left_out_and_the_user_is_told() -> None:
    found = checked(with_node(extra=node("EmptyLatentImage", width=64, height=64, batch_size=1)))
    assert "extra" not in found.workflow.nodes
    assert found.notes == (Note('node "extra" (EmptyLatentImage) leads to no output and is left out', "template t", "changed"),)


def test_a_graph_without_an_output_node_is_an_error() -> None:
    found = problem({"a": node("EmptyLatentImage", width=64, height=64, batch_size=1)})
    assert (found.what, found.hint) == ("no node of the workflow is an output node", "add a SaveImage")


def test_a_role_of_a_node_that_saves_nothing_is_an_error() -> None:
    data = golden()
    data["decode_original"]["_meta"]["role"] = "raw"
    found = problem(data)
    assert found.what == (
        'node "decode_original" (Decode the original, VAEDecode) has the role "raw", but is not an output node on http://server'
    )
    assert found.hint == "give the role to a node that saves, such as SaveImage"


# --- places


def locate(node_id: str, name: str) -> str:
    return {("second_pass", "denoise"): "r.yaml:8: upscale.denoise", ("checkpoint", "ckpt_name"): "r.yaml:2: checkpoint"}.get(
        (node_id, name), ""
    )


def test_a_problem_stands_at_the_line_of_the_recipe_that_gave_the_value() -> None:
    found = problem(with_input("second_pass", "denoise", 1.5), locate=locate)
    assert str(found) == (
        'r.yaml:8: upscale.denoise: node "second_pass" (Second pass, KSampler), input denoise: must be at most 1 (got 1.5)'
    )


def test_a_note_stands_at_the_line_of_the_recipe_that_gave_the_value() -> None:
    known = recorded(CheckpointLoaderSimple=with_options("ckpt_name", [f"sdxl/{CHECKPOINT}"]))
    found = check(parse_workflow(golden()), known, where="template t", locate=locate)
    assert [note.where for note in found.notes] == ["r.yaml:2: checkpoint"]


def test_the_line_of_a_wrong_checkpoint_is_that_of_the_recipe() -> None:
    known = recorded(CheckpointLoaderSimple=with_options("ckpt_name", ["x.safetensors"]))
    found = problem(golden(), known, locate=locate)
    assert found.where == "r.yaml:2: checkpoint"


def test_everything_that_is_wrong_is_told_at_once() -> None:
    data = with_input("second_pass", "denoise", 1.5)
    data["first_pass"]["inputs"].update(steps="x", extra=1, scheduler="x")
    data["prompt"]["inputs"]["clip"] = ["checkpoint", 9]
    data["odd"] = node("Nothing")
    assert len(checked(data).problems) == 5


def test_what_both_passes_have_is_told_once() -> None:
    data = with_input("first_pass", "sampler_name", "nope")
    data["second_pass"]["inputs"]["sampler_name"] = "nope"
    found = problem(data)
    assert found.what == (
        '"nope" is not among the 42 that http://server has '
        '(nodes "first_pass" (First pass, KSampler) and "second_pass" (Second pass, KSampler), input sampler_name)'
    )


def test_what_both_passes_have_of_two_lines_is_told_of_each() -> None:
    data = with_input("first_pass", "denoise", 1.5)
    data["second_pass"]["inputs"]["denoise"] = 1.5
    assert [found.where for found in checked(data, locate=locate).problems] == ["template t", "r.yaml:8: upscale.denoise"]


def test_notes_are_merged_as_problems_are() -> None:
    data = with_input("first_pass", "upload", "image")
    data["second_pass"]["inputs"]["upload"] = "image"
    data |= {"a": node("EmptyLatentImage", width=64, height=64, batch_size=1)}
    data |= {"b": node("EmptyLatentImage", width=64, height=64, batch_size=1)}
    assert notes(data) == [
        'nodes "first_pass" (First pass, KSampler) and "second_pass" (Second pass, KSampler) have no input upload '
        "on http://server, which ignores it",
        'nodes "a" (EmptyLatentImage) and "b" (EmptyLatentImage) lead to no output and are left out',
    ]


def test_a_class_that_is_missing_is_told_once_with_its_nodes() -> None:
    data = with_node(**{str(number): node("Nothing") for number in range(12)})
    named = ", ".join(f'"{number}"' for number in range(8))
    assert problem(data).what == f'nodes {named}, 3 more and "11": http://server has no node class Nothing'


def test_names_and_defaults_are_put_in_together() -> None:
    known = recorded(
        CheckpointLoaderSimple=with_options("ckpt_name", [f"sdxl\\{CHECKPOINT}"]),
        VAELoader=with_options("vae_name", ["vae\\v.safetensors"]),
        LoraLoader=with_options("lora_name", ["style\\ink.safetensors"]),
    )
    seen = values(vae="vae/v.safetensors", loras=["ink.safetensors"])
    data = json.loads(shipped_graph(seen).workflow.to_json())
    del data["first_pass"]["inputs"]["denoise"]
    found = checked(data, known)
    assert found.workflow.nodes["lora_1"].inputs["lora_name"] == "style\\ink.safetensors"
    assert found.workflow.nodes["vae"].inputs["vae_name"] == "vae\\v.safetensors"
    assert found.workflow.nodes["first_pass"].inputs["denoise"] == 1.0
    assert len(found.notes) == 4


# --- what newer servers have


def newer(it: dict[str, Any]) -> None:
    """A node as those of ComfyUI 0.4 and newer: an option brings inputs, and another input grows."""
    formats = [
        {"key": "png", "inputs": {"required": {"bit_depth": ["COMBO", {"options": ["8-bit", "16-bit"]}]}}},
        {"key": "exr", "inputs": {"required": {"half": ["BOOLEAN", {"default": True}]}, "optional": {"q": ["INT", {"max": 9}]}}},
        {
            "key": "scaled",
            "inputs": {"required": {"by": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "edge", "inputs": DEEP}]}]}},
        },
    ]
    grows = {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 3}
    dynamic = {"format": ["COMFY_DYNAMICCOMBO_V3", {"options": formats}], "images": ["COMFY_AUTOGROW_V3", {"template": grows}]}
    it.update(input={"required": dynamic}, output_node=True, python_module="comfy_extras.nodes_new")


DEEP = {"required": {"pixels": ["INT", {"min": 64, "max": 4096}]}}
IMAGE = ["decode_original", 0]


def told(**inputs: Any) -> list[str]:
    """What there is to say of such a node: problems, then notes."""
    found = checked(with_node(new=node("New", **{"images.image0": IMAGE, **inputs})), info(New=newer))
    return [each.what.removeprefix('node "new" (New)') for each in (found.problems or found.notes)]


@pytest.mark.parametrize(
    "inputs",
    [
        {"format": "png", "format.bit_depth": "16-bit"},
        {"format": "exr", "format.half": False},
        {"format": "exr", "format.half": False, "format.q": 9},
        {"format": "scaled", "format.by": "edge", "format.by.pixels": 512},
        {"format": "png", "format.bit_depth": "8-bit", "images.image1": IMAGE, "images.image2": IMAGE},
    ],
)
def test_what_an_option_brings_and_what_grows_is_taken(inputs: dict[str, Any]) -> None:
    assert told(**inputs) == []


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        ({"format": "PNG"}, '"PNG" is not among the 3 that http://server has (node "new" (New), input format)'),
        ({"format": "png"}, ", input format.bit_depth: required by the server, not given"),
        ({"format": "png", "format.bit_depth": "12"}, '"12" is not among the 2 that http://server has'),
        ({"format": "exr", "format.half": 1}, ", input format.half: must be true or false (got 1)"),
        ({"format": "exr", "format.half": True, "format.q": 10}, ", input format.q: must be at most 9 (got 10)"),
        ({"format": "scaled", "format.by": "edge"}, ", input format.by.pixels: required by the server, not given"),
        ({"format": "scaled", "format.by": "edge", "format.by.pixels": 8}, ", input format.by.pixels: must be at least 64 (got 8)"),
        ({}, ", input format: required by the server, not given"),
        (
            {"format": "exr", "format.half": True, "images.image3": IMAGE},
            " has no input images.image3, and would fail because of the link",
        ),
        (
            {"format": "exr", "format.half": True, "images.image1": ["checkpoint", 0]},
            ", input images.image1: needs IMAGE (got MODEL",
        ),
    ],
)
def test_what_an_option_brings_is_checked_as_deeply_as_the_rest(inputs: dict[str, Any], what: str) -> None:
    (found,) = told(**inputs)
    assert what in found


def test_the_first_of_what_grows_is_required() -> None:
    data = with_node(new=node("New", **{"format": "exr", "format.half": True, "images.image1": IMAGE}))
    found = problem(data, info(New=newer))
    assert found.what == 'node "new" (New), input images.image0: required by the server, not given'
    assert found.hint == "link it to a node's IMAGE"


def test_what_grows_is_not_given_as_a_whole() -> None:
    data = with_node(new=node("New", **{"format": "exr", "format.half": True, "images": IMAGE, "images.image0": IMAGE}))
    found = problem(data, info(New=newer))
    assert found.what == 'node "new" (New) has no input images, and would fail because of the link to it'
    assert found.hint == "it grows: write images.image0"


def test_what_the_option_that_is_not_chosen_brings_is_ignored() -> None:
    (found,) = told(**{"format": "exr", "format.half": True, "format.bit_depth": "8-bit"})
    assert found == " has no input format.bit_depth on http://server, which ignores it"


def test_an_input_with_a_default_that_an_option_brings_is_filled_in() -> None:
    found = checked(with_node(new=node("New", **{"images.image0": IMAGE, "format": "exr"})), info(New=newer))
    assert found.workflow.nodes["new"].inputs["format.half"] is True
    assert found.problems == ()


def test_a_link_for_an_option_is_an_error() -> None:
    data = with_node(new=node("New", **{"images.image0": IMAGE, "format": ["prompt", 0]}))
    found = problem(data, info(New=newer))
    assert found.what == 'node "new" (New), input format: must be one of its options, not a link'
    assert found.hint == "known are png, exr, scaled"


@pytest.mark.parametrize("group", ["required", "optional"])
def test_how_many_of_what_grows_are_required_is_said_by_its_template(group: str) -> None:
    template = {"input": {"required": {"image": ["IMAGE", {}]}}, "names": ["a", "b", "c"], "min": 2}
    known = info(Grow=lambda it: it.update(input={group: {"i": ["COMFY_AUTOGROW_V3", {"template": template}]}}, output_node=True))
    assert problem(with_node(new=node("Grow", **{"i.a": IMAGE})), known).what.endswith(
        "input i.b: required by the server, not given"
    )


@pytest.mark.parametrize(
    ("kind", "given"), [("GROUP", {"i.0.x": 0.5}), ("GROUP", {}), ("SLOT", {"i": IMAGE, "i.x": 5}), ("SLOT", {})]
)
def test_what_is_not_known_of_newer_inputs_is_left_to_the_server(kind: str, given: dict[str, Any]) -> None:
    spec = [f"COMFY_DYNAMIC{kind}_V3", {"template": {"required": {"x": ["FLOAT", {}]}}}]
    known = info(New=lambda it: it.update(input={"required": {"i": spec}}, output_node=True))
    assert notes(with_node(new=node("New", **given)), known) == []
    assert checked(with_node(new=node("New", **given)), known).problems == ()


BOX = {"x": 0, "y": 0, "width": 512, "height": 512}


@pytest.mark.parametrize(
    ("spec", "literal"),
    [
        (["BOX", {"default": BOX, "socketless": True}], BOX),
        (["BOX", {"socketless": True}], BOX),
        (["BOX", {"default": "#ffffff"}], "#336699"),
        (["BOX", {"default": BOX}], None),
    ],
)
def test_what_the_page_has_a_control_for_takes_a_literal_though_nodes_give_it(spec: Any, literal: Any) -> None:
    known = info(
        Box=lambda it: it.update(input={"required": {}}, output=["BOX"]),
        New=lambda it: it.update(input={"required": {"i": spec}}, output_node=True),
    )
    given = {} if literal is None else {"i": literal}
    found = checked(with_node(new=node("New", **given)), known)
    assert found.problems == ()
    assert found.workflow.nodes["new"].inputs["i"] == (literal or BOX)
