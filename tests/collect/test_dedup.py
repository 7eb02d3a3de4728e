"""Jobs that would give the very same pixels: one is rendered, the others get its pictures, or its failure."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner.collect.dedup import share
from comfy_runner.errors import JobFailed
from comfy_runner.store.interface import Spooled
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.sidecar import Sidecar
from tests.running.support import (
    HASH,
    begin,
    draft,
    encoded,
    files_in,
    fill,
    picture,
    pixels,
    posted,
    posted_jobs,
    record,
    rendered,
    sidecar_in,
    small,
    states,
    sweep,
)
from tests.standin import NodeFault, StandIn

# At 10 steps a second pass at 0.48, 0.49 and 0.5 runs the same 10 of 20 steps.
_ALIKE = sweep({"upscale.denoise": [0.48, 0.49, 0.5]}, sampler={"steps": 10})
_PNG = {shade: encoded(Image.new("L", (64, 64), shade)) for shade in (1, 2, 3)}
_IDS = ["lake-d048", "lake-d049", "lake-d050"]


def test_jobs_of_the_same_pixels_are_rendered_once_and_all_get_the_pictures(server: StandIn, tmp_path: Path) -> None:
    results = rendered(server, tmp_path, _ALIKE)

    assert states(results) == dict.fromkeys(_IDS, "done")
    assert server.state.work().second == 1
    for role in ("original", "upscaled"):
        assert len({pixels(tmp_path, job_id, role) for job_id in _IDS}) == 1
    assert [sidecar_in(tmp_path, job_id)["shares"] for job_id in _IDS] == ["", "lake-d048", "lake-d048"]


def test_a_shared_sidecar_is_of_its_own_job(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _ALIKE)

    found, leader = sidecar_in(tmp_path, "lake-d050"), sidecar_in(tmp_path, "lake-d048")
    assert found["assignments"] == {"upscale.denoise": 0.5}
    assert found["recipe"]["upscale"]["denoise"] == 0.5
    assert found["workflow"]["second_pass"]["inputs"]["denoise"] == 0.5
    assert found["content_hash"] != leader["content_hash"]
    assert found["prompt_id"] == leader["prompt_id"]
    assert found["files"]["upscaled"][0]["path"] == "lake-d050/upscaled.png"


def test_shared_pictures_are_done_the_next_time(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _ALIKE)

    assert all(result.was_done for result in rendered(server, tmp_path, _ALIKE))


def test_jobs_of_several_recipes_share_too(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(), small(name="twin"))

    assert posted_jobs(server) == ["lake"]
    assert sidecar_in(tmp_path, "twin")["shares"] == "lake"


def test_when_the_one_that_is_rendered_fails_the_others_fail_for_the_same_reason(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR

    results = rendered(server, tmp_path, _ALIKE)

    assert states(results) == dict.fromkeys(_IDS, "failed")
    assert all(isinstance(result.error, JobFailed) and "mat1 and mat2" in str(result.error) for result in results)
    assert len(posted_jobs(server)) == 1


def test_when_the_one_that_is_rendered_is_partial_the_others_are_too(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR

    results = rendered(server, tmp_path, _ALIKE)

    assert states(results) == dict.fromkeys(_IDS, "partial")
    assert [list(result.files) for result in results] == [["original"]] * 3
    assert all(isinstance(result.error, JobFailed) for result in results)
    assert len(posted_jobs(server)) == 1


def test_after_a_partial_one_the_next_run_renders_only_what_is_missing_and_shares_it(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["second_pass"] = NodeFault.ERROR
    rendered(server, tmp_path, _ALIKE)
    server.state.node_faults.clear()

    assert states(rendered(server, tmp_path, _ALIKE)) == dict.fromkeys(_IDS, "done")
    assert len(posted_jobs(server)) == 2
    assert "save_original" not in posted(server)[1]
    assert not (tmp_path / "superseded").exists()


def test_when_the_one_that_is_rendered_is_lost_the_others_fail_too(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    with begin(server, tmp_path, {**_ALIKE, "retry": {"server_lost": 0}}) as rendering:
        gate.wait()
        server.state.restart()
        gate.open()
        results = rendering.results()

    assert {result.job_id: bool(result.error) for result in results} == dict.fromkeys(_IDS, True)


def test_after_a_failure_the_next_run_renders_one_and_shares_it(server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR
    rendered(server, tmp_path, _ALIKE)
    server.state.node_faults.clear()

    assert states(rendered(server, tmp_path, _ALIKE)) == dict.fromkeys(_IDS, "done")
    assert len(posted_jobs(server)) == 2


def test_pictures_of_a_job_that_was_removed_are_adopted(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, sweep({"upscale.denoise": [0.48, 0.9]}, sampler={"steps": 10}))
    before = posted_jobs(server)

    results = rendered(server, tmp_path, sweep({"upscale.denoise": [0.5, 0.9]}, sampler={"steps": 10}))

    assert states(results) == {"lake-d050": "done", "lake-d090": "done"}
    assert posted_jobs(server) == before
    assert sidecar_in(tmp_path, "lake-d050")["shares"] == "lake-d048"


def test_with_force_nothing_is_adopted(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _ALIKE, only=["*048"])

    rendered(server, tmp_path, _ALIKE, only=["*050"], force=True)

    assert posted_jobs(server) == ["lake-d048", "lake-d050"]


def test_where_the_pictures_to_share_are_gone_one_is_rendered_for_all(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _ALIKE, only=["*048"])
    shutil.rmtree(tmp_path / "lake-d048")

    results = rendered(server, tmp_path, _ALIKE, skip=["*048"])

    assert states(results) == {"lake-d049": "done", "lake-d050": "done"}
    assert len(posted_jobs(server)) == 2


def test_a_shared_picture_that_is_gone_is_shared_again_and_not_rendered(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _ALIKE)
    before = picture(tmp_path, "lake-d049")
    (tmp_path / "lake-d049/upscaled.png").unlink()

    assert states(rendered(server, tmp_path, _ALIKE)) == dict.fromkeys(_IDS, "done")
    assert posted_jobs(server) == ["lake-d048"]
    assert picture(tmp_path, "lake-d049") == before
    assert not (tmp_path / "superseded").exists()


def test_where_the_picture_of_the_one_that_was_rendered_is_gone_it_comes_back_from_the_others(
    server: StandIn, tmp_path: Path
) -> None:
    rendered(server, tmp_path, _ALIKE)
    (tmp_path / "lake-d048/upscaled.png").unlink()

    assert states(rendered(server, tmp_path, _ALIKE)) == dict.fromkeys(_IDS, "done")
    assert posted_jobs(server) == ["lake-d048"]


def test_changing_one_shared_picture_in_place_spoils_no_other(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _ALIKE)
    before = picture(tmp_path, "lake-d048")

    (tmp_path / "lake-d049/upscaled.png").write_bytes(b"mine")

    assert picture(tmp_path, "lake-d048") == before


def test_cancelling_cancels_the_others_too(server: StandIn, tmp_path: Path) -> None:
    gate = server.state.hold("first_pass")
    with begin(server, tmp_path, _ALIKE) as rendering:
        gate.wait()
        rendering.cancel()
        results = rendering.results()

    assert states(results) == {**dict.fromkeys(_IDS, "pending"), _IDS[0]: "cancelled"}


# Files


def _leader(folder: RunFolder, **changes: Any) -> Sidecar:
    return fill(folder, "first", {"original": _PNG[1], "upscaled": _PNG[2]}, **changes)


def test_pictures_go_where_the_other_recipe_wants_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    _leader(folder)
    found = share(folder, draft(output={"original": "deep/{job_id}.png"}), "first", leader_hash=HASH)
    folder.close()

    assert found is not None
    assert {role: [record.path for record in records] for role, records in found.items()} == {
        "original": ["deep/lake.png"],
        "upscaled": ["lake/upscaled.png"],
    }
    assert (tmp_path / "deep/lake.png").read_bytes() == _PNG[1]


def test_kinds_and_numbers_of_files_are_those_of_the_other(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    made = _leader(folder)
    webp = encoded(Image.new("RGB", (64, 64)), "WEBP")
    (tmp_path / "first/original-2.webp").write_bytes(webp)
    more = (*made.files["original"], record("first/original-2.webp", webp))
    fill(folder, "first", {"upscaled": _PNG[2]})
    folder.put(_with(made, {**made.files, "original": more}))
    found = share(folder, draft(), "first", leader_hash=HASH)
    folder.close()

    assert found is not None
    assert [record.path for record in found["original"]] == ["lake/original.png", "lake/original-2.webp"]


def _with(made: Sidecar, files: Any) -> Sidecar:
    return Sidecar(**{**{name: getattr(made, name) for name in Sidecar.__slots__}, "files": files})


@pytest.mark.parametrize("trouble", ["no sidecar", "partial", "gone", "touched", "role"])
def test_what_is_not_whole_is_not_shared(tmp_path: Path, trouble: str) -> None:
    folder = RunFolder(tmp_path)
    if trouble != "no sidecar":
        made = _leader(folder, state="partial" if trouble == "partial" else "done")
    match trouble:
        case "gone":
            (tmp_path / "first/upscaled.png").unlink()
        case "touched":
            (tmp_path / "first/upscaled.png").write_bytes(_PNG[3])
        case "role":
            folder.put(_with(made, {"original": made.files["original"]}))
    found = share(folder, draft(), "first", leader_hash=HASH)
    folder.close()

    assert found is None
    assert [name for name in files_in(tmp_path) if name.startswith("lake/")] == []


class _Watched(RunFolder):
    """A run folder that remembers what was spooled when a sidecar is put."""

    spooled: Sequence[str] = ()

    def put(self, sidecar: Sidecar, spooled: Sequence[Spooled] = ()) -> None:
        self.spooled = sorted(path.name.partition(".part")[0].split(".")[1] for path in self.path.rglob("*.part"))
        super().put(sidecar, spooled)


def test_once_there_is_a_sidecar_nothing_is_left_to_be_cleared_up(tmp_path: Path) -> None:
    folder = _Watched(tmp_path)
    _leader(folder)
    # Of a client that was killed before its sidecar.
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/original.png").write_bytes(_PNG[1])
    share(folder, draft(), "first", leader_hash=HASH)
    folder.close()

    assert folder.spooled == ["upscaled"]


def test_what_lies_in_the_way_is_put_away(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    _leader(folder)
    fill(folder, "lake", {"original": b"old", "upscaled": b"older"})
    share(folder, draft(), "first", leader_hash=HASH)
    folder.close()

    assert (tmp_path / "lake/original.png").read_bytes() == _PNG[1]
    assert sorted(path.read_bytes() for path in (tmp_path / "superseded").rglob("*.png")) == [b"old", b"older"]
