"""Making and renewing baselines: what is written, what stays as it is, and what is never written."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfy_runner.baseline import update
from comfy_runner.baseline.folder import read_baseline
from comfy_runner.baseline.renewing import renewing
from comfy_runner.baseline.update import update_baseline
from comfy_runner.errors import InputError, RunFolderError, UsageError
from tests.baseline.support import edit, painted, repaint, run_of, snapshot


def _jobs(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "baseline.json").read_text(encoding="utf-8"))["jobs"]
    return found


def test_the_pictures_are_the_same_without_loss_and_without_what_they_say_of_themselves(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")

    found = update_baseline(run, tmp_path / "base")

    assert (found.added, found.changed, found.skipped) == (("lake-s1", "lake-s2"), (), {})
    with Image.open(run / "lake-s1/upscaled.png") as first, Image.open(tmp_path / "base/pictures/lake-s1/upscaled.webp") as kept:
        assert np.array_equal(np.asarray(first), np.asarray(kept))
        assert not kept.getexif()
    job = _jobs(tmp_path / "base")["lake-s1"]
    assert [each["role"] for each in job["pictures"]] == ["original", "upscaled"]
    assert job["recipe"]["checkpoint"] == "tiny.safetensors"


def test_the_same_run_changes_no_byte_and_writes_no_file(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    update_baseline(run, tmp_path / "base")
    before = snapshot(tmp_path / "base")

    found = update_baseline(run, tmp_path / "base")

    assert found.unchanged == ("lake-s1", "lake-s2")
    assert snapshot(tmp_path / "base") == before
    update_baseline(run, tmp_path / "other")
    assert {name: content for name, (content, _) in snapshot(tmp_path / "other").items()} == {
        name: content for name, (content, _) in before.items()
    }


def test_only_what_has_changed_is_replaced(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    update_baseline(run, tmp_path / "base")
    before = snapshot(tmp_path / "base")
    repaint(run, "lake-s2", "upscaled", painted(run, "lake-s2"))

    found = update_baseline(run, tmp_path / "base")

    assert (found.changed, found.unchanged) == (("lake-s2",), ("lake-s1",))
    after = snapshot(tmp_path / "base")
    assert {name for name in after if after[name] != before[name]} == {"baseline.json", "pictures/lake-s2/upscaled.webp"}


def test_a_damaged_or_missing_picture_of_the_baseline_is_written_again(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    update_baseline(run, tmp_path / "base")
    before = {name: content for name, (content, _) in snapshot(tmp_path / "base").items()}
    (tmp_path / "base/pictures/lake-s1/upscaled.webp").write_bytes(b"half")
    (tmp_path / "base/pictures/lake-s2/original.webp").unlink()

    update_baseline(run, tmp_path / "base")

    assert {name: content for name, (content, _) in snapshot(tmp_path / "base").items()} == before


def test_what_is_not_done_or_not_as_collected_is_left_out_and_its_old_picture_stays(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"seed": [1, 2, 3]}, failed=["lake-s3"])
    update_baseline(run, tmp_path / "base", only=["*-s1"])
    painted(run, "lake-s1").save(run / "lake-s1" / "upscaled.png")  # by hand
    before = snapshot(tmp_path / "base")["pictures/lake-s1/upscaled.webp"]

    found = update_baseline(run, tmp_path / "base")

    assert found.added == ("lake-s2",)
    assert found.skipped == {"lake-s1": "a picture has changed since it was collected", "lake-s3": "failed"}
    assert snapshot(tmp_path / "base")["pictures/lake-s1/upscaled.webp"] == before


def test_jobs_that_the_run_lacks_stay_until_they_are_pruned(tmp_path: Path) -> None:
    update_baseline(run_of(tmp_path / "run", {"seed": [1, 2, 3]}), tmp_path / "base")
    (tmp_path / "base" / "README.md").write_text("mine", encoding="utf-8")
    smaller = run_of(tmp_path / "smaller", {"seed": [1]})

    assert update_baseline(smaller, tmp_path / "base").orphans == ("lake-s2", "lake-s3")
    assert len(_jobs(tmp_path / "base")) == 3
    found = update_baseline(smaller, tmp_path / "base", prune=True)

    assert (found.removed, found.orphans) == (("lake-s2", "lake-s3"), ())
    assert sorted(snapshot(tmp_path / "base")) == [
        "README.md",
        "baseline.json",
        "pictures/lake-s1/original.webp",
        "pictures/lake-s1/upscaled.webp",
    ]


def test_several_pictures_of_a_role_and_odd_roles_have_files_of_their_own(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"seed": [1]})

    def twice(sidecar: dict[str, Any]) -> None:
        (upscaled,) = sidecar["files"].pop("upscaled")
        (original,) = sidecar["files"].pop("original")
        sidecar["files"] = {"upscaled": [upscaled, original], "Ä 1": [original], "ä 1": [upscaled], "upscaled-2": [original]}

    edit(run, "lake-s1", twice)
    update_baseline(run, tmp_path / "base")

    paths = [each["path"].rpartition("/")[2] for each in _jobs(tmp_path / "base")["lake-s1"]["pictures"]]
    assert paths[:2] == ["upscaled.webp", "upscaled.2.webp"]
    assert len({path.casefold() for path in paths}) == 5
    assert all(path.isascii() for path in paths)


def test_what_webp_cannot_hold_is_png(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"seed": [1]})
    deep = Image.fromarray((np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64))
    repaint(run, "lake-s1", "original", deep)
    repaint(run, "lake-s1", "upscaled", Image.new("RGB", (16400, 1), (1, 2, 3)))

    update_baseline(run, tmp_path / "base")

    kept = snapshot(tmp_path / "base")
    assert {"pictures/lake-s1/original.png", "pictures/lake-s1/upscaled.png"} < kept.keys()
    assert update_baseline(run, tmp_path / "base").unchanged == ("lake-s1",)


def test_an_interrupted_update_is_taken_up_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path / "run")

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(update, "write_baseline", interrupt)
    with pytest.raises(KeyboardInterrupt):
        update_baseline(run, tmp_path / "base")
    assert len(snapshot(tmp_path / "base")) == 4
    (tmp_path / "base/pictures/lake-s1" / f".upscaled.{'0' * 16}.part").write_bytes(b"half")
    (tmp_path / "base/pictures/lake-s1/upscaled.webp").unlink()
    monkeypatch.undo()

    assert update_baseline(run, tmp_path / "base").added == ("lake-s1", "lake-s2")
    assert len(snapshot(tmp_path / "base")) == 5


def test_a_path_of_the_machine_does_not_get_into_it(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"seed": [1]})

    def private(sidecar: dict[str, Any]) -> None:
        sidecar["recipe"] |= {"template": "/home/ann/secret/mine.json.j2", "params": {"image": "/home/ann/secret/cat.png"}}
        sidecar["inputs"] = [{"param": "image", "path": "/home/ann/secret/cat.png", "name": "cat.png", "sha256": "0" * 64}]
        sidecar["server"] = {"url": "http://ann.example:8188", "comfyui": "0.3.75", "pytorch": "2.9.1"}

    edit(run, "lake-s1", private)
    update_baseline(run, tmp_path / "base")

    text = (tmp_path / "base" / "baseline.json").read_text(encoding="utf-8")
    assert "secret" not in text
    assert "ann" not in text
    assert _jobs(tmp_path / "base")["lake-s1"]["environment"] == {"comfyui": "0.3.75", "pytorch": "2.9.1"}


def test_no_file_of_the_users_is_written_over(tmp_path: Path) -> None:
    run, mine = run_of(tmp_path / "run", {"seed": [1]}), tmp_path / "base" / "pictures" / "lake-s1" / "upscaled.webp"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")

    with pytest.raises(InputError, match=r"upscaled\.webp: is in the place of a picture"):
        update_baseline(run, tmp_path / "base")
    assert mine.read_bytes() == b"mine"
    assert not (tmp_path / "base" / "baseline.json").exists()


def test_a_run_folder_is_no_place_for_a_baseline_and_a_baseline_no_run(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"seed": [1]})
    update_baseline(run, tmp_path / "base")
    (tmp_path / "file").write_bytes(b"")

    for place in ("run", "run/lake-s1", "file"):
        with pytest.raises(InputError, match=r"cannot be a baseline|not a folder"):
            update_baseline(run, tmp_path / place)
    with pytest.raises(RunFolderError, match="is not a run folder"):
        update_baseline(tmp_path / "base", tmp_path / "base")
    with pytest.raises(UsageError, match="matches no job"):
        update_baseline(run, tmp_path / "base", only=["*-s7"])


def test_nothing_is_written_past_a_link(tmp_path: Path) -> None:
    run, elsewhere = run_of(tmp_path / "run", {"seed": [1]}), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "pictures").symlink_to(elsewhere)

    with pytest.raises(RunFolderError, match="is a symbolic link"):
        update_baseline(run, tmp_path / "base")
    assert list(elsewhere.iterdir()) == []
    # The folder itself may be one: that is where the user wants it.
    shutil.rmtree(tmp_path / "base")
    (tmp_path / "base").symlink_to(elsewhere)
    assert update_baseline(run, tmp_path / "base").added == ("lake-s1",)


def test_two_processes_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    run, other = run_of(tmp_path / "run", {"seed": [1]}), run_of(tmp_path / "other", {"seed": [2]})
    update_baseline(other, tmp_path / "written")
    base = tmp_path / "base"
    waiting = threading.Thread(target=update_baseline, args=(run, base))
    with renewing(base):
        waiting.start()
        waiting.join(0.1)
        shutil.copytree(tmp_path / "written", base, dirs_exist_ok=True)
    waiting.join()

    assert _jobs(base).keys() == {"lake-s1", "lake-s2"}


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        (b'{\n<<<<<<< HEAD\n "format": 1,\n=======\n "format": 1,\n>>>>>>> other\n}', "merge conflict", "git checkout --ours"),
        (b'{"format": 1', "is damaged", "move the folder away"),
    ],
)
def test_a_damaged_baseline_is_refused_with_a_way_out(tmp_path: Path, content: bytes, what: str, hint: str) -> None:
    (tmp_path / "baseline.json").write_bytes(content)

    with pytest.raises(InputError, match=what) as caught:
        read_baseline(tmp_path)

    assert hint in caught.value.problems[0].hint


def test_a_name_that_is_too_long_is_an_error_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file name too long"):
        read_baseline(tmp_path / ("a" * 300))


@pytest.mark.parametrize("path", ["pictures/../x.webp", "/etc/x.webp", "pictures/lake-s1/.webp", "pictures/lake-s1/upscaled"])
def test_a_path_that_is_no_picture_of_a_baseline_is_refused(tmp_path: Path, path: str) -> None:
    update_baseline(run_of(tmp_path / "run", {"seed": [1]}), tmp_path / "base")
    told = json.loads((tmp_path / "base" / "baseline.json").read_text(encoding="utf-8"))
    told["jobs"]["lake-s1"]["pictures"][1]["path"] = path
    (tmp_path / "base" / "baseline.json").write_text(json.dumps(told), encoding="utf-8")

    with pytest.raises(InputError, match=r"pictures\.1\.path: must be a path of a picture below pictures"):
        read_baseline(tmp_path / "base")
