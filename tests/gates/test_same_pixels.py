"""Which pictures of jobs that differ in seeds alone have the same pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from comfy_runner.gates.same_pixels import same_pixels
from comfy_runner.store.local import LocalStore
from comfy_runner.store.status import status
from tests.report.support import make_run


def _same(run: Path) -> Mapping[str, str]:
    return same_pixels(status(run).jobs, LocalStore(run))


def _plain(colour: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (colour, 0, 0))


def test_jobs_are_compared_that_differ_in_seeds_alone(tmp_path: Path) -> None:
    def paint(values: Mapping[str, Any]) -> dict[str, Image.Image]:
        return {"original": _plain(values["seed"]), "upscaled": _plain(7)}

    run = make_run(tmp_path / "lake", {"upscale.denoise": [0.4, 0.5], "seed": [1, 2, 3]}, paint)

    assert _same(run) == {f"lake-d{d}-s{s}": f"lake-d{d}-s1" for d in ("04", "05") for s in (2, 3)}


def test_jobs_of_one_first_pass_may_share_their_original(tmp_path: Path) -> None:
    def paint(values: Mapping[str, Any]) -> dict[str, Image.Image]:
        return {"original": _plain(1), "upscaled": _plain(values["upscale.seed"])}

    assert _same(make_run(tmp_path / "lake", {"upscale.seed": [1, 2]}, paint)) == {}


def test_a_job_that_saves_one_picture_only_is_known_by_that(tmp_path: Path) -> None:
    run = make_run(tmp_path / "lake", {"seed": [1, 2]}, lambda _values: {"original": _plain(1)})

    assert _same(run) == {"lake-s2": "lake-s1"}


def test_files_that_are_no_pictures_are_like_no_other(tmp_path: Path) -> None:
    run = make_run(tmp_path / "lake", {"seed": [1, 2]}, lambda _values: {"upscaled": b"broken"})

    assert _same(run) == {}
