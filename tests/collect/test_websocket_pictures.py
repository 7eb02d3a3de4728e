"""Pictures that come over the websocket alone (SaveImageWebsocket), and jobs done again where they did not all come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.running.support import begin, files_in, posted, rendered, sidecar_in, states
from tests.standin import StandIn

_SEND = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["decode", 0]}, "_meta": {"role": "sent"}}
_SAVE = {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "x"}, "_meta": {"role": "saved"}}


def _recipe(folder: Path, *, batch: int = 1, **nodes: Any) -> dict[str, Any]:
    sampler = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["model", 0], "positive": ["text", 0], "negative": ["text", 0], "latent_image": ["latent", 0]}
    graph = {
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny-random-sd15.safetensors"}},
        "text": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["model", 1], "text": "a lake"}},
        "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 48, "batch_size": batch}},
        "sample": {"class_type": "KSampler", "inputs": {**sampler, **links}},
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["sample", 0], "vae": ["model", 2]}},
        **(nodes or {"send": _SEND}),
    }
    (folder / "sent.json.j2").write_text(json.dumps(graph), encoding="utf-8")
    return {"name": "lake", "template": str(folder / "sent.json.j2"), "seed": 1}


@pytest.mark.parametrize("says_whose", [True, False])
def test_pictures_of_the_websocket_are_files_of_their_role(server: StandIn, tmp_path: Path, says_whose: bool) -> None:
    server.state.says_whose, server.state.preview_bytes = says_whose, 5000

    (result,) = rendered(server, tmp_path / "run", _recipe(tmp_path, batch=3))

    assert result.state == "done"
    names = [f"lake/sent{number}.png" for number in ("", "-2", "-3")]
    assert files_in(tmp_path / "run") == ["lake/job.json", *sorted(names)]
    records = sidecar_in(tmp_path / "run")["files"]["sent"]
    assert [(record["path"], record["width"], record["height"], record["server_name"]) for record in records] == [
        (name, 64, 48, "") for name in names
    ]


def test_they_are_written_in_the_format_of_the_recipe(server: StandIn, tmp_path: Path) -> None:
    recipe = {**_recipe(tmp_path), "output": {"format": "webp"}}

    rendered(server, tmp_path / "run", recipe)

    assert files_in(tmp_path / "run") == ["lake/job.json", "lake/sent.webp"]
    assert states(rendered(server, tmp_path / "run", recipe)) == {"lake": "done"}
    assert len(posted(server)) == 1


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_job_whose_pictures_did_not_all_come_is_done_again(server: StandIn, tmp_path: Path, lost: int) -> None:
    server.state.lost_pictures = lost

    (result,) = rendered(server, tmp_path / "run", _recipe(tmp_path, batch=3, send=_SEND, save=_SAVE))

    assert result.state == "done"
    assert len(files_in(tmp_path / "run")) == 7
    # What was saved stands.
    assert ["save" in graph for graph in posted(server)] == [True, False]
    assert sidecar_in(tmp_path / "run")["attempts"][0]["reason"] == "server_lost"


def test_a_job_whose_pictures_never_come_fails_in_the_end_and_says_why(server: StandIn, tmp_path: Path) -> None:
    server.state.lost_pictures = 1000

    (result,) = rendered(server, tmp_path / "run", {**_recipe(tmp_path), "retry": {"server_lost": 1}})

    assert result.state == "failed"
    assert "the websocket delivered nothing, or not everything, for sent" in str(result.error)
    assert len(posted(server)) == 2
    assert files_in(tmp_path / "run") == []


def test_without_a_websocket_the_reason_names_it(server: StandIn, tmp_path: Path) -> None:
    recipe = {**_recipe(tmp_path), "retry": {"server_lost": 0}}

    (result,) = rendered(server, tmp_path / "run", recipe, websocket=False)

    assert result.error is not None
    assert "--no-websocket" in result.error.problems[0].hint


def test_a_connection_that_breaks_in_between_costs_no_picture(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("send 0")
    with begin(server, tmp_path / "run", _recipe(tmp_path, batch=2)) as rendering:
        gate.wait()
        server.state.drop_sockets()
        gate.open()
        (result,) = rendering.results()

    assert result.state == "done"
    assert files_in(tmp_path / "run") == ["lake/job.json", "lake/sent-2.png", "lake/sent.png"]


def test_a_picture_larger_than_planned_is_none(server: StandIn, tmp_path: Path) -> None:
    recipe = {**_recipe(tmp_path), "retry": {"server_lost": 0}}
    server.state.picture_padding = 2 * 1024 * 1024

    (result,) = rendered(server, tmp_path / "run", recipe)

    assert result.state == "failed"


@pytest.mark.slow
def test_large_pictures_come_too(server: StandIn, tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, send=_SEND)
    text = (
        (tmp_path / "sent.json.j2")
        .read_text(encoding="utf-8")
        .replace('"width": 64, "height": 48', '"width": 2048, "height": 3072')
    )
    (tmp_path / "sent.json.j2").write_text(text, encoding="utf-8")
    server.state.picture_padding = 18 * 1024 * 1024

    (result,) = rendered(server, tmp_path / "run", recipe)

    assert result.state == "done"
    assert (tmp_path / "run/lake/sent.png").stat().st_size > 18 * 1024 * 1024
