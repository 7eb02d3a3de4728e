"""Films and meshes of which a node tells by their bare names alone: collected where the server gives them, and never as texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.running.support import files_in, rendered, sidecar_in, states, sweep
from tests.standin import StandIn

_NOTHING = {"name": "film", "reports": "nothing"}


def _recipe(folder: Path, *, role: Any = "film", count: int = 1, **inputs: Any) -> dict[str, Any]:
    """Return a recipe whose jobs save a picture, and something of which they tell by its bare name."""
    graph = {
        "picture": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": "COLOR"}},
        "film": {"class_type": "SaveFilm", "inputs": {"images": ["picture", 0], "told": "film.mp4", "key": "video", **inputs}},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["picture", 0], "filename_prefix": "x"},
            "_meta": {"role": "upscaled"},
        },
    }
    if role:
        graph["film"]["_meta"] = {"role": role}
    path = folder / "film.json.j2"
    path.write_text(json.dumps(graph).replace('"COLOR"', "{{ seed }}"), encoding="utf-8")
    given = sweep({"seed": {"start": 1, "count": count}}, template=str(path))
    return {name: value for name, value in given.items() if name not in ("prompt", "checkpoint", "size", "sampler")}


def _colour_in(path: Path) -> int:
    colour: int = json.loads(path.read_bytes().removeprefix(b"\0film of "))["picture"]["inputs"]["color"]
    return colour


@pytest.mark.parametrize(
    ("told", "key", "kind", "path"),
    [
        ("film.mp4", "video", "output", "film.mp4"),
        ("films/film.webm", "video", "temp", "film.webm"),
        ("a.glb [temp]", "mesh", "temp", "film.glb"),
    ],
)
def test_what_is_there_is_a_file_of_its_role(server: StandIn, tmp_path: Path, told: str, key: str, kind: str, path: str) -> None:
    (result,) = rendered(server, tmp_path / "out", _recipe(tmp_path, told=told, key=key, kind=kind))

    assert (result.state, result.error) == ("done", None)
    (found,) = result.files["film"]
    assert found.name == path
    assert _colour_in(found) == sidecar_in(tmp_path / "out", result.job_id)["workflow"]["picture"]["inputs"]["color"]


def test_every_job_gets_its_own_file_though_they_all_have_one_name(server: StandIn, tmp_path: Path) -> None:
    results = rendered(server, tmp_path / "out", _recipe(tmp_path, count=5, kind="output"), in_flight=3)

    assert set(states(results).values()) == {"done"}
    for result in results:
        graph = sidecar_in(tmp_path / "out", result.job_id)["workflow"]
        assert _colour_in(result.files["film"][0]) == graph["picture"]["inputs"]["color"]
    assert len({_colour_in(result.files["film"][0]) for result in results}) == 5


@pytest.mark.parametrize("told", ["film.mp4", "/home/me/film.mp4", "../film.mp4", "C:\\film.mp4"])
def test_what_is_not_there_is_no_text_either(server: StandIn, tmp_path: Path, told: str) -> None:
    (result,) = rendered(server, tmp_path / "out", _recipe(tmp_path, told=told))

    assert (result.state, list(result.files)) == ("partial", ["upscaled"])
    assert "film.mp4, which the server does not have" in str(result.error)
    assert [name for name in files_in(tmp_path / "out") if name.endswith(".txt")] == []
    assert len(server.state.requests("POST", "/prompt")) == 1


def test_a_role_that_reports_nothing_may_tell_of_what_is_not_there(server: StandIn, tmp_path: Path) -> None:
    (result,) = rendered(server, tmp_path / "out", _recipe(tmp_path, role=_NOTHING))

    assert (result.state, list(result.files)) == ("done", ["upscaled"])


def test_what_is_not_there_of_a_node_without_a_role_is_a_warning(server: StandIn, tmp_path: Path) -> None:
    (result,) = rendered(server, tmp_path / "out", _recipe(tmp_path, role=None, filename_prefix="x"))

    assert (result.state, list(result.files)) == ("done", ["upscaled"])
    (note,) = sidecar_in(tmp_path / "out", result.job_id)["notes"]
    assert note == 'node "film" (SaveFilm) reports film.mp4, which the server does not have: its files stay on the server'


def test_a_text_that_reads_like_a_name_is_a_text(server: StandIn, tmp_path: Path) -> None:
    (result,) = rendered(server, tmp_path / "out", _recipe(tmp_path, key="text", kind="output"))

    assert (result.state, result.files["film"][0].read_text(encoding="utf-8")) == ("done", "film.mp4")
