"""Outputs that save and tell the server of no file, such as ComfyUI's VAESave and CheckpointSave: nothing of them is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner.running.events import JobResult
from tests.running.abandon import abandoned, ended
from tests.running.support import plan_of, posted, rendered, sidecar_in, states, sweep
from tests.standin import StandIn
from tests.standin.faults import NodeFault

_PICTURE = {"width": 64, "height": 64, "batch_size": 1, "color": "COLOR"}
_DECLARED = {"name": "weights", "reports": "nothing"}


def _recipe(folder: Path, *, role: Any = None, saves: bool = True, **changes: Any) -> dict[str, Any]:
    """Return a recipe of one job, or of a sweep, whose graph has a silent saver with this role, and saves a picture, or not."""
    silent = {"class_type": "SaveSilently", "inputs": {"images": ["picture", 0], "filename_prefix": "x"}}
    graph = {
        "picture": {"class_type": "EmptyImage", "inputs": _PICTURE},
        "vae": {**silent, **({"_meta": {"role": role}} if role else {})},
    }
    if saves:
        graph["save"] = {**silent, "class_type": "SaveImage", "_meta": {"role": "upscaled"}}
    path = folder / "silent.json.j2"
    path.write_text(json.dumps(graph).replace('"COLOR"', "{{ seed }}"), encoding="utf-8")
    return {"name": "lake", "template": str(path), "seed": 1, **changes}


def _saved(server: StandIn) -> int:
    """Return how often the silent saver has saved."""
    return sum(ran.class_type == "SaveSilently" for ran in server.state.ran)


def _roles(results: tuple[JobResult, ...]) -> list[list[str]]:
    return [list(result.files) for result in results]


@pytest.mark.parametrize("saves", [True, False])
@pytest.mark.parametrize("role", [None, _DECLARED])
def test_a_job_with_a_silent_saver_is_done_once_and_for_all(server: StandIn, tmp_path: Path, role: Any, saves: bool) -> None:
    recipe, out = _recipe(tmp_path, role=role, saves=saves), tmp_path / "out"

    for again in range(3):
        results = rendered(server, out, recipe)

        assert [(result.state, result.error, result.was_done) for result in results] == [("done", None, again > 0)]
        assert _roles(results) == [["upscaled"] if saves else []]
        if again:
            (out / "ledger.sqlite").unlink()  # it is made anew from the sidecars
    assert _saved(server) == 1
    notes = sidecar_in(out)["notes"]
    assert notes == ([] if role else ['node "vae" (SaveSilently) reports no file: its files stay on the server'])


def test_a_role_that_reports_nothing_says_how_to_tell_that_it_does(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "out"

    (result,) = rendered(server, out, _recipe(tmp_path, role="weights"))

    assert result.state == "partial"
    assert result.error is not None
    (problem,) = result.error.problems
    assert problem.what == "the server saved nothing for weights"
    assert problem.hint.endswith('its template says "role": {"name": "weights", "reports": "nothing"}')

    (result,) = rendered(server, out, _recipe(tmp_path, role=_DECLARED))

    assert (result.state, list(result.files)) == ("done", ["upscaled"])
    assert [sorted(graph) for graph in posted(server)] == [["picture", "save", "vae"], ["picture", "vae"]]


def test_of_what_always_tells_its_files_none_is_missed_in_silence(server: StandIn, tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    template = Path(recipe["template"])
    template.write_text(
        template.read_text(encoding="utf-8").replace('"_meta": {"role": "upscaled"}', '"_meta": {}'), encoding="utf-8"
    )
    server.state.node_faults["save"] = NodeFault.BLOCKED

    (result,) = rendered(server, tmp_path / "out", recipe)

    assert result.state == "failed"
    assert "the server saved nothing for save" in str(result.error)


@pytest.mark.parametrize("role", [None, _DECLARED])
def test_where_the_server_has_forgotten_it_nobody_knows_whether_a_silent_saver_has_run(
    server: StandIn, tmp_path: Path, role: Any
) -> None:
    recipe, out = _recipe(tmp_path, role=role), tmp_path / "out"
    ended(server, abandoned(server, out, recipe))
    server.state.restart()

    (result,) = rendered(server, out, recipe)

    assert result.state == "done"
    assert [sorted(graph) for graph in posted(server)] == [["picture", "save", "vae"], ["picture", "vae"]]


@pytest.mark.parametrize("role", [None, _DECLARED])
def test_another_format_needs_no_server(server: StandIn, tmp_path: Path, role: Any) -> None:
    out = tmp_path / "out"
    rendered(server, out, _recipe(tmp_path, role=role))

    (result,) = rendered(server, out, _recipe(tmp_path, role=role, output={"format": "webp"}))

    with Image.open(result.files["upscaled"][0]) as image:
        assert image.format == "WEBP"
    assert _saved(server) == 1


@pytest.mark.parametrize("saves", [True, False])
def test_jobs_that_are_the_same_save_once(server: StandIn, tmp_path: Path, saves: bool) -> None:
    recipe = _recipe(tmp_path, saves=saves)
    twice = {**sweep({"prompt": ["a", "b"]}), **recipe}

    results = rendered(server, tmp_path / "out", twice)

    assert set(states(results).values()) == {"done"}
    assert _roles(results) == [["upscaled"] if saves else []] * 2
    assert _saved(server) == 1


@pytest.mark.parametrize("prefix", [True, False])
def test_what_is_not_collected_is_nobodys_and_needs_no_name_of_its_own(tmp_path: Path, prefix: bool) -> None:
    recipe = _recipe(tmp_path, role=_DECLARED)
    template = Path(recipe["template"])
    if not prefix:
        text = template.read_text(encoding="utf-8").replace(
            ', "filename_prefix": "x"}, "_meta": {"role": {', '}, "_meta": {"role": {'
        )
        template.write_text(text, encoding="utf-8")

    plan = plan_of(recipe)

    assert plan.notes == ()
    assert list(plan.drafts[0].planned().outputs) == ["upscaled"]
