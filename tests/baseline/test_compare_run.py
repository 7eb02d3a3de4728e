"""Runs compared with baselines: the same, similar, different, missing on either side; and what has changed since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfy_runner.baseline.compare_run import LeastSimilarity
from comfy_runner.baseline.update import update_baseline
from comfy_runner.check.results import Likeness
from comfy_runner.errors import RunFolderError
from comfy_runner.store.status import status
from tests.baseline.support import compare, edit, likenesses, messages, painted, repaint, run_of, snapshot

SAME, SIMILAR, DIFFERENT, MISSING = Likeness.SAME, Likeness.SIMILAR, Likeness.DIFFERENT, Likeness.MISSING


def _two(folder: Path) -> tuple[Path, Path]:
    run = run_of(folder / "run")
    update_baseline(run, folder / "base")
    return run, folder / "base"


def test_the_same_run_is_the_same_and_nothing_is_written(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    before = snapshot(tmp_path)

    found = compare(run, base)

    assert likenesses(found) == {"lake-s1": [SAME, SAME], "lake-s2": [SAME, SAME]}
    assert (messages(found), found.orphans, found.notes) == ([], (), ())
    assert snapshot(tmp_path) == before


def test_what_nobody_sees_is_similar_and_what_people_see_is_different_with_three_pictures(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    with Image.open(run / "lake-s1/upscaled.png") as image:
        noisy = np.clip(np.asarray(image) + np.random.default_rng(1).integers(-1, 2, (144, 256, 3)), 0, 255)
    repaint(run, "lake-s1", "upscaled", Image.fromarray(noisy.astype(np.uint8)))
    repaint(run, "lake-s2", "upscaled", painted(run, "lake-s2"))
    limits = {"lake-s2": LeastSimilarity(0.9, "lake.yaml:7")}

    found = compare(run, base, limits=limits)

    assert likenesses(found) == {"lake-s1": [SAME, SIMILAR], "lake-s2": [SAME, DIFFERENT]}
    _, wrong = found.jobs["lake-s2"].findings
    assert (wrong.check, wrong.role, wrong.limit, wrong.where) == ("baseline", "upscaled", 0.9, "lake.yaml:7")
    assert "at least 0.9 is wanted" in wrong.message
    _, shown = found.jobs["lake-s2"].comparisons
    assert sorted(snapshot(run / "comparison_files")) == [f"lake-s2/upscaled.{name}.png" for name in ("actual", "diff", "expected")]
    with Image.open(run / shown.actual) as actual, Image.open(run / shown.expected) as expected:
        assert actual.getpixel((50, 50)) == (255, 0, 0) != expected.getpixel((50, 50))
    # An earlier comparison's pictures are gone with the next one.
    update_baseline(run, base)
    compare(run, base)
    assert snapshot(run / "comparison_files") == {}


def test_the_reason_is_told_where_the_job_itself_has_changed(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    repaint(run, "lake-s1", "upscaled", painted(run, "lake-s1"))

    def other(sidecar: dict[str, Any]) -> None:
        sidecar["content_hash"] = "f" * 64
        sidecar["recipe"] |= {"sampler": {"cfg": 5.5}, "expect": {"bytes": {"max": 1}}, "name": "pond"}

    edit(run, "lake-s1", other)

    (message,) = messages(compare(run, base))
    assert message.endswith("; the job has changed: sampler.cfg none → 5.5")


def test_a_new_template_is_told_where_no_field_has_changed(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    repaint(run, "lake-s1", "upscaled", painted(run, "lake-s1"))
    edit(run, "lake-s1", lambda sidecar: sidecar.update(content_hash="f" * 64, template={"name": "x", "sha256": "1" * 64}))

    assert messages(compare(run, base))[0].endswith("; the job has changed: template latent_upscale → x")


@pytest.mark.parametrize(("now", "is_told"), [("0.6.0", False), ("0.7.0", True), ("0.33.1", True)])
def test_another_environment_is_told_and_what_changed_with_it(tmp_path: Path, now: str, is_told: bool) -> None:
    run = run_of(tmp_path / "run")
    for job_id in ("lake-s1", "lake-s2"):
        edit(run, job_id, lambda sidecar: sidecar.update(server={"comfyui": "0.3.75", "devices": "cpu"}))
    update_baseline(run, tmp_path / "base")
    for job_id in ("lake-s1", "lake-s2"):
        edit(run, job_id, lambda sidecar: sidecar.update(server={"comfyui": now, "devices": "cpu"}))

    found = compare(run, tmp_path / "base")

    assert found.notes[0] == f"rendered by something other than the baseline (2 jobs): ComfyUI 0.3.75 → {now}"
    assert any("ancestral" in note for note in found.notes) is is_told


def test_what_the_baseline_lacks_fails_or_is_written(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    run = run_of(tmp_path / "more", {"seed": [1, 2, 3]})

    found = compare(run, base)
    assert likenesses(found)["lake-s3"] == [MISSING, MISSING]
    assert messages(found) == ["is not in the baseline"] * 2

    before = snapshot(base)
    found = compare(run, base, write_missing=True)
    assert likenesses(found)["lake-s3"] == [Likeness.WRITTEN] * 2
    assert messages(found) == []
    assert found.notes == (f"2 pictures that had no baseline were written to {base}: lake-s3",)
    after = snapshot(base)
    assert {name for name in after if after[name] != before.get(name)} == {
        "baseline.json",
        "pictures/lake-s3/original.webp",
        "pictures/lake-s3/upscaled.webp",
    }
    assert likenesses(compare(run, base))["lake-s3"] == [SAME, SAME]


def test_jobs_of_the_baseline_that_the_run_lacks_are_orphans_and_pictures_of_a_job_that_it_lacks_fail(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    run = run_of(tmp_path / "less", {"seed": [2]})
    edit(run, "lake-s2", lambda sidecar: sidecar["files"].pop("original"))

    found = compare(run, base)

    assert found.orphans == ("lake-s1",)
    assert messages(found) == ["is missing, but the baseline has it"]
    (_, original) = found.jobs["lake-s2"].comparisons
    assert (original.actual, original.expected) == ("", "comparison_files/lake-s2/original.expected.png")


def test_a_truncated_picture_and_a_damaged_one_of_the_baseline_are_failures_that_say_so(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    cut = run / "lake-s1" / "upscaled.png"
    cut.write_bytes(cut.read_bytes()[:2000])
    repaint(run, "lake-s2", "upscaled", painted(run, "lake-s2"))
    (base / "pictures/lake-s2/upscaled.webp").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")

    found = compare(run, base)

    first, second = messages(found)
    assert first.startswith("cannot be compared: ")
    assert "lake-s1/upscaled.png: is not a whole picture" in first
    assert "pictures/lake-s2/upscaled.webp: is only Git LFS's pointer to it" in second
    assert found.notes == ()


def test_what_is_left_of_a_truncated_picture_is_put_beside_what_was_expected(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    cut = run / "lake-s1" / "upscaled.png"
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])

    _, shown = compare(run, base).jobs["lake-s1"].comparisons

    with Image.open(run / shown.actual) as actual, Image.open(run / shown.expected) as expected:
        assert actual.size == expected.size
        first, last = (0, 0, actual.width, actual.height // 4), (0, actual.height - 1, actual.width, actual.height)
        assert actual.crop(first).tobytes() == expected.crop(first).tobytes()
        assert not any(actual.crop(last).tobytes())
    assert shown.difference == "comparison_files/lake-s1/upscaled.diff.png"
    assert cut.read_bytes() == whole[: len(whole) // 2]


def test_a_picture_that_nothing_known_explains_is_told(tmp_path: Path) -> None:
    run, base = run_of(tmp_path / "run"), tmp_path / "base"
    edit(run, "lake-s1", lambda sidecar: sidecar.update(server={"comfyui": "0.8.0"}))
    update_baseline(run, base)
    repaint(run, "lake-s1", "upscaled", painted(run, "lake-s1"))

    assert compare(run, base).notes == (
        "1 job looks different, though nothing known about it has changed (lake-s1): a model file may have been replaced under "
        "its name, or a node pack updated",
    )

    edit(run, "lake-s1", lambda sidecar: sidecar.update(server={"comfyui": "0.9.0"}))
    assert [note.partition(" (")[0] for note in compare(run, base).notes] == ["rendered by something other than the baseline"]
    edit(run, "lake-s1", lambda sidecar: sidecar.update(server={}, content_hash="f" * 64))
    assert compare(run, base).notes == ()


def test_the_second_picture_of_a_role_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"seed": [1]})

    def twice(sidecar: dict[str, Any]) -> None:
        (upscaled,), (original,) = sidecar["files"]["upscaled"], sidecar["files"]["original"]
        sidecar["files"] = {"upscaled": [upscaled, original]}

    edit(run, "lake-s1", twice)
    update_baseline(run, tmp_path / "base")
    edit(run, "lake-s1", lambda sidecar: sidecar["files"]["upscaled"].reverse())

    found = messages(compare(run, tmp_path / "base"))

    assert [message[:26] for message in found] == ["is of another size (got 12", "picture 2 is of another si"]


def test_files_that_are_no_pictures_are_not_compared_and_that_is_said(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    (job, _) = status(run).jobs
    films = tuple(replace(row, path=f"lake-s1/{row.role}.mp4") for row in job.files)

    found = compare(run, base, done=[replace(job, files=films)])

    assert found.notes == (
        "2 files are not pictures, and not compared with the baseline: lake-s1/original.mp4, lake-s1/upscaled.mp4",
    )


def test_a_picture_of_the_run_that_lies_where_comparisons_go_is_not_touched(tmp_path: Path) -> None:
    run, base = _two(tmp_path)
    mine = run / "comparison_files" / "lake-s1" / "upscaled.actual.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes((run / "lake-s1" / "upscaled.png").read_bytes())
    edit(
        run,
        "lake-s1",
        lambda sidecar: sidecar["files"]["upscaled"][0].update(path="comparison_files/lake-s1/upscaled.actual.png"),
    )

    with pytest.raises(RunFolderError, match="is a picture of this run"):
        compare(run, base)
    assert mine.exists()
