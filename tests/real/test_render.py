"""Recipes rendered by the real ComfyUI, through the command that users type."""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from comfy_runner.engine.local import LocalServer
from tests.real.support import FAST, comfy_runner, likeness, pixels, sidecar

_HOSTILE = 'He said "hi"\\ {{ 7*7 }} {% raw %} {a|b} %x% 🌲\n\ttabs, $HOME, `ls`, </script>'


@pytest.fixture
def url(comfyui_server: LocalServer) -> str:
    return comfyui_server.url


def _post(url: str, workflow: dict[str, Any]) -> str:
    body = {"prompt": workflow, "client_id": "test"}
    answer = requests.post(f"{url}/prompt", json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prompt_id"])


def _entry(url: str, prompt_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        entry: dict[str, Any] | None = requests.get(f"{url}/history/{prompt_id}", timeout=10).json().get(prompt_id)
        if entry is not None:
            return entry
        threading.Event().wait(0.05)
    raise AssertionError(f"{prompt_id} did not end")


def test_pictures_are_smooth_and_unclipped_and_follow_seed_and_prompt(url: str, tmp_path: Path) -> None:
    found = []
    for number, change in enumerate(("seed=1", "seed=2", "prompt=another")):
        changes = ("--set", change, "--set", "upscale.sampler.steps=1", "--set", "size={width: 128, height: 72}")
        comfy_runner("run", "quickstart", "--server", url, *changes, "--out", str(number), folder=tmp_path)
        found.append(pixels(tmp_path / str(number) / "quickstart" / "original.png"))

    for picture in found:
        assert 15 < picture.std() < 80
        assert ((picture <= 0) | (picture >= 255)).mean() < 0.1
        assert np.corrcoef(picture[:, 1:].ravel(), picture[:, :-1].ravel())[0, 1] > 0.9
    assert likeness(found[0], found[1]) < 0.5
    assert np.abs(found[0] - found[2]).mean() > 1


def test_low_denoise_keeps_the_composition_and_high_denoise_does_not(url: str, tmp_path: Path) -> None:
    names, smaller = [], "size: {width: 128, height: 72}"
    for seed, denoise in itertools.product((1, 2), (0.3, 0.9)):
        names.append(f"s{seed}-d{denoise}")
        values = f"seed: {seed}\n{smaller}\nsampler: {{steps: 8}}\nupscale: {{denoise: {denoise}}}\n"
        recipe = f"extends: quickstart\nname: {names[-1]}\n{values}"
        (tmp_path / f"{names[-1]}.yaml").write_text(recipe, encoding="utf-8")

    comfy_runner("run", *(f"{name}.yaml" for name in names), "--server", url, "--out", "runs", folder=tmp_path)

    kept: dict[str, list[float]] = {"d0.3": [], "d0.9": []}
    for name in names:
        job = tmp_path / "runs" / name.replace(".", "-")
        like = likeness(pixels(job / "original.png"), pixels(job / "upscaled.png", size=(128, 72)))
        kept[name.partition("-")[2]].append(like)
    assert min(kept["d0.3"]) > 0.8, kept
    assert max(kept["d0.9"]) < 0.6, kept


def test_the_printed_graph_posted_by_hand_gives_the_same_pixels(url: str, tmp_path: Path) -> None:
    comfy_runner("run", "quickstart", "--server", url, *FAST, folder=tmp_path)
    printed = comfy_runner("render", "quickstart", *FAST, folder=tmp_path).stdout

    entry = _entry(url, _post(url, json.loads(printed)))

    for role in ("original", "upscaled"):
        image = entry["outputs"][f"save_{role}"]["images"][0]
        by_hand = tmp_path / f"{role}.png"
        by_hand.write_bytes(requests.get(f"{url}/view", params=image, timeout=10).content)
        ours = tmp_path / "runs" / "quickstart" / "quickstart" / f"{role}.png"
        assert np.array_equal(pixels(by_hand), pixels(ours))


def test_the_printed_graph_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = (comfy_runner("render", "forest-sunrise", folder=tmp_path).stdout for _ in range(2))

    assert first == second
    assert json.loads(first)["upscale"]["inputs"]["width"] == 2048


def test_a_finished_job_is_not_rendered_again_and_needs_no_server(url: str, tmp_path: Path) -> None:
    comfy_runner("run", "quickstart", "--server", url, *FAST, folder=tmp_path)

    again = comfy_runner("run", "quickstart", "--server", "http://127.0.0.1:9", *FAST, folder=tmp_path)

    assert "1 done (1 already)" in again.stderr
    assert len(again.stdout.splitlines()) == 2


def test_a_changed_job_is_rendered_again_and_its_old_pictures_are_kept(url: str, tmp_path: Path) -> None:
    comfy_runner("run", "quickstart", "--server", url, *FAST, folder=tmp_path)
    run = tmp_path / "runs" / "quickstart"
    before = (run / "quickstart" / "upscaled.png").read_bytes()
    old = sidecar(run / "quickstart")

    comfy_runner("run", "quickstart", "--server", url, *FAST, "--set", "upscale.denoise=0.8", folder=tmp_path)

    shelf = run / "superseded" / "quickstart" / old["content_hash"][:8]
    assert (shelf / "quickstart" / "upscaled.png").read_bytes() == before
    assert json.loads((shelf / "job.json").read_text(encoding="utf-8")) == old
    assert sidecar(run / "quickstart")["recipe"]["upscale"]["denoise"] == 0.8


def test_a_sidecar_is_a_recipe_that_gives_the_same_pixels(url: str, tmp_path: Path) -> None:
    comfy_runner("run", "quickstart", "--server", url, *FAST, "--set", "seed=random", folder=tmp_path)
    job = tmp_path / "runs" / "quickstart" / "quickstart"

    comfy_runner("run", str(job / "job.json"), "--server", url, "--out", "again", folder=tmp_path)

    assert np.array_equal(pixels(job / "upscaled.png"), pixels(tmp_path / "again" / "quickstart" / "upscaled.png"))


def test_a_random_seed_is_drawn_once_per_run_folder(url: str, tmp_path: Path) -> None:
    args = ("run", "quickstart", "--server", url, *FAST, "--set", "seed=random")
    comfy_runner(*args, folder=tmp_path)
    job = tmp_path / "runs" / "quickstart" / "quickstart"
    seed = sidecar(job)["recipe"]["seed"]

    again = comfy_runner(*args, folder=tmp_path)
    comfy_runner(*args, "--out", "other", folder=tmp_path)

    assert "1 done (1 already)" in again.stderr
    assert 0 <= seed < 2**53
    assert sidecar(tmp_path / "other" / "quickstart")["recipe"]["seed"] != seed


def test_pixels_are_the_same_without_the_websocket(url: str, tmp_path: Path) -> None:
    comfy_runner("run", "quickstart", "--server", url, *FAST, "--out", "with", folder=tmp_path)
    comfy_runner("run", "quickstart", "--server", url, *FAST, "--no-websocket", "--out", "without", folder=tmp_path)

    with_socket, without = (tmp_path / out / "quickstart" / "upscaled.png" for out in ("with", "without"))
    assert np.array_equal(pixels(with_socket), pixels(without))


def test_any_text_reaches_the_server_as_it_was_written(url: str, tmp_path: Path) -> None:
    recipe = tmp_path / "hostile.yaml"
    recipe.write_text(
        f"extends: quickstart\nprompt: {json.dumps(_HOSTILE)}\nsampler: {{steps: 2}}\nsize: {{width: 64, height: 64}}\n",
        encoding="utf-8",
    )

    comfy_runner("run", str(recipe), "--server", url, folder=tmp_path)

    found = sidecar(tmp_path / "runs" / "hostile" / "hostile")
    entry = _entry(url, found["prompt_id"])
    assert entry["prompt"][2]["prompt"]["inputs"]["text"] == _HOSTILE


def test_a_template_of_ones_own_takes_100_kb_of_text_to_the_server(url: str, tmp_path: Path) -> None:
    text = (_HOSTILE + " ") * (100_000 // len(_HOSTILE))
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "note.json.j2").write_text(
        """{
          "text": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": {{ params.text }}}},
          "show": {"class_type": "PreviewAny", "inputs": {"source": ["text", 0]}},
          "picture": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
          "save": {"class_type": "SaveImage", "inputs": {"images": ["picture", 0], "filename_prefix": "x"}}
        }""",
        encoding="utf-8",
    )
    recipe = tmp_path / "long.yaml"
    recipe.write_text(f"template: note\nparams: {{text: {json.dumps(text)}}}\n", encoding="utf-8")

    comfy_runner("run", str(recipe), "--server", url, folder=tmp_path)

    job = tmp_path / "runs" / "long" / "long"
    assert pixels(job / "save.png").shape == (64, 64, 3)
    assert _entry(url, sidecar(job)["prompt_id"])["outputs"]["show"]["text"] == [text]


def test_a_failed_second_pass_leaves_the_original_and_the_next_run_makes_only_the_rest(url: str, tmp_path: Path) -> None:
    # A factor of 0.01 is allowed and gives a latent without any cells, which only shows when the node runs.
    broken = json.loads(comfy_runner("render", "quickstart", *FAST, folder=tmp_path).stdout)
    inputs = {"samples": ["first_pass", 0], "upscale_method": "bilinear", "scale_by": 0.01}
    broken["upscale"] = {"class_type": "LatentUpscaleBy", "inputs": inputs}
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "broken.json.j2").write_text(json.dumps(broken), encoding="utf-8")
    recipe = tmp_path / "half.yaml"
    recipe.write_text("template: broken\n", encoding="utf-8")

    done = comfy_runner("run", str(recipe), "--server", url, folder=tmp_path, code=1)

    job = tmp_path / "runs" / "half" / "half"
    assert "half: partial" in done.stderr
    assert 'node "upscale" (LatentUpscaleBy, LatentUpscaleBy) failed' in done.stderr
    assert pixels(job / "original.png").shape == (48, 64, 3)
    assert not (job / "upscaled.png").exists()
    assert sidecar(job)["state"] == "partial"

    original = (job / "original.png").stat().st_mtime_ns
    comfy_runner("run", str(recipe), "--server", url, folder=tmp_path, code=1)
    assert (job / "original.png").stat().st_mtime_ns == original
    posted = _entry(url, requests.get(f"{url}/history?max_items=1", timeout=10).json().popitem()[0])["prompt"][2]
    assert "second_pass" in posted
    assert "save_original" not in posted


def test_what_the_server_would_refuse_is_refused_before_anything_is_rendered(url: str, tmp_path: Path) -> None:
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text(
        "extends: quickstart\ncheckpoint: tiny-randon-sd15.safetensors\nsampler:\n  name: euler_a\n", encoding="utf-8"
    )
    before = requests.get(f"{url}/history", timeout=10).json()

    done = comfy_runner("run", str(recipe), "--server", url, folder=tmp_path, code=2)

    assert 'wrong.yaml:2: checkpoint: "tiny-randon-sd15.safetensors"' in done.stderr
    assert "did you mean tiny-random-sd15.safetensors?" in done.stderr
    assert 'wrong.yaml:4: sampler.name: "euler_a"' in done.stderr
    assert requests.get(f"{url}/history", timeout=10).json() == before


def test_a_foreign_job_waits_its_turn_and_ours_is_collected_behind_it(url: str, tmp_path: Path) -> None:
    foreign = json.loads(comfy_runner("render", "quickstart", *FAST, "--set", "seed=77", folder=tmp_path).stdout)
    foreign_ids = []
    for number in range(3):
        foreign["first_pass"]["inputs"]["seed"] = 1000 + number
        foreign_ids.append(_post(url, foreign))

    comfy_runner("run", "quickstart", "--server", url, *FAST, "--out", uuid.uuid4().hex, folder=tmp_path)

    assert [_entry(url, found)["status"]["status_str"] for found in foreign_ids] == ["success"] * 3
