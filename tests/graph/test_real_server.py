"""The same graphs judged by us and by a real ComfyUI: its object_info, its verdicts, its cache."""

from __future__ import annotations

import io
import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from PIL import Image

from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.websocket_channel import EventSocket, SocketUp
from comfy_runner.engine.comfyui.ws_messages import Ended
from comfy_runner.engine.local import LocalServer
from comfy_runner.engine.reports import CachedNodes
from comfy_runner.errors import WorkflowError
from comfy_runner.graph.conformance import check
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.signature import signatures
from comfy_runner.graph.workflow import Workflow, parse_workflow
from tests.graph.support import RECORDED, node, pixel_hash, shipped_graph, values


class Client:
    """Posts graphs and waits for what becomes of them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.events: queue.Queue[Any] = queue.Queue()
        self.socket = EventSocket(parse_address(url), self.events.put)
        self.client_id = self.next(SocketUp).client_id

    def next(self, kind: type[Any], prompt_id: str = "") -> Any:
        """Return the next event of a kind, and of a prompt if given."""
        while True:
            event = self.events.get(timeout=120)
            if isinstance(event, kind) and prompt_id in ("", getattr(event, "prompt_id", ""), getattr(event, "key", "")):
                return event

    def post(self, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer of posting a graph."""
        answer = requests.post(f"{self.url}/prompt", json={"prompt": data, "client_id": self.client_id}, timeout=60)
        return answer.status_code, answer.json()

    def run(self, data: dict[str, Any]) -> tuple[set[str], dict[str, Any]]:
        """Run a graph that the server must take; return the nodes that it had in its cache, and its history entry."""
        status, answer = self.post(data)
        assert (status, answer.get("node_errors")) == (200, {}), answer
        prompt_id = answer["prompt_id"]
        cached = self.next(CachedNodes, prompt_id)
        self.next(Ended, prompt_id)
        history = requests.get(f"{self.url}/history/{prompt_id}", timeout=60).json()
        return set(cached.nodes), history[prompt_id]


@pytest.fixture(scope="module")
def client(comfyui_server: LocalServer) -> Iterator[Client]:
    found = Client(comfyui_server.url)
    yield found
    found.socket.close()


@pytest.fixture(scope="module")
def raw(comfyui_server: LocalServer) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{comfyui_server.url}/object_info", timeout=60).json()
    return found


@pytest.fixture(scope="module")
def info(raw: dict[str, Any], comfyui_server: LocalServer) -> ObjectInfo:
    return ObjectInfo(raw, source=comfyui_server.url)


def small(**fields: Any) -> Workflow:
    """Return the shipped graph with the small checkpoint, and as little to compute as there can be."""
    upscale = {"factor": 2, "denoise": 1.0, "method": "nearest-exact", **fields.pop("upscale", {})}
    few = {"name": "euler", "scheduler": "normal", "steps": 1, "cfg": 1.0}
    little = {"checkpoint": "tiny-random-sd15.safetensors", "size": {"width": 64, "height": 64}, "sampler": few}
    return shipped_graph(values(**{**little, "upscale": upscale, **fields})).workflow


def renamed(workflow: Workflow) -> Workflow:
    """Return the graph with numbers for ids, other titles, and everything in another order."""
    ids = {old: str(90 - index) for index, old in enumerate(workflow.nodes)}
    data: dict[str, Any] = {}
    for old, known in reversed(workflow.to_api().items()):
        inputs = {
            name: [ids[value[0]], value[1]] if isinstance(value, list) else value
            for name, value in reversed(known["inputs"].items())
        }
        data[ids[old]] = {"class_type": known["class_type"], "inputs": inputs, "_meta": {"title": "x"}}
    return parse_workflow(data)


# --- what it says of its nodes


def test_every_node_of_the_server_is_understood(raw: dict[str, Any], info: ObjectInfo) -> None:
    assert len(info.classes) > 400
    for name, data in raw.items():
        known = info.get(name)
        assert known is not None
        announced = {**data["input"].get("required", {}), **data["input"].get("optional", {})}
        assert known.inputs.keys() == announced.keys()
        assert len(known.outputs) == len(data["output"])
        assert known.is_output == data["output_node"]
        for input_name, spec in announced.items():
            options = spec[0] if isinstance(spec[0], list) else spec[1].get("options") if len(spec) > 1 else None
            assert known.inputs[input_name].options == (None if options is None else tuple(options))


