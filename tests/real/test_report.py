"""A sweep on the real ComfyUI, its report and its suggestion: the numbers follow the denoise as they should."""

from __future__ import annotations

import json
import re
from pathlib import Path

from PIL import Image

from comfy_runner.engine.local import LocalServer
from tests.real.support import comfy_runner

_SIZE = ("--set", "sampler.steps=8", "--set", "size={width: 96, height: 72}")


def test_drift_grows_with_denoise_and_only_a_second_pass_that_keeps_the_picture_adds_detail(
    comfyui_server: LocalServer, tmp_path: Path
) -> None:
    sweep = ("--sweep", "seed=1,2", "--sweep", "upscale.denoise=0.15,0.35,0.75")
    done = comfy_runner(
        *("run", "quickstart", "--server", comfyui_server.url, *_SIZE, *sweep),
        folder=tmp_path,
        environment={"COMFY_RUNNER_REPORT": "1"},
    )
    assert re.fullmatch(r"6 done, 12 pictures in \d+ (s|min): runs/quickstart/report.html", done.stderr.splitlines()[-1])

    run = tmp_path / "runs" / "quickstart"
    told = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    for seed in (1, 2):
        low, middle, high = (job["measures"] for job in told["jobs"] if job["values"]["seed"] == seed)
        assert low["drift"] < middle["drift"] < high["drift"]
        assert min(low["detail"], middle["detail"]) > 0.1
        assert high["detail"] < min(low["detail"], middle["detail"])
        assert high["local_drift"] > 0.65

    suggested = json.loads(comfy_runner("suggest", str(run), "--max-drift", "0.35", "--json", folder=tmp_path).stdout)
    assert suggested["series"] == 2
    assert suggested["chosen"] in (0.15, 0.35, None)
    comfy_runner("sheet", str(run), "--cell", "192", folder=tmp_path)
    with Image.open(run / "sheet.png") as sheet:
        assert sheet.width > 4 * 192
