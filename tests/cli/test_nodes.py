"""``comfy-runner nodes``: the classes of a server, what one of them is, an object for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.cli.nodes import describe, node_record
from comfy_runner.graph.object_info import NodeInfo, ObjectInfo
from tests.cli.support import Typed
from tests.hostile.values import TEXTS, seeded, spoiled, tree
from tests.standin import EARLY_2024, V0_3_40, V0_3_75, V0_38, Generation, StandIn, State

Cli = Callable[..., Typed]

_RECORDED = Path(__file__).parents[1] / "data" / "object_info.json"
_PAGE = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")


def _node(**raw: Any) -> NodeInfo:
    found = ObjectInfo({"X": {"input": {}, **raw}}, source="x").get("X")
    assert found is not None
    return found


def _input(spec: Any, *, group: str = "required") -> str:
    """Return the line about one input, without its name."""
    lines = list(describe(_node(input={group: {"i": spec}})))
    return " ".join(" ".join(lines[lines.index("inputs") + 1 :]).split()).removeprefix("i ")


@pytest.mark.parametrize(
    "generation", [EARLY_2024, V0_3_40, V0_3_75, V0_38], ids=lambda generation: generation.version or "early 2024"
)
def test_classes_are_one_per_line_in_the_order_of_the_alphabet(cli: Cli, generation: Generation) -> None:
    with StandIn(State(generation=generation)) as server:
        done = cli("nodes", "--server", server.url)

    names = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert names == sorted(names, key=str.casefold)
    assert {"KSampler", "SaveImage", "LatentUpscaleBy"} < set(names)


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("latentupscale", ["LatentUpscale", "LatentUpscaleBy"]),
        ("load lora", ["LoraLoader"]),
        ("mask", ["LoadImage"]),
        ("utils/primitive", ["PrimitiveFloat", "PrimitiveInt"]),
    ],
)
def test_a_search_shows_those_that_fit(cli: Cli, text: str, classes: list[str]) -> None:
    assert cli("nodes", "--search", text, "--object-info", str(_RECORDED)) == Typed(0, "\n".join([*classes, ""]), "")


def test_a_search_that_finds_nothing_says_so(cli: Cli, server: StandIn) -> None:
    assert cli("nodes", "--search", "webcam", "--server", server.url) == Typed(0, "", "no node class matches webcam\n")


def test_a_class_is_shown_with_all_that_the_server_says_of_it(cli: Cli) -> None:
    done = cli("nodes", "LatentUpscaleBy", "--object-info", str(_RECORDED))

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "LatentUpscaleBy",
        "  title     Upscale Latent By",
        "  category  latent",
        "  module    nodes",
        "  output    no",
        "inputs",
        "  samples         LATENT, required",
        "  upscale_method  COMBO, required; 5 options: nearest-exact, bilinear, area,",
        "                  bicubic, bislerp",
        "  scale_by        FLOAT, required; 0.01..8 step 0.01; default 1.5",
        "outputs",
        "  LATENT  LATENT",
    ]


def test_the_page_shows_what_the_command_prints(cli: Cli) -> None:
    shown = re.findall(r"\$ comfy-runner nodes LatentUpscaleBy .*\n((?:    .*\n)+)", _PAGE)

    lines = [line.removeprefix("    ") for line in shown[0].splitlines()]
    assert lines == cli("nodes", "LatentUpscaleBy", "--object-info", str(_RECORDED)).out.splitlines()


def test_what_people_should_know_is_shown(cli: Cli, server: StandIn) -> None:
    sampler, save = (cli("nodes", name, "--server", server.url).out for name in ("KSampler", "SaveImage"))

    assert "  Uses the provided model, positive and negative conditioning to denoise the\n  latent image.\n" in sampler
    assert "  cfg           FLOAT, required; 0..100 step 0.1; default 8\n                The Classifier-Free Guidance" in sampler
    assert "42 options: euler, euler_cfg_pp," in sampler
    assert "… and 34 more" in sampler
    assert "  seed          INT, required; 0..18446744073709551615; default 0\n" in sampler
    assert "  output    yes, a workflow can end in it\n" in save
    assert '  filename_prefix  STRING, required; default "ComfyUI"\n' in save
    assert "  marked    deprecated, api_node" in list(describe(_node(deprecated=True, api_node=True)))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (["MODEL"], "MODEL, required"),
        (["INT,FLOAT", {"min": 1}], "INT,FLOAT, required; 1.."),
        (["INT", {"max": -1, "default": 0}], "INT, required; ..-1; default 0"),
        (["FLOAT", {"min": -1e20, "max": 0.5, "step": 1e-3}], "FLOAT, required; -1e+20..0.5 step 0.001"),
        (["BOOLEAN", {"default": True}], "BOOLEAN, required; default true"),
        (["STRING", {"default": "a\nb"}], 'STRING, required; default "a\\nb"'),
        ([["a", "b"], {"default": "b"}], "COMBO, required; default b; 2 options: a, b"),
        ([["a"]], "COMBO, required; 1 option: a"),
        ([[]], "COMBO, required; 0 options"),
        ([[1, 0.5, True, None, "x"]], "COMBO, required; 5 options: 1, 0.5, true, null, x"),
        (["COMBO", {"options": list("abcdefghi")}], "COMBO, required; 9 options: a, b, c, d, e, f, g, h, i"),
        (["COMBO", {"options": list("abcdefghij")}], "COMBO, required; 10 options: a, b, c, d, e, f, g, h … and 2 more"),
        (["COMBO", {"remote": {}}], "COMBO, required"),
        (["*", {"tooltip": "All\n  that is"}], "*, required All that is"),
    ],
)
def test_an_input_is_a_line(spec: Any, words: str) -> None:
    assert _input(spec) == words


def test_an_optional_input_is_told_from_a_required_one() -> None:
    assert _input(["MASK"], group="optional") == "MASK, optional"


def test_outputs_have_their_names_and_types() -> None:
    lines = list(describe(_node(output=["CONDITIONING", "LATENT"], output_name=["positive", "latent"])))

    assert lines[lines.index("outputs") :] == ["outputs", "  positive  CONDITIONING", "  latent    LATENT"]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("Ksampler", "did you mean KSampler?"),
        ("LatentUpscalBy", "did you mean LatentUpscaleBy or LatentUpscale?"),
        ("load checkpoint", "did you mean CheckpointLoaderSimple?"),
    ],
)
def test_an_unknown_class_is_one_error_with_the_nearest(cli: Cli, server: StandIn, given: str, hint: str) -> None:
    done = cli("nodes", given, "--server", server.url)

    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {server.url}: has no such node class (got {given})\nhint: {hint}\n"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--server", "http://127.0.0.1:9"), 3, "nobody answers"),
        (("--server", "http://x", "--object-info", "x.json"), 2, "cannot be used together"),
        (("KSampler", "--search", "x"), 2, "cannot be used together"),
        (("--object-info", "nowhere.json"), 2, "no such file"),
    ],
)
def test_a_mistake_has_its_exit_code(cli: Cli, args: tuple[str, ...], code: int, words: str) -> None:
    done = cli("nodes", *args)

    assert (done.code, done.out) == (code, "")
    assert words in done.err


# JSON


def test_json_leaves_nothing_out(cli: Cli, server: StandIn) -> None:
    done = cli("nodes", "KSampler", "--server", server.url, "--json")

    found = json.loads(done.out)
    (node,) = found["nodes"]
    inputs = {known["name"]: known for known in node["inputs"]}
    assert (done.code, found["v"], set(found)) == (0, 1, {"v", "nodes"})
    assert (node["class_type"], node["display_name"], node["is_output"]) == ("KSampler", "KSampler", False)
    assert len(inputs["sampler_name"]["options"]) == 42
    facts = {"type": "FLOAT", "required": True, "min": 0.0, "max": 100.0, "step": 0.1, "default": 8.0, "options": None}
    assert facts.items() <= inputs["cfg"].items()
    assert node["outputs"] == [{"name": "LATENT", "type": "LATENT"}]


def test_json_of_a_search_is_of_the_same_form(cli: Cli, server: StandIn) -> None:
    found = json.loads(cli("nodes", "--search", "load lora", "--server", server.url, "--json").out)

    (alone,) = json.loads(cli("nodes", "LoraLoader", "--server", server.url, "--json").out)["nodes"]
    assert found["nodes"] == [alone]


def test_every_key_is_documented() -> None:
    section = _PAGE.split("## What a server has")[1].split("\n## ")[0]
    record = node_record(_node(input={"required": {"i": ["INT"]}}, output=["A"]))

    keys = {*record, *record["inputs"][0], *record["outputs"][0]}
    assert [key for key in keys if f"`{key}`" not in section] == []


def test_json_of_a_command_that_fails_is_an_error(cli: Cli, server: StandIn) -> None:
    done = cli("nodes", "zzz", "--server", server.url, "--json")

    record = json.loads(done.out)
    assert (done.code, record["event"], record["code"]) == (2, "error", "usage")


# Hostile nodes


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_words_neither_steer_the_terminal_nor_fill_it(cli: Cli, tmp_path: Path, text: str) -> None:
    inputs = {text: [text, {"default": text, "tooltip": text}], "o": [[text] * 100]}
    words = dict.fromkeys(("display_name", "category", "description", "python_module"), text)
    raw = {"input": {"required": inputs}, "output": [text], "output_name": [text], **words}
    (tmp_path / "info.json").write_text(json.dumps({"X": raw, text: raw}), encoding="utf-8")

    told, listed, said = (cli("nodes", *args, "--object-info", "info.json") for args in (("X",), (), ("--search", "o", "--json")))

    for done in (told, listed, said):
        assert done.code == 0
        assert all(char.isprintable() or char == "\n" for char in done.out)
    assert len(told.out) < 9000
    assert len(listed.out.splitlines()) <= 2


def test_whatever_a_server_says_of_a_node_can_be_shown() -> None:
    sound = json.loads(_RECORDED.read_text(encoding="utf-8"))
    keys = ["input", "required", "optional", "output", "output_name", "min", "max", "step", "default", "options", "tooltip"]
    for seed in range(300):
        with seeded(seed) as dice:
            name = dice.choice(list(sound))
            raw = spoiled(dice, sound[name], keys) if seed % 3 else {"input": tree(dice, keys), "output": tree(dice, keys)}
            node = ObjectInfo({name: raw, "Y": {"input": {}}}, source="x").get(name)
            if node is not None:
                assert not any("\n" in line for line in describe(node))
                json.loads(json.dumps(node_record(node), allow_nan=False))


def test_a_default_nested_deeply_is_cut_off() -> None:
    value: Any = 1
    for _ in range(500):
        value = [value]

    node = _node(input={"required": {"i": ["X", {"default": value}]}})

    assert any("default [[[[[[[[[]" in line for line in describe(node))
    assert json.dumps(node_record(node)).count("[") < 20
