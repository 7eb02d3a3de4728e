"""Jobs of a real ComfyUI rendered once more: the same, about the same, another picture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.engine.local import LocalServer
from tests.real.support import FAST, comfy_runner, sidecar


@pytest.fixture(scope="module")
def run(comfyui_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one job."""
    folder = tmp_path_factory.mktemp("reproduce")
    comfy_runner("run", "quickstart", "--server", comfyui_server.url, *FAST, folder=folder)
    return folder / "runs" / "quickstart"


def _reproduced(folder: Path, url: str, job: Path, *, code: int = 0) -> dict[str, Any]:
    done = comfy_runner("reproduce", str(job), "--server", url, "--json", folder=folder, code=code)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _changed(run: Path, folder: Path, **sampler: Any) -> Path:
    """Return the job of a copy of a run, with a sidecar that says it had another sampler."""
    shutil.copytree(run, folder / "run")
    path = folder / "run" / "quickstart" / "job.json"
    values = json.loads(path.read_bytes())
    values["recipe"]["sampler"] |= sampler
    values["recipe"]["upscale"]["sampler"] |= sampler
    path.write_text(json.dumps(values), encoding="utf-8")
    return path.parent


def test_the_same_server_really_renders_it_again_and_gives_the_same_pixels(
    comfyui_server: LocalServer, run: Path, tmp_path: Path
) -> None:
    found = _reproduced(tmp_path, comfyui_server.url, run / "quickstart")

    assert [(each["role"], each["likeness"]) for each in found["pictures"]] == [("original", "same"), ("upscaled", "same")]
    assert found["changes"] == []
    assert sidecar(tmp_path / "reproduced/quickstart/quickstart")["cached_nodes"] == []


def test_a_picture_alone_is_enough(server_without_cache: LocalServer, run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "quickstart" / "upscaled.png", tmp_path / "some.png")

    found = _reproduced(tmp_path, server_without_cache.url, tmp_path / "some.png")

    assert [(each["role"], each["likeness"]) for each in found["pictures"]] == [("upscaled", "same")]


def test_a_hair_more_cfg_is_perceptually_equal(comfyui_server: LocalServer, run: Path, tmp_path: Path) -> None:
    cfg = sidecar(run / "quickstart")["recipe"]["sampler"]["cfg"]

    found = _reproduced(tmp_path, comfyui_server.url, _changed(run, tmp_path, cfg=cfg + 0.001))

    assert {each["likeness"] for each in found["pictures"]} <= {"same", "similar"}
    assert "similar" in {each["likeness"] for each in found["pictures"]}
    assert "its graph is no longer the same" in found["notes"]


def test_another_sampler_is_different_and_can_be_looked_at(comfyui_server: LocalServer, run: Path, tmp_path: Path) -> None:
    found = _reproduced(tmp_path, comfyui_server.url, _changed(run, tmp_path, name="lcm"), code=4)

    first, _ = found["pictures"]
    assert (first["likeness"], first["reason"].partition(",")[0]) == ("different", "looks different")
    folder = tmp_path / "reproduced/quickstart/comparison_files/quickstart"
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("original")) == [
        "original.actual.png",
        "original.diff.png",
        "original.expected.png",
    ]