def test_all_nodes_of_the_managed_server_are_core_nodes_but_one(info: ObjectInfo) -> None:
    others = [name for name in info.classes if (known := info.get(name)) and not known.is_core]
    assert others == ["SaveImageWebsocket"]


def test_the_defaults_that_the_server_announces_pass_the_check(info: ObjectInfo) -> None:
    data = {}
    for name in info.classes:
        known = info.get(name)
        assert known is not None
        data[name] = node(
            name, **{key: it.default for key, it in known.inputs.items() if it.has_default and it.types != {"FLOATS"}}
        )
    problems = [problem.what for problem in check(parse_workflow(data), info, where="here").problems]
    assert problems
    assert [what for what in problems if not what.endswith("required by the server, not given")] == []


def test_the_recorded_object_info_is_what_the_server_says(raw: dict[str, Any]) -> None:
    # If this fails for a new engine, record these classes anew.
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    found = {name: raw[name] for name in recorded}
    for data in (recorded, found):
        data["LoadImage"]["input"]["required"]["image"][0] = []  # what other tests have left in its input folder
        for loader, name in (("VAELoader", "vae_name"), ("LoraLoader", "lora_name")):
            listed = data[loader]["input"]["required"][name]
            listed[0] = [model for model in listed[0] if not model.startswith("tiny-random-")]  # made for the local engine
    assert found == recorded


# --- what it takes and what it refuses


def test_the_server_takes_the_shipped_graph_as_it_is_and_makes_both_pictures(client: Client, info: ObjectInfo) -> None:
    checked = check(small(), info, where="template")
    assert checked.notes == ()
    _, history = client.run(checked.workflow.to_api())
    assert history["status"]["status_str"] == "success"
    saved = {node_id: [image["type"] for image in output["images"]] for node_id, output in history["outputs"].items()}
    assert saved == {"save_original": ["output"], "save_upscaled": ["output"]}


def test_the_server_takes_hostile_texts(client: Client, info: ObjectInfo) -> None:
    text = 'He said "hi" \\ {{ 7*7 }} {% raw %}\n\u2028 😀 \ud800 (a:1.2) embedding:none %date%'
    checked = check(small(prompt="x", negative_prompt=""), info, where="template")
    workflow = checked.workflow.with_inputs({("prompt", "text"): text})
    _, history = client.run(workflow.to_api())
    assert history["status"]["status_str"] == "success"


def test_the_server_takes_a_graph_that_the_check_has_completed(client: Client, info: ObjectInfo) -> None:
    data = small().to_api()
    for name in ("denoise", "cfg"):
        del data["second_pass"]["inputs"][name]
    assert client.post(data)[1]["node_errors"] != {}
    client.run(check(parse_workflow(data), info, where="template").workflow.to_api())


def test_the_server_takes_a_graph_that_the_check_has_pruned_and_renamed(client: Client, info: ObjectInfo) -> None:
    data = small(checkpoint="some/where/TINY-random-sd15.safetensors").to_api()
    data["loose"] = node("LatentUpscaleBy", samples=["first_pass", 0], upscale_method="area", scale_by=1.5)
    checked = check(parse_workflow(data), info, where="template")
    assert len(checked.notes) == 2
    client.run(checked.workflow.to_api())


def refused_by_us(data: dict[str, Any], info: ObjectInfo) -> bool:
    try:
        return bool(check(parse_workflow(data), info, where="template").problems)
    except WorkflowError:  # it is no graph at all
        return True


def with_input(node_id: str, name: str, value: Any) -> dict[str, Any]:
    data = small().to_api()
    data[node_id]["inputs"][name] = value
    return data


def without(node_id: str, name: str) -> dict[str, Any]:
    data = small().to_api()
    del data[node_id]["inputs"][name]
    return data


