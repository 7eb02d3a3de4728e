from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.engine.comfyui.history import QueuePosition, find_in_queue, judge
from comfy_runner.engine.verdict import Conclusion, ServerFile

START: list[Any] = ["execution_start", {"prompt_id": "p", "timestamp": 1_000}]
CACHED: list[Any] = ["execution_cached", {"prompt_id": "p", "nodes": ["a", "b"], "timestamp": 1_001}]
SUCCESS: list[Any] = ["execution_success", {"prompt_id": "p", "timestamp": 3_500}]
INTERRUPTED: list[Any] = ["execution_interrupted", {"prompt_id": "p", "node_id": "first", "timestamp": 2_000}]
ERROR: list[Any] = [
    "execution_error",
    {
        "prompt_id": "p",
        "node_id": "second",
        "node_type": "KSampler",
        "exception_message": "Allocation on device \n\nTIPS: use less",
        "exception_type": "torch.OutOfMemoryError",
        "traceback": ["…"],
        "current_inputs": {"text": ["a secret prompt"]},
        "timestamp": 2_000,
    },
]


def entry(*messages: Any, status: str = "success", outputs: Any = None) -> dict[str, Any]:
    return {
        "outputs": outputs or {},
        "status": {"status_str": status, "completed": status == "success", "messages": list(messages)},
    }


def test_a_success_says_what_was_cached_and_how_long_it_took() -> None:
    verdict = judge(entry(START, CACHED, SUCCESS))
    assert (verdict.outcome, verdict.cached, verdict.seconds, verdict.failure) == (Conclusion.SUCCEEDED, ("a", "b"), 2.5, None)


def test_an_error_says_where_and_why_and_nothing_of_the_inputs() -> None:
    verdict = judge(entry(START, CACHED, ERROR, status="error"))
    failure = verdict.failure
    assert verdict.outcome is Conclusion.FAILED
    assert failure is not None
    assert (failure.node, failure.class_type, failure.exception) == ("second", "KSampler", "torch.OutOfMemoryError")
    assert failure.message == "Allocation on device TIPS: use less"
    assert "secret" not in repr(verdict)


def test_what_a_server_has_made_in_a_loop_belongs_to_the_node_that_it_shows_for_it() -> None:
    def image(name: str) -> dict[str, Any]:
        return {"images": [{"filename": name, "subfolder": "", "type": "output"}], "text": [name]}

    found = entry(SUCCESS, outputs={"9": image("1.png"), "9.0.0.9": image("2.png"), "9.0.1.9": image("3.png"), "5": image("x.png")})
    found["meta"] = {
        **{
            node: {"node_id": node, "display_node": "9", "parent_node": "7", "real_node_id": "9"}
            for node in ("9", "9.0.0.9", "9.0.1.9")
        },
        "5": {"node_id": "5", "display_node": None},
    }
    error = [ERROR[0], {**ERROR[1], "node_id": "9.0.1.9"}]

    verdict = judge(found)
    failed = judge({**entry(error, status="error"), "meta": found["meta"]})

    assert {node: [file.filename for file in files] for node, files in verdict.files.items()} == {
        "9": ["1.png", "2.png", "3.png"],
        "5": ["x.png"],
    }
    assert verdict.texts["9"] == ("1.png", "2.png", "3.png")
    assert failed.failure is not None
    assert failed.failure.node == "9"


@pytest.mark.parametrize("meta", [None, [], 3, {"9": None}, {"9": {"display_node": 7}}, {"9": {}}])
def test_what_is_said_of_nodes_in_an_odd_way_is_passed_over(meta: Any) -> None:
    files = {"9": {"images": [{"filename": "1.png"}]}}
    assert set(judge({**entry(SUCCESS, outputs=files), "meta": meta}).files) == {"9"}


def test_an_interruption_is_told_from_an_error_though_its_status_is_the_same() -> None:
    assert judge(entry(START, CACHED, INTERRUPTED, status="error")).outcome is Conclusion.INTERRUPTED


def test_the_last_message_counts_and_not_a_status_left_by_an_older_prompt() -> None:
    assert judge(entry(START, CACHED, ERROR, status="success")).outcome is Conclusion.FAILED
    assert judge(entry(START, CACHED, SUCCESS, status="error")).outcome is Conclusion.SUCCEEDED


def test_messages_of_others_after_the_end_do_not_count() -> None:
    assert judge(entry(START, INTERRUPTED, ["my_pack.done", {}], status="error")).outcome is Conclusion.INTERRUPTED


@pytest.mark.parametrize(("status", "outcome"), [("success", Conclusion.SUCCEEDED), ("error", Conclusion.FAILED)])
def test_without_an_end_among_the_messages_the_status_counts(status: str, outcome: Conclusion) -> None:
    assert judge(entry(["execution_start", {"prompt_id": "p"}], status=status)).outcome is outcome


def test_an_entry_without_a_status_is_a_success_of_unknown_length() -> None:
    verdict = judge({"outputs": {}})
    assert (verdict.outcome, verdict.seconds) == (Conclusion.SUCCEEDED, None)


@pytest.mark.parametrize("name", ["torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"])
def test_out_of_memory_is_known_under_both_its_names(name: str) -> None:
    error: list[Any] = ["execution_error", {**ERROR[1], "exception_type": name}]
    failure = judge(entry(error, status="error")).failure
    assert failure is not None
    assert failure.out_of_memory


