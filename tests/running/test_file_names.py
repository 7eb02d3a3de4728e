"""Savers that name their files by themselves, so that each job's file replaces the last one's: every job gets its own picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner.running.events import JobResult, JobRetried
from tests.running.abandon import abandoned, ended
from tests.running.fleet.support import begin as begin_on
from tests.running.fleet.support import fleet_of
from tests.running.support import begin, plan_of, rendered, sidecar_in, states, sweep
from tests.standin import StandIn, State

_CLIP = {"clip": ["load", 1], "text": "a lake"}
_SAMPLE = {"steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "model": ["load", 0]}


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def _recipe(folder: Path, *, prefix: str | None = None, count: int = 8, **changes: Any) -> dict[str, Any]:
    """Return a recipe whose jobs all save as ``out``; those that ignore a file prefix take one."""
    inputs = {"images": ["decode", 0], "filename": "out"} | ({} if prefix is None else {"filename_prefix": prefix})
    graph = {
        "load": _node("CheckpointLoaderSimple", ckpt_name="tiny-random-sd15.safetensors"),
        "words": _node("CLIPTextEncode", **_CLIP),
        "latent": _node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "sample": _node(
            "KSampler", seed="SEED", positive=["words", 0], negative=["words", 0], latent_image=["latent", 0], **_SAMPLE
        ),
        "decode": _node("VAEDecode", samples=["sample", 0], vae=["load", 2]),
        "save": {**_node("SaveFixed", **inputs), "_meta": {"role": "upscaled"}},
    }
    path = folder / "fixed.json.j2"
    path.write_text(json.dumps(graph).replace('"SEED"', "{{ seed }}"), encoding="utf-8")
    recipe = sweep({"seed": {"start": 1, "count": count}}, template=str(path), **changes)
    return {name: value for name, value in recipe.items() if name not in ("prompt", "checkpoint", "size", "sampler")}


def _seed_of(path: Path) -> int:
    """Return the seed that a picture was made with, as its server has written it into the file."""
    with Image.open(path) as image:
        seed: int = json.loads(image.info["prompt"])["sample"]["inputs"]["seed"]
    return seed


def _check_own(results: tuple[JobResult, ...], out: Path) -> None:
    """Check that each job is done, and has the picture of its own seed."""
    assert set(states(results).values()) == {"done"}
    for result in results:
        (path,) = result.files["upscaled"]
        assert _seed_of(path) == sidecar_in(out, result.job_id)["workflow"]["sample"]["inputs"]["seed"], result.job_id
    assert len({_seed_of(result.files["upscaled"][0]) for result in results}) == len(results)


def test_with_a_fixed_name_every_job_gets_its_own_picture(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "out"

    _check_own(rendered(server, out, _recipe(tmp_path), in_flight=3), out)

    assert len(server.state.requests("POST", "/prompt")) == 8  # nothing twice


def test_a_plan_names_the_node_that_names_its_files(tmp_path: Path) -> None:
    (note,) = plan_of(_recipe(tmp_path)).notes
    assert note.what.startswith('node "save" (SaveFixed) has no filename_prefix')
    assert note.what.endswith("give it a filename_prefix, if it accepts one, or save with SaveImage")
    assert not plan_of(_recipe(tmp_path, prefix="x")).notes


def test_what_ignores_its_file_prefix_is_found_out_and_rendered_again(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = begin(server, out, _recipe(tmp_path, prefix="x"), in_flight=2)
    events = list(run)

    _check_own(run.results(), out)

    again = [event for event in events if isinstance(event, JobRetried)]
    assert [event.reason for event in again] == ["server_lost"]  # the first one, behind which the second one was posted
    assert "may be another job's" in again[0].what


@pytest.mark.parametrize("mode", ["none", "ram"])
def test_whatever_the_server_caches_every_job_gets_its_own_picture(mode: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with StandIn(State(cache=mode)) as server:
        _check_own(rendered(server, out, _recipe(tmp_path)), out)


def test_a_job_whose_file_was_replaced_is_rendered_anew_though_its_node_is_cached(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with StandIn(State(cache="ram")) as server:
        first = rendered(server, out, _recipe(tmp_path, count=2))
        _check_own(first, out)

        _check_own(rendered(server, out, _recipe(tmp_path, count=2), force=True), out)


def test_what_a_killed_client_has_left_is_collected_where_nothing_came_after_it(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "out"
    recipe = _recipe(tmp_path, count=3)
    (first, *_) = (result.job_id for result in rendered(server, tmp_path / "other", recipe))
    left = abandoned(server, out, recipe, only=[first])
    ended(server, left)
    before = len(server.state.requests("POST", "/prompt"))

    _check_own(rendered(server, out, recipe), out)

    assert len(server.state.requests("POST", "/prompt")) == before + 2


def test_what_was_replaced_while_nobody_looked_is_rendered_again(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "out"
    recipe = _recipe(tmp_path, count=3)
    ended(server, abandoned(server, out, recipe))
    before = len(server.state.requests("POST", "/prompt"))

    _check_own(rendered(server, out, recipe), out)

    assert len(server.state.requests("POST", "/prompt")) == before + 2  # the last one's is its own


def test_servers_of_a_fleet_have_one_such_job_each(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with fleet_of(State(), State()) as servers:
        _check_own(begin_on(servers, out, _recipe(tmp_path)).results(), out)


def test_servers_that_share_an_output_folder_give_no_job_the_picture_of_another_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with fleet_of(*(State(files=tmp_path / "shared") for _ in range(2))) as servers:
        results = begin_on(servers, out, _recipe(tmp_path)).results()

    for result in (result for result in results if result.state == "done"):
        assert _seed_of(result.files["upscaled"][0]) == sidecar_in(out, result.job_id)["workflow"]["sample"]["inputs"]["seed"]
    assert {result.state for result in results} <= {"done", "failed"}
    assert any(result.state == "done" for result in results)
