"""Run folders that somebody has spoiled: `verify` says what is wrong with them, `reproduce` reads a job of theirs or refuses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from comfy_runner.cli.json_records import to_json
from comfy_runner.cli.output import clean
from comfy_runner.control.recorded_job import RecordedJob, read_recorded
from comfy_runner.control.verify_run import VerifiedRun, verify
from comfy_runner.store.environment import NAMES
from comfy_runner.store.ledger import FILE
from comfy_runner.store.ledger_rows import JobUpdate, PlanRow
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import FileRecord, Sidecar
from comfy_runner.store.states import Change
from tests.hostile.tally import harmless, survives
from tests.hostile.test_pictures import BOMBS
from tests.hostile.values import TEXTS, mangled, seeded, spoiled
from tests.running.support import HASH, fill

_KEYS = [
    *("files", "original", "upscaled", *FileRecord.__dataclass_fields__),
    *Sidecar.__dataclass_fields__,
    *("format", "name", "sha256", "url", *NAMES),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A run of one job, with a file beside it that nobody may read."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    folder = RunFolder(tmp_path / "run")
    row = PlanRow(job_id="a", position=0, recipe="a", content_hash=HASH, pixel_hash="", shares="", assignments={})
    folder.ledger.write_plan([row], recipes=["a"])
    pictures = {"original": BOMBS["no pixels"](), "upscaled": b"no picture"}
    server = {"url": "http://gpu", "comfyui": "0.3.75", "devices": "cpu", "node_packs": ""}
    files = fill(folder, "a", pictures, server=server, template={"name": "x", "sha256": HASH}, comfy_runner="1").files
    folder.ledger.settle(JobUpdate("a", Change.DONE, files=folder.rows(files)))
    folder.close()
    yield tmp_path / "run"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "secret.png"]


def _verified(run: Path) -> None:
    found = survives("spoiled runs", partial(verify, run))
    assert isinstance(found, VerifiedRun)
    assert found.files <= 4
    for each in found.discrepancies:
        assert harmless(clean(f"{each.file}: {each.what}"))
    json.dumps(to_json(found))


def _recorded(path: Path) -> None:
    found = survives("spoiled runs", partial(read_recorded, path))
    if isinstance(found, RecordedJob):
        assert all(path.parents[1] in picture.path.resolve().parents for picture in found.pictures)
        assert all(text.isprintable() for text in found.environment.values())


def test_spoiled_sidecars_are_told_or_refused(run: Path) -> None:
    path = run / "a/job.json"
    sound = path.read_bytes()
    for seed in range(400):
        with seeded(seed) as dice:
            text = json.dumps(spoiled(dice, json.loads(sound), _KEYS)).encode()
            path.write_bytes(text if seed % 3 else mangled(dice, text))
            _verified(run)
            _recorded(path)


def test_a_mangled_ledger_keeps_nobody_from_the_sidecars(run: Path) -> None:
    sound = (run / FILE).read_bytes()
    for seed in range(60):
        with seeded(seed) as dice:
            (run / FILE).write_bytes(mangled(dice, sound))
            _verified(run)


@pytest.mark.parametrize("text", TEXTS)
def test_a_file_of_a_nasty_name_is_named_harmlessly(run: Path, text: str) -> None:
    path = run / "a/job.json"
    values = json.loads(path.read_bytes())
    values["files"] = {text: [{**values["files"]["original"][0], "path": f"a/{text}"}]}
    path.write_text(json.dumps(values), encoding="utf-8")

    _verified(run)
    _recorded(path)


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_in_the_place_of_a_picture_was_changed(run: Path, name: str) -> None:
    (run / "a/upscaled.png").write_bytes(BOMBS[name]())

    _verified(run)
    _recorded(run / "a")


def test_links_and_pipes_in_the_place_of_pictures_are_not_waited_for(run: Path) -> None:
    import os

    (run / "a/upscaled.png").unlink()
    os.mkfifo(run / "a/upscaled.png")
    (run / "a/original.png").unlink()
    (run / "a/original.png").symlink_to(run.parent / "secret.png")
    (run / "b").mkdir()
    os.mkfifo(run / "b/job.json")
    (run / "c").symlink_to(run / "c")

    _verified(run)