def with_class(node_id: str, class_type: str) -> dict[str, Any]:
    data = small().to_api()
    data[node_id]["class_type"] = class_type
    return data


FIRST_PASS_BROKEN = {  # what the first pass needs, both outputs need
    "an unknown class": with_class("first_pass", "KSamplr"),
    "a checkpoint that is not there": with_input("checkpoint", "ckpt_name", "none.safetensors"),
    "an unknown sampler": with_input("first_pass", "sampler_name", "nope"),
    "no steps": with_input("first_pass", "steps", 0),
    "too many steps": with_input("first_pass", "steps", 10_001),
    "a seed of 65 bits": with_input("first_pass", "seed", 2**64),
    "a negative seed": with_input("first_pass", "seed", -1),
    "denoise above 1": with_input("first_pass", "denoise", 1.01),
    "a text for a number": with_input("first_pass", "cfg", "high"),
    "null for a number": with_input("first_pass", "cfg", None),
    "a number too large for a float": with_input("first_pass", "cfg", 10**400),
    "a link of another type": with_input("first_pass", "model", ["checkpoint", 1]),
    "an output that is not there": with_input("first_pass", "model", ["checkpoint", 3]),
    "a node that is not there": with_input("first_pass", "model", ["nowhere", 0]),
    "an id that is a number": with_input("first_pass", "model", [1, 0]),
    "a list for a number": with_input("first_pass", "steps", [1, 2, 3]),
    "a missing link": without("first_pass", "latent_image"),
    "a missing enum": without("first_pass", "scheduler"),
    "a node that links to itself": with_input("first_pass", "latent_image", ["first_pass", 0]),
    "a cycle": with_input("first_pass", "latent_image", ["upscale", 0]),
    "no class": {**small().to_api(), "x": {"inputs": {}}},
    "an unknown class that nothing needs": {**small().to_api(), "x": node("Nothing")},
    "not an output node": {"empty": node("EmptyLatentImage", width=64, height=64, batch_size=1)},
}


@pytest.mark.parametrize("data", FIRST_PASS_BROKEN.values(), ids=FIRST_PASS_BROKEN)
def test_what_the_server_refuses_is_refused_before_it_gets_there(data: dict[str, Any], client: Client, info: ObjectInfo) -> None:
    assert refused_by_us(data, info)
    status, answer = client.post(data)
    assert status == 400
    assert "error" in answer


SECOND_PASS_BROKEN = {
    "denoise above 1": with_input("second_pass", "denoise", 1.01),
    "an unknown scheduler": with_input("second_pass", "scheduler", "nope"),
    "a missing link": without("second_pass", "latent_image"),
    "an unknown method": with_input("upscale", "upscale_method", "nope"),
}


@pytest.mark.parametrize("data", SECOND_PASS_BROKEN.values(), ids=SECOND_PASS_BROKEN)
def test_a_graph_of_which_the_server_would_silently_run_only_the_first_pass_is_refused(
    data: dict[str, Any], client: Client, info: ObjectInfo
) -> None:
    assert refused_by_us(data, info)
    status, answer = client.post(data)
    assert status == 200
    assert answer["node_errors"] != {}
    client.next(Ended, answer["prompt_id"])


def quick(node_id: str, name: str, value: Any) -> dict[str, Any]:
    """Return the first pass alone, with one input changed: these graphs run."""
    workflow = small()
    first = workflow.keep(workflow.ancestors(["save_original"]))
    return {**first.to_api(), node_id: with_input(node_id, name, value)[node_id]}


SILENT = {
    "a text for a whole number": quick("first_pass", "steps", "1"),
    "a fraction for a whole number": quick("first_pass", "steps", 1.9),
    "true for a whole number": quick("first_pass", "steps", True),
    "a text for a number": quick("first_pass", "cfg", "1.0"),
    "a number for a text": quick("prompt", "text", 5),
    "null for a text": quick("prompt", "text", None),
    "an output index that is negative": quick("first_pass", "model", ["checkpoint", -3]),
}


@pytest.mark.parametrize("data", SILENT.values(), ids=SILENT)
def test_what_the_server_silently_takes_for_something_else_is_refused(
    data: dict[str, Any], client: Client, info: ObjectInfo
) -> None:
    assert refused_by_us(data, info)
    client.run(data)


