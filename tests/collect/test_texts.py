"""Texts that nodes show, collected like files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comfy_runner.errors import VerificationError
from tests.collect.test_collector import Served, collected
from tests.running.support import files_in, posted, rendered, sidecar_in, states
from tests.standin import StandIn

_GRAPH = {
    "number": {"class_type": "PrimitiveInt", "inputs": {"value": 42}},
    "show": {"class_type": "PreviewAny", "inputs": {"source": ["number", 0]}, "_meta": {"role": "answer"}},
    "picture": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
    "save": {"class_type": "SaveImage", "inputs": {"images": ["picture", 0], "filename_prefix": "x"}, "_meta": {"role": "picture"}},
}


def _recipe(folder: Path, graph: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    (folder / "note.json.j2").write_text(json.dumps(graph or _GRAPH), encoding="utf-8")
    return {"name": "lake", "template": str(folder / "note.json.j2"), "seed": 1, **changes}


def test_a_text_is_a_file_of_its_role(server: StandIn, tmp_path: Path) -> None:
    (result,) = rendered(server, tmp_path / "run", _recipe(tmp_path))

    assert result.state == "done"
    assert files_in(tmp_path / "run") == ["lake/answer.txt", "lake/job.json", "lake/picture.png"]
    assert (tmp_path / "run/lake/answer.txt").read_text(encoding="utf-8") == "42"
    (record,) = sidecar_in(tmp_path / "run")["files"]["answer"]
    assert (record["size_bytes"], record["width"], record["server_name"]) == (2, None, "")


def test_a_text_goes_where_the_recipe_wants_it(server: StandIn, tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, output={"answer": "texts/{job_id}.webp", "format": "webp"})

    rendered(server, tmp_path / "run", recipe)

    assert files_in(tmp_path / "run") == ["lake/job.json", "lake/picture.webp", "texts/lake.txt"]


def test_a_text_that_stands_is_not_made_again(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "run", _recipe(tmp_path))
    (tmp_path / "run/lake/picture.png").unlink()

    assert states(rendered(server, tmp_path / "run", _recipe(tmp_path))) == {"lake": "done"}

    assert ["show" in graph for graph in posted(server)] == [True, False]
    assert states(rendered(server, tmp_path / "run", _recipe(tmp_path))) == {"lake": "done"}
    assert len(posted(server)) == 2


def test_a_text_of_the_cache_is_collected_too(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "first", _recipe(tmp_path))

    rendered(server, tmp_path / "second", _recipe(tmp_path))

    assert "show" in sidecar_in(tmp_path / "second")["cached_nodes"]
    assert (tmp_path / "second/lake/answer.txt").read_text(encoding="utf-8") == "42"


def test_a_job_of_texts_alone_is_a_job(server: StandIn, tmp_path: Path) -> None:
    graph = {name: node for name, node in _GRAPH.items() if name in ("number", "show")}

    (result,) = rendered(server, tmp_path / "run", _recipe(tmp_path, graph))

    assert (result.state, files_in(tmp_path / "run")) == ("done", ["lake/answer.txt", "lake/job.json"])


def test_several_texts_are_numbered_and_any_text_is_written_as_it_is(tmp_path: Path) -> None:
    texts = {"save_original": ("a\r\n🌲", "", "half: \ud83c")}

    found = collected(tmp_path, {}, Served({}), texts=texts)

    assert [record.path for record in found.files["original"]] == [f"lake/original{number}.txt" for number in ("", "-2", "-3")]
    written = [(tmp_path / record.path).read_bytes() for record in found.files["original"]]
    assert written == ["a\r\n🌲".encode(), b"", b"half: \\ud83c"]


def test_a_text_that_is_too_long_is_no_output(tmp_path: Path) -> None:
    found = collected(tmp_path, {}, Served({}), texts={"save_original": ("x" * (16 * 1024 * 1024 + 1),)})

    assert found.files == {}
    assert isinstance(found.errors[0], VerificationError)
    assert files_in(tmp_path) == []
