"""A search on the real ComfyUI finds what the whole sweep does, with a part of its second passes."""

from __future__ import annotations

import json
from pathlib import Path

from comfy_runner.api import write_report
from comfy_runner.engine.local import LocalServer
from comfy_runner.report.suggest import Limits, faults
from tests.real.support import FAST, comfy_runner

_VALUES = "upscale.denoise=0.2:0.9:0.05"
_DRIFT = "0.45"


def test_a_search_finds_what_the_whole_sweep_does(comfyui_server: LocalServer, tmp_path: Path) -> None:
    given = ("--server", comfyui_server.url, "--no-report", *FAST, "--set", "upscale.sampler.steps=12")
    done = comfy_runner("find", "quickstart", "--over", _VALUES, "--max-drift", _DRIFT, "--out", "found", *given, folder=tmp_path)
    searched = [*(tmp_path / "found").glob("*/job.json")]
    comfy_runner("run", "quickstart", "--sweep", _VALUES, "--out", "grid", *given, folder=tmp_path)
    suggested = comfy_runner("suggest", "grid", "--max-drift", _DRIFT, "--json", folder=tmp_path)

    chosen = json.loads(suggested.stdout)["chosen"]
    values = [json.loads(path.read_text(encoding="utf-8"))["assignments"]["upscale.denoise"] for path in searched]
    assert chosen is not None
    assert float(done.stdout) in values
    assert abs(float(done.stdout) - chosen) <= 0.05 + 1e-9
    assert len(searched) <= 7


def test_a_search_over_several_fields_finds_as_much_detail_as_their_sweep(comfyui_server: LocalServer, tmp_path: Path) -> None:
    fields = ("upscale.denoise=0.1:0.4:0.05", "upscale.method=nearest-exact,bicubic")
    over = [part for field in fields for part in ("--over", field)]
    swept = [part for field in fields for part in ("--sweep", field)]
    given = ("--server", comfyui_server.url, "--no-report", *FAST, "--set", "upscale.sampler.steps=12")
    done = comfy_runner("find", "quickstart", *over, "--max-drift", _DRIFT, "--out", "found", "--json", *given, folder=tmp_path)
    comfy_runner("run", "quickstart", *swept, "--out", "grid", *given, folder=tmp_path)

    found = json.loads(done.stdout.splitlines()[-1])
    limits = Limits(drift=float(_DRIFT))
    measured = write_report(tmp_path / "grid", limits=limits).measured
    allowed = [each.measures.detail for each in measured.values() if each.measures and not faults(each.measures, limits)]
    assert len(measured) == 14
    assert len(found["steps"]) <= 7
    assert found["detail"] >= 0.9 * max(allowed)