@pytest.mark.parametrize(
    ("node_id", "name", "value"),
    [
        ("first_pass", "denoize", 0.5),
        ("save_original", "extra_pnginfo", {}),
        # What exports have for ComfyUI's page alone.
        ("first_pass", "control_after_generate", "randomize"),
        ("prompt", "speak_and_recognation", {"__value__": [False, True]}),
        ("checkpoint", "upload", "image"),
        ("checkpoint", "choose file to upload", "image"),
        ("decode_original", "audioUI", ""),
        ("save_original", "video-preview", None),
        ("save_original", "image", ""),
    ],
)
def test_an_input_that_the_server_ignores_is_noted(node_id: str, name: str, value: Any, client: Client, info: ObjectInfo) -> None:
    data = quick(node_id, name, value)
    checked = check(parse_workflow(data), info, where="template")
    assert (checked.problems, [note.level for note in checked.notes]) == ((), ["warning"])
    assert name in checked.notes[0].what
    client.run(data)


def test_an_option_that_the_server_finds_wrong_only_while_running_is_refused(client: Client, info: ObjectInfo) -> None:
    scaled = node("ImageScaleToTotalPixels", image=["decode_original", 0], upscale_method="nope", megapixels=0.01)
    data = {**small().to_api(), "scaled": scaled, "show": node("PreviewImage", images=["scaled", 0])}
    assert refused_by_us(data, info)
    _, history = client.run(data)
    assert history["status"]["status_str"] == "error"


# --- its cache


def test_the_server_s_cache_knows_a_graph_under_other_names(client: Client) -> None:
    workflow = small(prompt="the same under other names")
    client.run(workflow.to_api())
    other = renamed(workflow)
    assert sorted(signatures(other).values()) == sorted(signatures(workflow).values())
    cached, _ = client.run(other.to_api())
    assert cached == set(other.nodes)


VARIED: list[dict[str, Any]] = [
    {"upscale": {"denoise": 0.5}},
    {"upscale": {"method": "area"}},
    {"upscale": {"seed": 7}},
    {"seed": 7},
    {"prompt": "another"},
    {"size": {"width": 72, "height": 64}},
    {"clip_skip": 2},
]


def test_the_server_s_cache_holds_exactly_the_nodes_whose_signatures_are_equal(client: Client) -> None:
    before = small()
    client.run(before.to_api())
    for fields in VARIED:
        after = small(**fields)
        known = set(signatures(before).values())
        expected = {node_id for node_id, signature in signatures(after).items() if signature in known}
        assert 0 < len(expected) < len(after.nodes)
        cached, _ = client.run(after.to_api())
        assert cached == expected
        before = after


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"method": "area", "denoise": 0.5}, {"method": "nearest-exact", "denoise": 0.5}),
        ({"method": "nearest-exact", "denoise": 0.5}, {"method": "nearest-exact", "denoise": 0.48}),
        ({"method": "nearest-exact", "denoise": 0.97}, {"method": "area", "denoise": 0.98}),
    ],
)
def test_graphs_that_show_the_same_by_our_hash_are_the_same_picture(
    client: Client, one: dict[str, Any], other: dict[str, Any]
) -> None:
    few = {"name": "euler", "scheduler": "normal", "steps": 10, "cfg": 1.0}
    workflows = [small(sampler=few, upscale=upscale) for upscale in (one, other)]
    assert pixel_hash(workflows[0]) == pixel_hash(workflows[1])

    first, second = (pixels_of(client, workflow) for workflow in workflows)
    assert first == second
    assert first != pixels_of(client, small(sampler=few, upscale={"method": "bilinear", "denoise": 0.6}))


def pixels_of(client: Client, workflow: Workflow) -> bytes:
    """Run a graph and return the pixels of its upscaled picture."""
    _, entry = client.run(workflow.to_api())
    (image,) = entry["outputs"]["save_upscaled"]["images"]
    answer = requests.get(f"{client.url}/view", params=image, timeout=60)
    return Image.open(io.BytesIO(answer.content)).tobytes()
