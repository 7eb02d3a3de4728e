"""Gates on the real ComfyUI: green; then a limit, a lost cache and a file that was cut, each of which is exit code 4."""

from __future__ import annotations

import json
from pathlib import Path

import requests

from comfy_runner.engine.local import LocalServer
from tests.real.support import comfy_runner

_RECIPE = """\
extends: quickstart
name: fox
seed: 7
size: {width: 128, height: 72}
sampler: {steps: 4}
expect:
  drift: {max: 1.2}
  noise: {max: 0.05}
  outputs: {min: 2, max: 2}
  width: {min: 256, max: 256}
  seconds: {max: 600}
  passes: {first: {max: 1}, second: {max: 3}, loads: {max: 1}}
sweep:
  upscale.denoise: [0.4, 0.5, 0.6]
"""


def test_gates_hold_and_each_of_them_can_fail(comfyui_server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "fox.yaml").write_text(_RECIPE, encoding="utf-8")

    def run(out: str, *args: str, code: int = 0) -> str:
        return comfy_runner(
            "run", "fox.yaml", "--server", comfyui_server.url, "--out", out, *args, folder=tmp_path, code=code
        ).stderr

    def forget() -> None:
        answer = requests.post(f"{comfyui_server.url}/free", json={"unload_models": True, "free_memory": True}, timeout=60)
        answer.raise_for_status()

    # The runs of other tests may have left this server anything.
    forget()
    assert "checked 3 jobs: 3 passed" in run("green").splitlines()
    checked = json.loads(comfy_runner("check", "green", "--json", folder=tmp_path).stdout)
    passes = {found["check"]: found["measured"] for found in checked["findings"]}
    assert passes == {"passes.first": 1, "passes.second": 3, "passes.loads": 1}

    strict = comfy_runner("check", "green", "fox.yaml", "--set", "expect.drift.max=0.0001", folder=tmp_path, code=4).stdout
    assert [line.split(":")[0] for line in strict.splitlines()] == [
        *(f"FAILED fox-d0{tenth}0 upscaled" for tenth in (4, 5, 6)),
        "checked 3 jobs",
    ]

    forget()
    run("lost", "--only", "fox-d040")
    forget()
    lost = run("lost", code=4)
    assert "FAILED fox: first passes 2, at most 1 expected (fox.yaml:12)" in lost
    assert "FAILED fox: model loads 2, at most 1 expected (fox.yaml:12)" in lost

    picture = tmp_path / "green" / "fox-d050" / "upscaled.png"
    picture.write_bytes(picture.read_bytes()[:-500])
    cut = comfy_runner("check", "green", "fox.yaml", folder=tmp_path, code=4).stdout
    assert "FAILED fox-d050 upscaled: fox-d050/upscaled.png has changed since it was collected" in cut
