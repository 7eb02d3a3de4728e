"""The stand-in does the same work as a real ComfyUI: what runs and what is cached, in which mode, what a restart leaves.

What is counted on the stand-in stands for what a GPU would have to do, so it must be what a real server does.
"""

from __future__ import annotations

import hashlib
import io
import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from PIL import Image

from comfy_runner.engine.local import LocalOptions, LocalServer, start, stop
from tests.engine.comfyui.support import CHECKPOINT, plain_graph, sampler_graph
from tests.engine.comfyui.truth import Graph, Pair, changed, frames_of, history_of, ran
from tests.standin import HELD, StandIn, State, Work

say = logging.getLogger("tests.engine.local").info

MODELS = {"checkpoints": [CHECKPOINT], "vae": ["pixel_space"], "loras": []}


@pytest.fixture
def pair(comfyui_server: LocalServer) -> Iterator[Pair]:
    with StandIn(State(models=MODELS)) as standin:
        # The real one is shared, and its cache holds what the last prompt used.
        ran(comfyui_server.url, plain_graph())
        yield standin.url, comfyui_server.url


@pytest.fixture
def forgetful(server_without_cache: LocalServer) -> Iterator[Pair]:
    with StandIn(State(models=MODELS, cache="none")) as standin:
        yield standin.url, server_without_cache.url


def fan_out(*denoise: float, seed: int = 1) -> Graph:
    """One first pass and a second pass for each of these denoise values, each saved."""
    name = f"standin-works-alike/{uuid.uuid4().hex}"
    graph = sampler_graph(name, seed=seed)
    branch = ("upscale", "second", "decode_up", "save_up")
    found = {node_id: node for node_id, node in graph.items() if node_id not in branch}
    for number, value in enumerate(denoise):
        varied = changed(changed(graph, "second", denoise=value), "save_up", filename_prefix=f"{name}-{number}")
        for node_id in branch:
            inputs = varied[node_id]["inputs"].items()
            renamed = {key: [f"{v[0]}-{number}", v[1]] if isinstance(v, list) and v[0] in branch else v for key, v in inputs}
            found[f"{node_id}-{number}"] = {**varied[node_id], "inputs": renamed}
    return found


def fresh_seed() -> int:
    return uuid.uuid4().int % 2**50


def test_a_fan_out_graph_samples_its_shared_first_pass_once(pair: Pair) -> None:
    graph = fan_out(0.5, 0.7, 0.9, seed=fresh_seed())
    imitated, real = (ran(url, graph) for url in pair)
    assert imitated == real
    # One first and three second passes; the four decodings are of four pictures.
    assert real["KSampler"] == real["VAEDecode"] == 4


def test_twins_in_one_graph_run_once(pair: Pair) -> None:
    graph = fan_out(0.5, 0.5, seed=fresh_seed())
    imitated, real = (ran(url, graph) for url in pair)
    assert imitated == real
    assert (real["KSampler"], real["SaveImage"]) == (2, 3)


def test_the_cache_remembers_the_last_prompt_alone(pair: Pair) -> None:
    first, second = fan_out(0.5, seed=fresh_seed()), fan_out(0.5, seed=fresh_seed())
    again = changed(first, "save", filename_prefix=f"standin-works-alike/{uuid.uuid4().hex}")
    seen = [[ran(url, graph) for graph in (first, second, again)] for url in pair]
    assert seen[0] == seen[1]
    assert [counts["KSampler"] for counts in seen[1]] == [2, 2, 2]


def test_what_differs_in_the_second_pass_alone_has_its_first_pass_cached(pair: Pair) -> None:
    seed = fresh_seed()
    graphs = [fan_out(denoise, seed=seed) for denoise in (0.5, 0.7, 0.9)]
    seen = [[ran(url, graph) for graph in graphs] for url in pair]
    assert seen[0] == seen[1]
    assert [counts["KSampler"] for counts in seen[1]] == [2, 1, 1]
    assert [counts["CheckpointLoaderSimple"] for counts in seen[1]] == [1, 0, 0]


def test_the_work_that_a_stand_in_counts_is_what_its_frames_say() -> None:
    seed = fresh_seed()
    with StandIn(State(models=MODELS)) as standin:
        counts: Counter[str] = Counter()
        for denoise in (0.5, 0.7):
            counts += ran(standin.url, fan_out(denoise, seed=seed))
        assert standin.state.work() == Work(loads=1, first=1, second=2)
        assert Counter(node.class_type for node in standin.state.ran) == counts


def test_a_deleted_history_entry_is_gone_and_its_results_stay_cached(pair: Pair) -> None:
    graph = fan_out(0.5, seed=fresh_seed())
    seen = []
    for url in pair:
        kept, _ = history_of(url, plain_graph())
        deleted, _ = history_of(url, graph)
        status = requests.post(f"{url}/history", json={"delete": [deleted, "unknown"]}, timeout=HELD).status_code
        entries = [requests.get(f"{url}/history/{prompt_id}", timeout=HELD).json() for prompt_id in (kept, deleted)]
        seen.append((status, [bool(entry) for entry in entries], ran(url, graph)))
    assert seen[0] == seen[1] == (200, [True, False], Counter())


def test_a_cleared_history_is_empty(pair: Pair) -> None:
    seen = []
    for url in pair:
        history_of(url, plain_graph())
        status = requests.post(f"{url}/history", json={"clear": True}, timeout=HELD).status_code
        seen.append((status, requests.get(f"{url}/history", timeout=HELD).json()))
    assert seen[0] == seen[1] == (200, {})


