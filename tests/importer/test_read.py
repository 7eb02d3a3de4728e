"""Users' files as they come: JSON in every wrapping and encoding, pictures, texts, and what is none of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy_runner.errors import UsageError
from comfy_runner.importer.read import is_importable, read_file

GRAPH: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 7, "cfg": 6.5, "latent_image": ["5", 0]}, "_meta": {"title": "Ömlaut 🌲"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 48, "batch_size": 1}},
}
UI: dict[str, Any] = {
    "last_node_id": 5,
    "last_link_id": 1,
    "nodes": [{"id": 5, "type": "EmptyLatentImage", "widgets_values": [64, 48, 1]}],
    "links": [[1, 5, 0, 3, 3, "LATENT"]],
    "version": 0.4,
}
PARAMETERS = (
    "<lora:lake:1>, a lake, {dawn|dusk}\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
)


def _written(folder: Path, value: Any, name: str = "workflow.json") -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_file(path)
    (problem,) = caught.value.problems
    assert problem.hint
    return problem.what


@pytest.mark.parametrize(
    "wrapped",
    [
        GRAPH,
        {"prompt": GRAPH},
        {"prompt": GRAPH, "client_id": "x", "extra_data": {}},
        {"prompt": json.dumps(GRAPH)},
        {"input": {"workflow": GRAPH}},
        {"prompt": [3, "some-id", GRAPH, {}, ["3"]], "outputs": {}, "status": {}},
        {"some-id": {"prompt": [3, "some-id", GRAPH, {}, ["3"]], "outputs": {}}},
        {"id": "some-id", "workflow": {"prompt": GRAPH, "extra_data": {}}},
        {"recipe": {}, "job_id": "lake", "workflow": GRAPH},
    ],
)
def test_a_graph_is_found_in_whatever_it_is_wrapped(tmp_path: Path, wrapped: Any) -> None:
    found = read_file(_written(tmp_path, wrapped))

    assert (found.graph, found.ui, found.parameters, found.about, found.size, found.notes) == (GRAPH, None, "", None, None, ())


@pytest.mark.parametrize(
    "wrapped", [UI, {"workflow": UI}, {"workflow": json.dumps(UI)}, {"nodes": [], "links": [], "1": GRAPH["5"]}]
)
def test_a_workflow_of_the_page_is_found(tmp_path: Path, wrapped: dict[str, Any]) -> None:
    found = read_file(_written(tmp_path, wrapped))

    assert found.ui == (UI if "workflow" in wrapped else wrapped)
    assert found.graph is None


@pytest.mark.parametrize(
    "wrapped",
    [
        {"prompt": GRAPH, "workflow": UI},
        {"output": GRAPH, "workflow": UI},
        {"prompt": GRAPH, "extra_data": {"extra_pnginfo": {"workflow": UI}}},
        {"prompt": [3, "some-id", GRAPH, {"extra_pnginfo": {"workflow": UI}}, ["3"]]},
    ],
)
def test_where_both_are_there_both_are_kept(tmp_path: Path, wrapped: dict[str, Any]) -> None:
    found = read_file(_written(tmp_path, wrapped))

    assert (found.graph, found.ui) == (GRAPH, UI)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    path = tmp_path / "workflow.json"
    path.write_bytes(mark + json.dumps(GRAPH, ensure_ascii=False).encode(encoding))

    assert read_file(path).graph == GRAPH


def test_a_graph_is_read_as_the_page_reads_it(tmp_path: Path) -> None:
    text = """{"1": {"class_type": "A", "is_changed": [NaN], "inputs": {"a": NaN, "b": -Infinity, "c": 1e999, "d": "\\ud83c!"}},
               "2": {"class_type": "B", "is_changed": "x", "inputs": {"seed": 18446744073709551615}},
               "extra": {"airs": []}, "extraMetadata": "{}"}"""

    found = read_file(_written(tmp_path, text))

    assert found.graph == {
        "1": {"class_type": "A", "inputs": {"a": None, "b": None, "c": None, "d": "\ufffd!"}},
        "2": {"class_type": "B", "inputs": {"seed": 18446744073709551615}},
    }
    assert [note.what for note in found.notes] == ['left out of the graph, because they are not nodes: "extra", "extraMetadata"']


def test_a_node_may_be_called_prompt(tmp_path: Path) -> None:
    graph = {"prompt": GRAPH["5"], "workflow": GRAPH["5"]}

    assert read_file(_written(tmp_path, graph)).graph == graph


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_of_a1111_is_taken_as_it_is(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "00001.txt"
    path.write_text(PARAMETERS + "\n", encoding=encoding)

    assert read_file(path).parameters == PARAMETERS
    assert is_importable(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("hello", "is neither JSON nor parameters of A1111"),
        ("prompt: a lake\nsampler: {steps: 20}\n", "is neither JSON nor parameters of A1111"),
        ("{}", "is JSON, but not a ComfyUI workflow"),
        ("[]", "is JSON, but not a ComfyUI workflow"),
        ("5", "is neither JSON nor parameters of A1111"),
        ('{"prompt": "a cat", "steps": 20}', "is JSON, but not a ComfyUI workflow"),
        ('{"nodes": [], "edges": [], "links": []}', "is JSON, but not a ComfyUI workflow"),
        ("[" * 100_000, "is not JSON: it is nested deeper than 100 levels"),
        ("[" * 200 + "]" * 200, "is not JSON: it is nested deeper than 100 levels"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON: a number in it has too many digits"),
        ("[" + "1," * 2_000_000 + "1]", "is not JSON: it has more than 2000000 values"),
        (
            json.dumps({name: {"prompt": [1, name, GRAPH, {}]} for name in "ab"}),
            "contains no workflow that can be read: it is a history of 2 graphs; one is read at a time",
        ),
    ],
)
def test_what_is_no_workflow_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert _refusal(_written(tmp_path, text)) == reason


@pytest.mark.parametrize("data", [b"\0\1\2\3" * 100, b"BM\x36\0\0\0", b"\xff\xfe{", b"caf\xe9" * 100, b"PK\3\4" + bytes(100)])
def test_what_is_neither_text_nor_a_known_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)

    assert _refusal(path) == "is not a type of file that can contain a workflow"
    assert not is_importable(path.rename(tmp_path / "x"))


def test_a_fault_of_json_is_told_with_its_place(tmp_path: Path) -> None:
    assert ", line 2 column " in _refusal(_written(tmp_path, '{"1":\n {"class_type": "A",}}'))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    for path in (
        tmp_path,
        tmp_path / "none.json",
        tmp_path / "loop.json",
        tmp_path / ("x" * 5000),
        Path("a\0b"),
        Path("/dev/null"),
    ):
        with pytest.raises(UsageError):
            read_file(path)
        assert not is_importable(path)


def test_a_picture_of_comfyui_says_all(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("prompt", json.dumps(GRAPH))
    info.add_text("workflow", json.dumps(UI))
    info.add_text("comfy_runner", json.dumps({"version": "1", "job_id": "lake"}))
    path = tmp_path / "picture.jpg"  # which is no JPEG
    Image.new("RGB", (64, 48)).save(path, "PNG", pnginfo=info)

    found = read_file(path)

    assert (found.graph, found.ui, found.about, found.size) == (GRAPH, UI, {"version": "1", "job_id": "lake"}, (64, 48))


def test_importable_is_what_is_neither_recipe_nor_sidecar(tmp_path: Path) -> None:
    assert is_importable(_written(tmp_path, GRAPH))
    assert is_importable(_written(tmp_path, {"workflow": UI}))
    assert not is_importable(_written(tmp_path, {"recipe": {}, "workflow": GRAPH}, "job.json"))
    assert not is_importable(_written(tmp_path, {"template": "txt2img", "prompt": "a lake"}, "recipe.json"))
    assert not is_importable(_written(tmp_path, "prompt: a lake\n", "recipe.yaml"))
    assert not is_importable(_written(tmp_path, "prompt: a lake\n", "recipe"))
    assert is_importable(tmp_path / "gone.png")