def test_files_are_known_by_node_also_those_of_a_failed_prompt() -> None:
    outputs = {
        "save": {"images": [{"filename": "a_00001_.png", "subfolder": "x\\y", "type": "output"}], "animated": [False]},
        "text": {"text": ["hello"]},
        "clip": {"gifs": [{"filename": "v.mp4", "type": "temp"}], "odd": {"filename": "no list"}},
        "odd": None,
        "empty": {"images": [{"filename": ""}, {"filename": 3}, "name", None]},
    }
    assert judge(entry(ERROR, status="error", outputs=outputs)).files == {
        "save": (ServerFile("a_00001_.png", "x\\y", "output"),),
        "clip": (ServerFile("v.mp4", "", "temp"),),
    }


def test_a_long_message_is_shortened() -> None:
    error: list[Any] = ["execution_error", {**ERROR[1], "exception_message": "x" * 10_000}]
    failure = judge(entry(error, status="error")).failure
    assert failure is not None
    assert len(failure.message) < 1_000


@pytest.mark.parametrize(("start", "end"), [(None, 5), ("1", "2"), (5_000, 1_000), (0, 10**400), (float("nan"), 3)])
def test_times_that_cannot_be_are_no_times(start: Any, end: Any) -> None:
    verdict = judge(entry(["execution_start", {"timestamp": start}], ["execution_success", {"timestamp": end}]))
    assert verdict.seconds is None


QUEUE = {
    "queue_running": [[3, "running", {}, {}, []]],
    # The heap as it lies in memory.
    "queue_pending": [[4, "next", {}, {}, []], [9, "last", {}, {}, []], [5, "second", {}, {}, []], [5, "third", {}, {}, []]],
}


@pytest.mark.parametrize(
    ("prompt_id", "place"),
    [
        ("running", QueuePosition(running=True, ahead=0)),
        ("next", QueuePosition(running=False, ahead=1)),
        ("second", QueuePosition(running=False, ahead=2)),
        ("third", QueuePosition(running=False, ahead=3)),
        ("last", QueuePosition(running=False, ahead=4)),
        ("nobody", None),
    ],
)
def test_a_place_in_the_queue_is_told_by_number_and_not_by_position(prompt_id: str, place: QueuePosition | None) -> None:
    assert find_in_queue(QUEUE, prompt_id) == place


@pytest.mark.parametrize(
    "queue", [{}, {"queue_running": None, "queue_pending": {}}, {"queue_pending": [None, [], ["x", "p"], [10**400, "p"]]}]
)
def test_a_queue_that_is_none_holds_nobody_and_is_no_error(queue: dict[str, Any]) -> None:
    assert find_in_queue(queue, "nobody") is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["outputs", "status", "messages", "images", "filename", "timestamp", "nodes"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["outputs", "status", "prompt"]), _JSON))
def test_no_history_entry_is_an_error(found: dict[str, Any]) -> None:
    judge(found)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(["execution_start", "execution_cached", "execution_error", "execution_success"]), _JSON)))
def test_no_messages_are_an_error(messages: list[tuple[str, Any]]) -> None:
    judge({"status": {"messages": [list(message) for message in messages]}})


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(["queue_running", "queue_pending"]), st.lists(st.lists(_JSON))))
def test_no_queue_is_an_error(queue: dict[str, Any]) -> None:
    find_in_queue(queue, "p")


# Texts


def _texts(output: Any) -> list[str]:
    return list(judge({"outputs": {"show": output}}).texts.get("show", ()))


@pytest.mark.parametrize("output", [{"text": ["a", "b"]}, {"tags": ["a", "b"]}, {"string": "a", "more": ["b"]}])
def test_texts_are_known_by_node(output: dict[str, Any]) -> None:
    assert _texts(output) == ["a", "b"]


@pytest.mark.parametrize(
    ("key", "told", "file"),
    [
        ("video", "film.mp4", ("film.mp4", "", "")),
        ("mesh", "3d/a b.GLB", ("a b.GLB", "3d", "")),
        ("result", "mesh\\x.obj [temp]", ("x.obj", "mesh", "temp")),
        ("video", "/home/me/ComfyUI/output/films/film.mp4", ("film.mp4", "films", "output")),
        ("video", "C:\\ComfyUI\\temp\\film.webm", ("film.webm", "", "temp")),
        ("video", "/home/me/film.mp4", ("film.mp4", "/home/me", "")),
    ],
)
def test_a_bare_name_is_that_of_a_file_which_may_be_there(key: str, told: str, file: tuple[str, str, str]) -> None:
    verdict = judge({"outputs": {"show": {key: [told, None, {"position": 1}]}}})

    assert verdict.files == {"show": (ServerFile(*file),)}
    assert verdict.texts == {}


@pytest.mark.parametrize(
    "output",
    [
        {"text": ["film.mp4"]},
        {"string": "film.mp4"},
        {"version": ["1.5"]},
        {"value": ["seen in film.mp4"]},
        {"video": ["a\nb.mp4"]},
    ],
)
def test_a_text_that_names_a_file_is_a_text(output: dict[str, Any]) -> None:
    assert judge({"outputs": {"show": output}}).files == {}
    assert len(_texts(output)) == 1


def test_beside_files_only_what_is_called_text_is_one() -> None:
    images = [{"filename": "x.png", "subfolder": "", "type": "output"}]

    assert _texts({"images": images, "seed": ["3"]}) == []
    assert _texts({"images": images, "text": ["a"], "seed": ["3"]}) == ["a"]


@pytest.mark.parametrize("output", [None, 3, [], "text", {"text": None}, {"text": [3, None, {}]}, {"text": {"a": "b"}}])
def test_what_is_no_text_is_none(output: Any) -> None:
    assert _texts(output) == []


def test_texts_without_end_have_one() -> None:
    assert len(_texts({"text": ["a"] * 10_000})) == 4096
