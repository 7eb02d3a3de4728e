"""The stand-in answers as a real ComfyUI does: the same questions to both, and the answers compared word for word.

Without this, tests on the stand-in would only show that two things of ours agree.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from comfy_runner.engine.local import LocalServer
from tests.engine.comfyui.support import CHECKPOINT, plain_graph, sampler_graph
from tests.engine.comfyui.truth import Pair, changed, connect, frames_of, heard, wait_until_idle, without
from tests.standin import EARLY_2024, HELD, StandIn, State


@pytest.fixture
def pair(comfyui_server: LocalServer) -> Iterator[Pair]:
    # The real one has one checkpoint, and a list of models is a part of complaints.
    models = {"checkpoints": [CHECKPOINT], "vae": ["pixel_space"], "loras": []}
    with StandIn(State(models=models)) as standin:
        yield standin.url, comfyui_server.url


GRAPH = sampler_graph("standin-is-true")
BAD: dict[str, Any] = {
    "nothing at all": {},
    "the bare graph": GRAPH,
    "an empty graph": {"prompt": {}},
    "no output": {"prompt": {"latent": GRAPH["latent"]}},
    "no class_type": {"prompt": {**GRAPH, "x": {"inputs": {}}}},
    "unknown class": {"prompt": {**GRAPH, "x": {"class_type": "Nope", "inputs": {}}}},
    "missing input": {"prompt": without(GRAPH, "save", "images")},
    "too small": {"prompt": changed(GRAPH, "latent", width=0)},
    "too big": {"prompt": changed(GRAPH, "first", denoise=1.5)},
    "seed above 64 bits": {"prompt": changed(GRAPH, "first", seed=2**64)},
    "not a number": {"prompt": changed(GRAPH, "latent", width="abc")},
    "not in a short list": {"prompt": changed(GRAPH, "checkpoint", ckpt_name="SDXL\\b.safetensors")},
    "not in a long list": {"prompt": changed(GRAPH, "first", sampler_name="Euler a")},
    "a list that is no link": {"prompt": changed(GRAPH, "latent", width=[1, 2, 3])},
    "a link to nowhere": {"prompt": changed(GRAPH, "decode", samples=["77", 0])},
    "a link of another type": {"prompt": changed(GRAPH, "decode", vae=["latent", 0])},
    "a link to no output": {"prompt": changed(GRAPH, "decode", samples=["first", 9])},
    "an output without inputs": {"prompt": {"save": {"class_type": "SaveImage"}}},
}


def essence(answer: requests.Response) -> Any:
    """The parts of an answer that a client reads; further details are not imitated."""
    found = answer.json()
    errors, dependents = {}, {}
    for node, value in found.get("node_errors", {}).items():
        told = [
            (error["type"], error["message"], error["details"], error["extra_info"].get("input_name")) for error in value["errors"]
        ]
        errors[node] = (value["class_type"], sorted(told))
        dependents[node] = sorted(value["dependent_outputs"])
    error = found.get("error")
    return answer.status_code, error and (error["type"], error["message"]), errors, dependents


@pytest.mark.parametrize("body", BAD.values(), ids=list(BAD))
def test_a_bad_workflow_gets_the_same_answer(pair: Pair, body: Any) -> None:
    imitated, real = (essence(requests.post(f"{url}/prompt", json=body, timeout=HELD)) for url in pair)
    assert imitated == real
    for url in pair:
        wait_until_idle(url)


@pytest.mark.parametrize("data", ["not json", "3", "[]", '{"prompt": []}', '{"prompt": [1]}', '{"prompt": {"nodes": []}}'])
def test_a_body_that_is_none_gets_the_same_answer(pair: Pair, data: str) -> None:
    imitated, real = (requests.post(f"{url}/prompt", data=data, timeout=HELD).status_code for url in pair)
    assert imitated == real


@pytest.mark.parametrize(
    "path",
    [
        "/prompt",
        "/queue",
        "/history/unknown",
        "/history?max_items=0",
        "/history?max_items=x",
        "/object_info/NoSuchNode",
        "/object_info/SaveImage",
        "/models/nothing",
        "/models/checkpoints",
        "/api/queue",
        "/features",
        "/view",
        "/view?filename=no.png",
        "/view?filename=/etc/passwd",
        "/view?filename=a..b.png",
        "/view?filename=no.png&type=odd",
        "/view?filename=no.png&subfolder=../..",
        "/api/jobs",
        "/no/such/route",
    ],
)
def test_a_route_gets_the_same_answer(pair: Pair, path: str) -> None:
    imitated, real = (requests.get(url + path, timeout=HELD) for url in pair)
    assert imitated.status_code == real.status_code
    if real.headers.get("Content-Type", "").startswith("application/json"):
        assert imitated.json() == real.json()


def test_the_frames_of_a_run_are_the_same(pair: Pair) -> None:
    graph = plain_graph(f"standin-is-true/{uuid.uuid4().hex}")
    for url in pair:
        frames_of(url, plain_graph(color=0x123456))
    imitated, real = (frames_of(url, graph) for url in pair)
    assert imitated == real


def test_the_frames_of_a_run_that_is_cached_as_a_whole_are_the_same(pair: Pair) -> None:
    graph = plain_graph(f"standin-is-true/{uuid.uuid4().hex}")
    for url in pair:
        frames_of(url, graph)
    imitated, real = (frames_of(url, graph) for url in pair)
    assert imitated == real


def test_the_nodes_of_two_passes_run_in_the_same_order(pair: Pair) -> None:
    graph = sampler_graph(f"standin-is-true/{uuid.uuid4().hex}", steps=2)
    for url in pair:
        frames_of(url, plain_graph())
    kinds = ("executing", "executed", "progress", "execution_cached", "execution_success")
    imitated, real = ([frame for frame in frames_of(url, graph) if frame[0] in kinds] for url in pair)
    saved = imitated.index(("executed", "save"))
    assert saved == real.index(("executed", "save"))
    assert imitated[saved:] == real[saved:]
    assert sorted(map(str, imitated)) == sorted(map(str, real))


def test_the_history_of_a_run_is_the_same(pair: Pair) -> None:
    name = f"standin-is-true/{uuid.uuid4().hex}"
    entries = []
    for url in pair:
        prompt_id = str(uuid.uuid4())
        requests.post(f"{url}/prompt", json={"prompt": plain_graph(name), "client_id": "me", "prompt_id": prompt_id}, timeout=HELD)
        while not (answer := requests.get(f"{url}/history/{prompt_id}", timeout=HELD).json()):
            pass
        entry = answer[prompt_id]
        status = entry["status"]
        messages = [kind for kind, _ in status["messages"]]
        entries.append((set(entry), entry["outputs"], entry["prompt"][2], entry["prompt"][4], status["status_str"], messages))
    assert entries[0] == entries[1]


def test_a_size_that_is_no_multiple_of_eight_is_cut_the_same_way(pair: Pair) -> None:
    name = f"standin-is-true/{uuid.uuid4().hex}"
    graph = changed(changed(sampler_graph(name), "latent", width=77, height=90), "upscale", width=0, height=150)
    sizes = []
    for url in pair:
        frames_of(url, graph)
        for role in ("original", "upscaled"):
            stem = name.rpartition("/")[2]
            query = {"filename": f"{stem}-{role}_00001_.png", "subfolder": "standin-is-true"}
            header = requests.get(f"{url}/view", params=query, timeout=HELD).content[16:24]
            sizes.append((role, header))
    assert sizes[:2] == sizes[2:]


def test_a_second_socket_of_one_client_goes_deaf_when_the_first_is_closed(pair: Pair) -> None:
    for url in pair:
        client_id = uuid.uuid4().hex
        first, second = connect(url, client_id), connect(url, client_id)
        frames_of(url, plain_graph())
        assert "status" in heard(second)
        first.close()
        heard(second)
        # What everybody is told of another prompt does not reach it any more.
        frames_of(url, plain_graph())
        assert heard(second) == []
        second.close()


def test_freeing_the_memory_makes_an_identical_prompt_run_again(pair: Pair) -> None:
    graph = plain_graph(f"standin-is-true/{uuid.uuid4().hex}")
    for url in pair:
        frames_of(url, graph)
        requests.post(f"{url}/free", json={"unload_models": False, "free_memory": True}, timeout=HELD)
        while ("execution_cached", []) not in (frames := frames_of(url, graph)):
            requests.post(f"{url}/free", json={"free_memory": True}, timeout=HELD)
        assert ("executing", "save") in frames


def test_a_prompt_without_a_client_id_has_no_cached_outputs(pair: Pair) -> None:
    graph = plain_graph(f"standin-is-true/{uuid.uuid4().hex}")
    for url in pair:
        frames_of(url, graph)
        prompt_id = str(uuid.uuid4())
        requests.post(f"{url}/prompt", json={"prompt": graph, "prompt_id": prompt_id}, timeout=HELD)
        while not (answer := requests.get(f"{url}/history/{prompt_id}", timeout=HELD).json()):
            pass
        assert answer[prompt_id]["outputs"] == {}


def test_an_upload_gets_the_same_name(pair: Pair) -> None:
    name = f"{uuid.uuid4().hex}.png"
    found = []
    for url in pair:
        files = [{"image": (name, data)} for data in (b"one", b"two", b"one")]
        found.append([requests.post(f"{url}/upload/image", files=file, timeout=HELD).json() for file in files])
    assert found[0] == found[1]


# Early 2024


@pytest.fixture
def old_pair(early_2024_server: LocalServer) -> Iterator[Pair]:
    with StandIn(State(generation=EARLY_2024)) as standin:
        yield standin.url, early_2024_server.url


def test_the_frames_of_a_run_of_early_2024_are_the_same(old_pair: Pair) -> None:
    graph = plain_graph(f"standin-is-true/{uuid.uuid4().hex}")
    for url in old_pair:
        frames_of(url, plain_graph(color=0x123456))
    # The second time everything is cached.
    for _ in range(2):
        imitated, real = (frames_of(url, graph) for url in old_pair)
        assert imitated == real


def test_an_unknown_class_gets_the_same_answer_from_early_2024(old_pair: Pair) -> None:
    body = {"prompt": {**plain_graph(), "odd": {"class_type": "NoSuchNode", "inputs": {}}}}
    imitated, real = (requests.post(f"{url}/prompt", json=body, timeout=HELD).status_code for url in old_pair)
    assert imitated == real == 500


def test_early_2024_chooses_the_prompt_id_and_writes_the_same_history(old_pair: Pair) -> None:
    found = []
    for url in old_pair:
        body = {"prompt": plain_graph(), "client_id": "me", "prompt_id": str(uuid.uuid4())}
        prompt_id = requests.post(f"{url}/prompt", json=body, timeout=HELD).json()["prompt_id"]
        assert prompt_id != body["prompt_id"]
        while not (answer := requests.get(f"{url}/history/{prompt_id}", timeout=HELD).json()):
            pass
        entry = answer[prompt_id]
        messages = [(kind, set(data)) for kind, data in entry["status"]["messages"]]
        found.append((set(entry), entry["prompt"][3:], entry["status"]["status_str"], messages))
    assert found[0] == found[1]


@pytest.mark.parametrize("path", ["/models", "/features", "/api/jobs", "/queue", "/history?max_items=1&x=1", "/api/queue"])
def test_early_2024_has_the_same_routes(old_pair: Pair, path: str) -> None:
    imitated, real = (requests.get(url + path, timeout=HELD).status_code for url in old_pair)
    assert imitated == real


def test_early_2024_does_not_say_its_version(old_pair: Pair) -> None:
    for url in old_pair:
        assert "comfyui_version" not in requests.get(f"{url}/system_stats", timeout=HELD).json()["system"]


def _put(url: str, name: str, data: bytes, **fields: str) -> Any:
    answer = requests.post(f"{url}/upload/image", files={"image": (name, data)}, data=fields, timeout=HELD)
    return answer.status_code, answer.json() if answer.status_code == 200 else None


def test_uploads_get_the_same_answers(pair: Pair) -> None:
    def talk(url: str) -> list[Any]:
        before = requests.head(f"{url}/view?filename=a.png&type=input&subfolder=standin", timeout=HELD)
        said = [
            _put(url, "a.png", b"one", subfolder="standin", type="input", overwrite="true"),
            _put(url, "a.png", b"two2", subfolder="standin", type="input", overwrite="true"),
            _put(url, "a.png", b"two2", subfolder="standin"),
            _put(url, "a.png", b"three", subfolder="standin"),
            _put(url, "a.png", b"x", subfolder="../.."),
            _put(url, "../../../a.png", b"x"),
            _put(url, "a.png", b"x", type="odd"),
            requests.post(f"{url}/upload/image", data={"image": "text"}, timeout=HELD).status_code,
        ]
        after = requests.head(f"{url}/view?filename=a.png&type=input&subfolder=standin", timeout=HELD)
        return [before.status_code, *said, after.status_code, after.headers.get("Content-Length")]

    imitated, real = map(talk, pair)
    assert imitated == real


@pytest.mark.parametrize("name", ["no/such.png", "no.png"])
def test_a_picture_that_was_not_uploaded_is_refused_with_the_same_words(pair: Pair, name: str) -> None:
    graph = {
        "load": {"class_type": "LoadImage", "inputs": {"image": name}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["load", 0], "filename_prefix": "x"}},
    }
    imitated, real = (essence(requests.post(f"{url}/prompt", json={"prompt": graph}, timeout=HELD)) for url in pair)
    assert imitated == real
