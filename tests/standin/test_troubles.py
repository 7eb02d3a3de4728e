"""What only the stand-in can do: run out of memory for a while, paint flat pictures, tear files, be away; and be well again."""

from __future__ import annotations

import io
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from PIL import Image

from tests.engine.comfyui.support import sampler_graph
from tests.engine.comfyui.truth import Graph, history_of
from tests.standin import HELD, StandIn, State, Trouble, Work


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


def graph() -> Graph:
    return sampler_graph(f"troubles/{uuid.uuid4().hex}", seed=uuid.uuid4().int % 2**50)


def ends(server: StandIn, what: Graph) -> str:
    _, entry = history_of(server.url, what)
    kind, data = entry["status"]["messages"][-1]
    return str(data.get("exception_type", kind))


def free(server: StandIn) -> None:
    before = server.state.frees
    requests.post(f"{server.url}/free", json={"unload_models": True, "free_memory": True}, timeout=HELD)
    while server.state.frees == before:
        pass


def image(server: StandIn, what: Graph, node: str) -> Image.Image:
    _, entry = history_of(server.url, what)
    [file] = entry["outputs"][node]["images"]
    return Image.open(io.BytesIO(requests.get(f"{server.url}/view", params=file, timeout=HELD).content)).convert("RGB")


def tiled(what: Graph, node: str) -> Graph:
    tiles = {"tile_size": 64, "overlap": 16, "temporal_size": 64, "temporal_overlap": 8}
    return {**what, node: {"class_type": "VAEDecodeTiled", "inputs": {**what[node]["inputs"], **tiles}}}


def test_memory_runs_out_until_it_is_freed(server: StandIn) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second"))
    assert [ends(server, graph()) for _ in range(2)] == ["torch.OutOfMemoryError"] * 2
    free(server)
    assert ends(server, graph()) == "execution_success"


def test_memory_runs_out_so_many_times(server: StandIn) -> None:
    server.state.troubles.append(Trouble("out of memory", node="second", times=1))
    assert [ends(server, graph()) for _ in range(2)] == ["torch.OutOfMemoryError", "execution_success"]


def test_memory_can_suffice_for_tiled_decoding_alone(server: StandIn) -> None:
    server.state.troubles.append(Trouble("out of memory", node="decode_up", class_type="VAEDecode", until_free=False))
    what = graph()
    assert ends(server, what) == "torch.OutOfMemoryError"
    free(server)
    assert ends(server, what) == "torch.OutOfMemoryError"
    assert ends(server, tiled(what, "decode_up")) == "execution_success"


def test_what_had_run_before_memory_ran_out_is_not_run_again(server: StandIn) -> None:
    server.state.troubles.append(Trouble("out of memory", node="decode_up", times=1))
    what = graph()
    ends(server, what)
    ends(server, what)
    assert server.state.work() == Work(loads=1, first=1, second=1)


def test_a_flat_picture_stays_flat_until_the_cache_is_freed(server: StandIn) -> None:
    server.state.troubles.append(Trouble("flat", node="second", times=1))
    what = graph()

    def colors() -> int:
        what["save_up"]["inputs"]["filename_prefix"] = f"troubles/{uuid.uuid4().hex}"
        return len(image(server, what, "save_up").getcolors(2**24) or ())

    assert [colors(), colors()] == [1, 1]
    free(server)
    assert colors() > 1


def test_a_torn_file_is_the_one_that_would_have_been_written_next(server: StandIn) -> None:
    gate = server.state.hold("second")
    what = graph()
    requests.post(f"{server.url}/prompt", json={"prompt": what, "client_id": "me"}, timeout=HELD)
    gate.wait()
    server.state.restart(torn=True)
    names = {role: what[role]["inputs"]["filename_prefix"].rpartition("/")[2] for role in ("save", "save_up")}
    files = {role: server.state.files / "output" / "troubles" / f"{name}_00001_.png" for role, name in names.items()}
    with Image.open(files["save"]) as picture:
        picture.load()
    with Image.open(files["save_up"]) as picture, pytest.raises(OSError, match="truncated"):
        picture.load()


def test_a_restart_keeps_the_record_of_what_ran_and_forgets_everything_else(server: StandIn) -> None:
    prompt_id, _ = history_of(server.url, graph())
    ran = list(server.state.ran)
    server.state.restart(down=0.01)
    assert requests.get(f"{server.url}/history/{prompt_id}", timeout=HELD).json() == {}
    assert server.state.ran == ran
    assert server.state.memory.cache == {}


def test_connections_are_refused_while_it_is_away(server: StandIn) -> None:
    server.state.go_away()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/queue", timeout=HELD)
    server.state.come_back()
    assert requests.get(f"{server.url}/queue", timeout=HELD).ok


def test_outputs_come_in_an_order_that_is_drawn() -> None:
    orders: set[Any] = set()
    with StandIn(State(order=random.Random(1))) as server:  # noqa: S311 - to be the same each time
        for _ in range(20):
            _, entry = history_of(server.url, graph())
            orders.add(tuple(entry["prompt"][4]))
    assert orders == {("save", "save_up"), ("save_up", "save")}


def test_two_prompts_of_one_computation_have_one_signature(server: StandIn) -> None:
    what = graph()
    history_of(server.url, what)
    renamed = {f"{node_id}-2": node for node_id, node in what.items()}
    for node in renamed.values():
        inputs = node["inputs"].items()
        node["inputs"] = {name: [f"{value[0]}-2", value[1]] if isinstance(value, list) else value for name, value in inputs}
        if "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] += "-2"
    history_of(server.url, renamed)
    saved = [node for node in server.state.ran if node.is_save]
    assert len(saved) == 4
    assert len({node.signature for node in saved}) == 2