@pytest.mark.parametrize("name", ["no-such-file.png", "a..b.png", ""])
def test_head_of_a_file_that_is_not_there_is_answered_alike(pair: Pair, name: str) -> None:
    imitated, real = (requests.head(f"{url}/view", params={"filename": name}, timeout=HELD).status_code for url in pair)
    assert imitated == real


def test_head_tells_the_length_of_a_file(pair: Pair) -> None:
    for url in pair:
        _, entry = history_of(url, plain_graph(f"standin-works-alike/{uuid.uuid4().hex}"))
        [image] = entry["outputs"]["save"]["images"]
        told = requests.head(f"{url}/view", params=image, timeout=HELD)
        got = requests.get(f"{url}/view", params=image, timeout=HELD)
        assert (told.status_code, told.content) == (200, b"")
        assert int(told.headers["Content-Length"]) == len(got.content)


def pixels(url: str, graph: Graph, node: str) -> tuple[tuple[int, int], str]:
    """Run a graph and return the size of a picture that it saves, and the hash of its pixels."""
    _, entry = history_of(url, graph)
    [image] = entry["outputs"][node]["images"]
    picture = Image.open(io.BytesIO(requests.get(f"{url}/view", params=image, timeout=HELD).content))
    return picture.size, hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()


def test_another_file_prefix_gives_the_same_pixels_and_another_denoise_does_not(pair: Pair) -> None:
    seed = fresh_seed()
    for url in pair:
        first, again, other = (pixels(url, fan_out(denoise, seed=seed), "save_up-0") for denoise in (0.5, 0.5, 0.9))
        assert first == again
        assert first[0] == other[0]
        assert first[1] != other[1]


def test_a_tiled_decoding_gives_the_same_size(pair: Pair) -> None:
    graph = fan_out(0.5, seed=fresh_seed())
    tiles = {"tile_size": 64, "overlap": 16, "temporal_size": 64, "temporal_overlap": 8}
    node = graph["decode_up-0"]
    graph["decode_up-0"] = {"class_type": "VAEDecodeTiled", "inputs": {**node["inputs"], **tiles}}
    imitated, real = (pixels(url, graph, "save_up-0")[0] for url in pair)
    assert imitated == real == (128, 96)


def test_a_tiled_decoding_has_the_same_inputs(pair: Pair) -> None:
    def told(url: str) -> dict[str, list[object]]:
        info = requests.get(f"{url}/object_info/VAEDecodeTiled", timeout=HELD).json()["VAEDecodeTiled"]
        required = info["input"]["required"].items()
        bare = [(name, [part for part in spec if isinstance(part, str)], *spec[1:]) for name, spec in required]
        return {name: [kind, {k: v for k, v in (rest[0] if rest else {}).items() if k != "tooltip"}] for name, kind, *rest in bare}

    imitated, real = (told(url) for url in pair)
    assert imitated == real


# --cache-none


def test_a_server_without_a_cache_says_so(forgetful: Pair) -> None:
    for url in forgetful:
        assert "--cache-none" in requests.get(f"{url}/system_stats", timeout=HELD).json()["system"]["argv"]


def test_a_server_without_a_cache_runs_an_identical_prompt_as_a_whole(forgetful: Pair) -> None:
    graph = fan_out(0.5, seed=fresh_seed())
    seen = [[ran(url, graph), ran(url, graph)] for url in forgetful]
    assert seen[0] == seen[1]
    assert seen[1][0] == seen[1][1]


def test_a_server_without_a_cache_samples_a_shared_first_pass_once_but_does_not_merge_twins(forgetful: Pair) -> None:
    graph = fan_out(0.5, 0.5, 0.7, seed=fresh_seed())
    imitated, real = (ran(url, graph) for url in forgetful)
    assert imitated == real
    assert (real["CheckpointLoaderSimple"], real["KSampler"]) == (1, 4)


def test_the_frames_of_a_run_without_a_cache_are_the_same(forgetful: Pair) -> None:
    graph = plain_graph(f"standin-works-alike/{uuid.uuid4().hex}")
    for url in forgetful:
        frames_of(url, graph)
    imitated, real = (frames_of(url, graph) for url in forgetful)
    assert imitated == real


def test_a_restart_leaves_the_files_and_wipes_history_and_numbers(options_without_cache: LocalOptions, forgetful: Pair) -> None:
    def saved(url: str) -> tuple[str, dict[str, Any]]:
        return history_of(url, plain_graph(f"standin-works-alike/{uuid.uuid4().hex}"))

    with StandIn(State(models=MODELS)) as standin:
        before = saved(standin.url), saved(forgetful[1])
        standin.state.restart()
        stop(options_without_cache)
        places = standin.url, start(options_without_cache, say=say).url
        assert places[1] == forgetful[1], "others use it too"
        seen = []
        for place, (prompt_id, entry) in zip(places, before, strict=True):
            [image] = entry["outputs"]["save"]["images"]
            there = requests.get(f"{place}/view", params=image, timeout=HELD).status_code
            history = requests.get(f"{place}/history/{prompt_id}", timeout=HELD).json()
            number = requests.post(f"{place}/prompt", json={"prompt": plain_graph()}, timeout=HELD).json()["number"]
            seen.append((there, history, number))
    assert seen[0] == seen[1] == (200, {}, 0)
