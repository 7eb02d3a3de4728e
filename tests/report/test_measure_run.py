"""All pictures of a run are measured, each content once; what cannot be measured says why."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy_runner.report.measure_run import measure_all
from comfy_runner.report.measures import Measured
from comfy_runner.report.run_data import read_material
from comfy_runner.store.run_folder import REPORT_FILES
from tests.report.support import make_run, photo

AXES: Mapping[str, Any] = {"seed": [1, 2], "upscale.denoise": [0.4, 0.5]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "lake", AXES, photo)


@pytest.fixture(scope="module")
def made_and_measured(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(made, tmp_path_factory.mktemp("measured") / "lake"))
    assert counted(run)[1] == 4
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "lake"))


@pytest.fixture
def known(made_and_measured: Path, tmp_path: Path) -> Path:
    """A run that was measured before."""
    return Path(shutil.copytree(made_and_measured, tmp_path / "lake"))


def counted(run: Path, **options: Any) -> tuple[dict[str, Measured], int]:
    """Measure a run, and return how many pairs that took."""
    told: list[tuple[int, int]] = []
    found, _ = measure_all(read_material(run), progress=lambda done, total: told.append((done, total)), **options)
    assert told == [(number, len(told)) for number in range(1, len(told) + 1)]
    return found, len(told)


def test_every_job_is_measured_and_more_denoise_is_more_detail(run: Path) -> None:
    found, count = counted(run)

    assert count == 4
    details = [one.measures.detail for one in found.values() if one.measures]
    assert details[0] < details[1]
    assert details[2] < details[3]


def test_what_is_known_is_not_measured_again(run: Path) -> None:
    first, _ = counted(run)

    assert counted(run) == (first, 0)


def test_a_picture_that_was_changed_by_hand_is_measured_again(known: Path) -> None:
    path = read_material(known).entries[0].pictures["upscaled"][0].path
    photo({"seed": 5, "upscale.denoise": 0.6})["upscaled"].save(known / path)

    assert counted(known)[1] == 1


def test_equal_pictures_of_several_jobs_are_measured_once_and_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "lake", AXES, lambda values: photo({**values, "upscale.denoise": 0.5}))
    found, count = counted(run)

    assert count == 2
    assert [one.same_as for one in found.values()] == ["", "lake-s1-d04", "", "lake-s2-d04"]


def test_pictures_that_can_hardly_be_told_apart_are_told_where_their_originals_differ_in_texts_alone(tmp_path: Path) -> None:
    def paint(values: Mapping[str, Any]) -> dict[str, bytes]:
        texts = PngInfo()
        texts.add_text("prompt", str(values))
        return {role: _png(picture, texts) for role, picture in photo(values).items()}

    found, _ = counted(make_run(tmp_path / "lake", {"upscale.denoise": [0.55, 0.552]}, paint))

    assert [one.close_to for one in found.values()] == ["", "lake-d055"]


def _png(picture: Image.Image, texts: PngInfo) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=texts)
    return file.getvalue()


def test_a_broken_picture_a_missing_one_and_one_that_is_gone_say_so(tmp_path: Path) -> None:
    def paint(values: Mapping[str, Any]) -> Mapping[str, Image.Image | bytes]:
        pictures: dict[str, Image.Image | bytes] = dict(photo(values))
        if values["upscale.denoise"] == 0.4:
            pictures["upscaled"] = b"no picture"
        if values["upscale.denoise"] == 0.5:
            del pictures["upscaled"]
        return pictures

    run = make_run(tmp_path / "lake", {"upscale.denoise": [0.4, 0.5, 0.6, 0.7]}, paint)
    (run / "lake-d06" / "original.png").unlink()
    found, _ = counted(run)

    problems = {job_id: one.problem for job_id, one in found.items()}
    assert problems["lake-d04"].startswith("is not a whole picture")
    assert problems["lake-d05"] == "has no upscaled picture"
    assert problems["lake-d06"] == "its original picture is gone"
    assert problems["lake-d07"] == ""
    assert [job_id for job_id, one in found.items() if one.measures] == ["lake-d07"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a": 1}', b'{"a": {"measures": {"drift": NaN}, "print": null}}', b"\xff"])
def test_a_damaged_memory_of_measurements_is_made_anew(known: Path, damage: bytes) -> None:
    first, _ = counted(known)
    (known / REPORT_FILES / "measured.json").write_bytes(damage)

    assert counted(known) == (first, 4)
    assert counted(known) == (first, 0)


def test_measurements_of_pictures_that_are_gone_are_forgotten(known: Path) -> None:
    shutil.rmtree(known / "lake-s1-d04")
    counted(known)

    assert len(json.loads((known / REPORT_FILES / "measured.json").read_bytes())) == 3


def test_an_interruption_loses_no_measurement(run: Path) -> None:
    def interrupt(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_all(read_material(run), progress=interrupt)

    assert counted(run)[1] <= 2


def test_metrics_of_the_users_own_are_measured_and_kept_apart(known: Path) -> None:
    found, count = counted(known, custom={"red": lambda _original, _plain, upscaled: float(upscaled[..., 0].mean())})

    assert count == 4
    assert all(one.measures is not None and 0 < one.measures.extra["red"] < 1 for one in found.values())


def test_a_metric_of_the_users_own_that_fails_is_told_and_leaves_the_rest_standing(run: Path) -> None:
    def fails(*_pictures: object) -> float:
        raise RuntimeError("no weights")

    found, failed = measure_all(read_material(run), custom={"lpips": fails})

    assert failed == ("metric lpips failed (RuntimeError: no weights)",)
    assert all(one.measures is not None and "lpips" not in one.measures.extra for one in found.values())
    assert counted(run, custom={"lpips": lambda *_pictures: 0.25})[1] == 4


def test_a_metric_of_the_users_own_that_gives_no_number_is_told(run: Path) -> None:
    assert measure_all(read_material(run), custom={"odd": lambda *_pictures: math.nan})[1] == (
        "metric odd did not return a number (got nan)",
    )


def test_it_is_said_that_the_first_of_several_pictures_is_measured(run: Path) -> None:
    material = read_material(run)
    first, *others = material.entries
    batch = (*first.pictures["upscaled"], *others[0].pictures["upscaled"])
    first = replace(first, pictures={**first.pictures, "upscaled": batch})

    found, notes = measure_all(replace(material, entries=(first, *others)))

    assert notes == ("1 job with several upscaled pictures: only the first of them is measured",)
    assert len(found) == 4
    assert all(one.measures for one in found.values())


@pytest.mark.slow
def test_a_picture_too_large_to_be_measured_says_so(tmp_path: Path) -> None:
    sizes = {"original": (4150, 4100), "upscaled": (8300, 8200)}
    run = make_run(tmp_path / "lake", {}, lambda _: {role: Image.new("L", size, 90) for role, size in sizes.items()})
    found, _ = counted(run)

    assert found["lake"].problem == "is larger than 8192x8192 pixels, the most that is measured (got 8300x8200)"
