"""What a server says, in whatever shape: frames, queues, histories, answers to a POST, object_info."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.engine.comfyui.engine import queue_status
from comfy_runner.engine.comfyui.history import QueuePosition, find_in_queue, judge
from comfy_runner.engine.comfyui.submit import complaints, file_prefixes, find_by_prefixes
from comfy_runner.engine.comfyui.ws_messages import Ended, parse_frame
from comfy_runner.engine.info import QueueStatus
from comfy_runner.engine.reports import CachedNodes, NodeProgress
from comfy_runner.engine.server_status import model_names
from comfy_runner.engine.verdict import Verdict
from comfy_runner.errors import ComfyRunnerError, WorkflowError
from comfy_runner.graph.conformance import Checked, check
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.running.in_flight import JobProgress
from tests.graph.support import RECORDED, content_hash, graph, node, shipped_graph
from tests.hostile.tally import survives
from tests.hostile.values import SCALARS, TEXTS, deep, many, seeded, spoiled, tree
from tests.standin.newer import CLASSES, REPLACEMENTS

_ID = "11111111-2222-4333-8444-555555555555"
_GRAPH = shipped_graph().workflow
_CLASSES = sorted({node.class_type for node in _GRAPH.nodes.values()})
_KNOWN = json.loads(RECORDED.read_text(encoding="utf-8"))
_NODES = {name: _KNOWN[name] for name in _CLASSES}

_frame_keys = ["type", "data", "prompt_id", "node", "nodes", "value", "max", "status", "exec_info"]
_frames = [
    {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}, "sid": "x"}},
    {"type": "execution_cached", "data": {"prompt_id": _ID, "nodes": ["1", "2"]}},
    {"type": "executing", "data": {"prompt_id": _ID, "node": "1"}},
    {"type": "executing", "data": {"prompt_id": _ID, "node": None}},
    {"type": "progress", "data": {"prompt_id": _ID, "node": "1", "value": 1, "max": 2}},
    {"type": "execution_error", "data": {"prompt_id": _ID}},
]


@pytest.mark.parametrize("seed", range(0, 1500, 100))
def test_a_spoiled_frame_is_a_sound_frame_or_none(seed: int) -> None:
    for value in _spoiled(_frames, _frame_keys, seed, 100):
        _try_frame(json.dumps(value))


def _try_frame(text: str) -> None:
    frame = survives("websocket frames", lambda: parse_frame(text))
    assert frame is None or isinstance(frame, (CachedNodes, NodeProgress, Ended))
    progress = JobProgress({"1": 1.0, "2": 3.0})
    if isinstance(frame, NodeProgress):
        progress.at(frame.node, frame.step, frame.steps)
    if isinstance(frame, CachedNodes):
        progress.cached(frame.nodes)
    assert 0 <= progress.fraction <= 1


@many(200)
@given(st.binary(max_size=80) | st.text(max_size=80))
def test_a_frame_of_any_bytes_is_none_or_a_frame(data: bytes | str) -> None:
    survives("websocket frames", lambda: parse_frame(data))


@pytest.mark.parametrize(
    "text", [deep(200_000), deep(200_000, obj=True), '{"type":' + deep(5000) + "}", "9" * 100_000, "[" * 10**6]
)
def test_a_frame_that_is_nested_very_deeply_is_none(text: str) -> None:
    assert survives("websocket frames", lambda: parse_frame(text)) is None


_queue_keys = ["queue_running", "queue_pending", "client_id", "inputs", "filename_prefix"]
_item = [3, _ID, {"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}}, {"client_id": "c"}, ["1"]]
_queues = [{"queue_running": [_item], "queue_pending": [[2, "b", {}, {}], _item]}, {"queue_running": []}]


def test_a_spoiled_queue_gives_a_place_or_none() -> None:
    for queue in _spoiled(_queues, _queue_keys, "queue", 1000):
        place = survives("queues", partial(find_in_queue, queue if isinstance(queue, dict) else {}, _ID))
        assert place is None or (isinstance(place, QueuePosition) and place.ahead >= 0)


def test_a_spoiled_queue_is_searched_for_file_prefixes() -> None:
    for item in _spoiled([_item], _queue_keys, "prefixes", 500):
        items = [item, _item] if isinstance(item, list) and len(item) > 2 else [_item]
        survives("queues", partial(find_by_prefixes, items, file_prefixes(_item[2]), ["c"]))


def test_a_spoiled_queue_is_counted() -> None:
    for queue in _spoiled(_queues, _queue_keys, "counts", 500):
        found = survives("queues", partial(queue_status, queue if isinstance(queue, dict) else {}))
        assert isinstance(found, QueueStatus)
        assert all(counts.running >= 0 and counts.pending >= 0 for counts in (found.ours, found.others))


_history_keys = ["status", "messages", "outputs", "images", "filename", "subfolder", "type", "node_id", "timestamp"]
_histories = [
    {
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [
                ["execution_start", {"prompt_id": _ID, "timestamp": 1}],
                ["execution_cached", {"nodes": ["1"], "prompt_id": _ID, "timestamp": 2}],
                ["execution_success", {"prompt_id": _ID, "timestamp": 3}],
            ],
        },
        "outputs": {"9": {"images": [{"filename": "x_00001_.png", "subfolder": "", "type": "output"}]}},
    },
    {
        "status": {
            "status_str": "error",
            "messages": [
                ["execution_start", {"timestamp": 1}],
                ["execution_error", {"node_id": "3", "node_type": "K", "exception_message": "m", "exception_type": "E"}],
            ],
        },
        "outputs": {},
    },
]


def test_a_spoiled_history_entry_gives_a_sound_verdict() -> None:
    for entry in _spoiled(_histories, _history_keys, "history", 1500):
        verdict = survives("histories", partial(judge, entry if isinstance(entry, dict) else {}))
        assert isinstance(verdict, Verdict)
        assert verdict.seconds is None or verdict.seconds >= 0
        assert all(isinstance(file.filename, str) and file.filename for files in verdict.files.values() for file in files)
        assert verdict.failure is None or len(verdict.failure.message) < 700


_post_keys = ["error", "node_errors", "errors", "message", "details", "extra_info", "input_name", "class_type"]
_posts = [
    {"prompt_id": _ID, "number": 3, "node_errors": {}},
    {
        "error": {"type": "prompt_outputs_failed_validation", "message": "m", "details": "d", "extra_info": {}},
        "node_errors": {"3": {"class_type": "K", "errors": [{"message": "m", "details": "d", "extra_info": {"input_name": "x"}}]}},
    },
]


def test_a_spoiled_answer_to_a_post_gives_short_complaints() -> None:
    for body in [*_spoiled(_posts, _post_keys, "post", 1000), *SCALARS]:
        found = survives("answers to a POST", partial(complaints, body))
        assert isinstance(found, list)
        for complaint in found:
            assert len(complaint.what) < 400
            assert len(str(complaint)) < 2000


_info_keys = ["input", "required", "optional", "output", "output_node", "python_module", "default", "min", "max", "options"]


def _fitted(info: Any) -> Checked | ComfyRunnerError:
    return survives("object_info", lambda: check(_GRAPH, ObjectInfo(info, source="http://server"), where="here"))


@pytest.mark.parametrize("name", _CLASSES)
def test_a_spoiled_object_info_fits_the_workflow_or_refuses_it(name: str) -> None:
    for seed in range(150):
        with seeded((name, seed)) as dice:
            fitted = _fitted({**_NODES, name: spoiled(dice, _NODES[name], _info_keys)})
            if isinstance(fitted, Checked):
                assert len(content_hash(fitted.workflow)) == 64
                assert fitted.workflow.to_json()
            else:
                assert isinstance(fitted, WorkflowError)


_OLD = graph(
    load=node("LoadImage", image="a.png"),
    old=node("ImageScaleBy", image=["load", 0], upscale_method="area", scale_by=2.0),
    both=node("ImageBatch", image1=["load", 0], image2=["old", 0]),
    save=node("SaveImage", images=["both", 0], filename_prefix="x"),
)
_table_keys = [
    "new_node_id",
    "input_mapping",
    "output_mapping",
    "new_id",
    "old_id",
    "set_value",
    "new_idx",
    "old_idx",
    "images.image0",
]


def test_a_spoiled_table_of_replacements_fits_the_workflow_or_refuses_it() -> None:
    for table in _spoiled([REPLACEMENTS], [*_table_keys, *REPLACEMENTS], "replacements", 1000):
        info = ObjectInfo({**_KNOWN, **CLASSES}, source="http://server", replacements=table)
        fitted = survives("replacements", partial(check, _OLD, info, where="here"))
        assert isinstance(fitted, Checked)
        assert fitted.workflow.to_json()
        assert len(info.fingerprint) == 64


def _told(answer: Any, _loader: str) -> ObjectInfo:
    return ObjectInfo(answer, source="")


def test_a_spoiled_loader_lists_models_or_none() -> None:
    sound = {"CheckpointLoaderSimple": _NODES["CheckpointLoaderSimple"]}
    for answer in _spoiled([sound], [*_info_keys, "ckpt_name"], "loaders", 500):
        told = partial(_told, answer)
        names = survives("object_info", partial(model_names, told, "CheckpointLoaderSimple", "ckpt_name"))
        assert isinstance(names, tuple)
        assert all(isinstance(name, str) for name in names)


def test_any_object_info_is_read_or_refused() -> None:
    for seed in range(300):
        with seeded(seed) as dice:
            _fitted(tree(dice, [*_info_keys, *_CLASSES], 5))


@pytest.mark.parametrize("text", TEXTS)
def test_a_nasty_name_of_a_model_is_matched_or_refused(text: str) -> None:
    options = [["a", text, text.upper(), f"x/{text}"], {}]
    loader = {**_NODES["CheckpointLoaderSimple"], "input": {"required": {"ckpt_name": options}}}
    info = ObjectInfo({**_NODES, "CheckpointLoaderSimple": loader}, source=f"http://{text[:100]}")
    workflow = _GRAPH.with_inputs({("checkpoint", "ckpt_name"): text + ".safetensors"})
    assert isinstance(survives("object_info", lambda: check(workflow, info, where=text[:100])), (Checked, ComfyRunnerError))


def _spoiled(sound: list[Any], keys: list[str], seed: object, count: int) -> Iterator[Any]:
    for number in range(count):
        with seeded((seed, number)) as dice:
            yield spoiled(dice, dice.choice(sound), keys)
