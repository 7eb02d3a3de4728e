"""What the head of a page says was fixed."""

from __future__ import annotations

from pathlib import Path

from comfy_runner.report.fixed_values import fixed_values
from comfy_runner.report.run_data import read_material
from tests.report.page.pages import paint
from tests.report.support import make_run


def test_what_was_swept_is_not_fixed_and_all_else_is_told(tmp_path: Path) -> None:
    recipe = {"sampler": {"name": "euler", "steps": 20, "cfg": 5.5}, "negative_prompt": "", "checkpoint": "sdxl/base.safetensors"}
    run = make_run(tmp_path / "run", {"seed": [1, 2], "upscale.denoise": [0.3, 0.5]}, paint, recipe=recipe)

    found = fixed_values(read_material(run))

    assert found == {
        "prompt": "a lake",
        "model": "base",
        "sampler": "euler",
        "steps": "20",
        "cfg": "5.5",
        "size": "160x90 → 320x180",
        "ComfyUI": "0.3.75",
        "comfy_runner": "0.1.0",
    }


def test_a_swept_part_of_a_field_and_a_swept_whole_take_each_other_away(tmp_path: Path) -> None:
    sampler = {"name": "euler", "steps": 20}
    run = make_run(tmp_path / "run", {"sampler": [sampler, {**sampler, "steps": 30}], "size.width": [160, 320]}, paint)

    assert not {"sampler", "steps", "size"} & set(fixed_values(read_material(run)))


def test_of_a_run_without_records_nothing_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)
    for sidecar in run.glob("*/job.json"):
        sidecar.write_text("{", encoding="utf-8")

    assert fixed_values(read_material(run)) == {}
