from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.engine.comfyui.ws_messages import Ended, Frame, Picture, parse_binary, parse_frame
from comfy_runner.engine.reports import CachedNodes, NodeProgress


def frame(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (frame("execution_cached", prompt_id="p", nodes=["1", "save"], timestamp=1), CachedNodes("p", ("1", "save"))),
        (frame("execution_cached", prompt_id="p", nodes=[]), CachedNodes("p", ())),
        (frame("executing", prompt_id="p", node="first", display_node="first"), NodeProgress("p", "first", 0, 0)),
        (frame("executing", prompt_id="p", node=None), Ended("p")),
        (frame("progress", prompt_id="p", node="first", value=2, max=20), NodeProgress("p", "first", 2, 20)),
    ],
)
def test_a_frame_is_read(text: str, expected: Frame) -> None:
    assert parse_frame(text) == expected
    assert parse_frame(text.encode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "null",
        "3",
        '"progress"',
        "{}",
        '{"type": "progress"}',
        '{"type": "progress", "data": null}',
        '{"type": ["progress"], "data": {"prompt_id": "p"}}',
        frame("executing", node="first"),
        frame("executing", prompt_id=7, node="first"),
        frame("progress", prompt_id="p", node="first", value="many", max=20),
        frame("status", status=None),
        frame("status", status={"exec_info": {"queue_remaining": 3}}, sid="me"),
        frame("execution_cached", prompt_id="p", nodes=3),
        frame("crystools.monitor", gpus=[1]),
        frame("execution_success", prompt_id="p"),
        frame("execution_error", prompt_id="p", exception_type="ExecutionBlocked"),
        '{"type": "progress", "data": {"prompt_id": "p", "node": "n", "value": NaN, "max": 3}}',
        '{"type": "progress", "data": {"prompt_id": "p", "node": "n", "value": Infinity, "max": 3}}',
        '{"type": "progress", "data": {"prompt_id": "p", "node": "n", "value": 3, "max": Infinity}}',
        "[" * 100_000,
    ],
)
def test_a_frame_that_says_nothing_of_use_is_ignored(text: str) -> None:
    assert parse_frame(text) is None


def test_bytes_that_are_no_text_are_ignored() -> None:
    assert parse_frame(b"\xff\xfe\x00{") is None


@pytest.mark.parametrize(("value", "most"), [(5, 3), (-1, 3), (1, -3)])
def test_steps_stay_within_their_number(value: int, most: int) -> None:
    found = parse_frame(frame("progress", prompt_id="p", node="n", value=value, max=most))
    assert isinstance(found, NodeProgress)
    assert 0 <= found.step <= found.steps


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["prompt_id", "node", "nodes", "value", "max", "status"]), inner)
    ),
    max_leaves=12,
)
_KINDS = st.sampled_from(["status", "executing", "progress", "execution_cached", "odd"])


@given(_KINDS, _JSON)
def test_no_frame_is_an_error(kind: str, data: Any) -> None:
    parse_frame(json.dumps({"type": kind, "data": data}))


@given(st.binary())
def test_no_bytes_are_an_error(data: bytes) -> None:
    parse_frame(data)


# Pictures

_PNG = b"\x89PNG\r\n\x1a\nand so on"


def _with_metadata(said: object) -> bytes:
    text = json.dumps(said).encode()
    return struct.pack(">II", 4, len(text)) + text + _PNG


def test_a_png_is_a_picture_and_says_whose_it_is_where_the_server_does() -> None:
    assert parse_binary(struct.pack(">II", 1, 2) + _PNG) == Picture("", "", _PNG)
    assert parse_binary(_with_metadata({"prompt_id": "p", "node_id": "send"})) == Picture("p", "send", _PNG)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\1",
        struct.pack(">II", 1, 1) + b"\xff\xd8 a preview",
        struct.pack(">II", 1, 2) + b"\xff\xd8 that calls itself PNG",
        struct.pack(">II", 3, 2) + _PNG,
        struct.pack(">II", 4, 2**32 - 1) + _PNG,
        struct.pack(">II", 4, 0) + _PNG,
        _with_metadata([]),
        _with_metadata({"prompt_id": 3, "node_id": "send"}),
        _with_metadata({"prompt_id": "p", "node_id": None}),
    ],
)
def test_previews_and_nonsense_are_no_pictures(data: bytes) -> None:
    assert parse_binary(data) is None
