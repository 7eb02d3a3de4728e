"""Tidied run folders: what goes, what stays, and that what is done stays done."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.config import Config, LocalConfig
from comfy_runner.control.clean import Cleaning, clean
from comfy_runner.control.repair import repair
from comfy_runner.errors import RunFolderError
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, PlanRow
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.states import Change
from comfy_runner.store.status import status
from tests.running.support import files_in, fill, picture, posted, record, rendered, sidecar, sidecar_in, small, states
from tests.standin import StandIn

_PART = ".upscaled.0123456789abcdef.part"


def _clean(folder: Path, **options: Any) -> Cleaning:
    return clean(folder, config=options.pop("config", Config()), **options)


def _kinds(found: Cleaning) -> dict[str, int]:
    return {files.kind: len(files.keys) for files in found.files}


def _rendered_twice(server: StandIn, out: Path) -> None:
    """Leave a done job, the two pictures and the sidecar that it replaced, and half a file of a client that was killed."""
    rendered(server, out)
    rendered(server, out, small(seed=2))
    (out / "lake" / _PART).write_bytes(b"half")


def _removed(server: StandIn, out: Path) -> None:
    """Leave a job that is done, and one that its recipe no longer has."""
    rendered(server, out, small(sweep={"seed": [1, 2]}))
    rendered(server, out, small(sweep={"seed": [1]}))


# The run folder


def test_at_first_it_is_only_told_what_would_go(server: StandIn, tmp_path: Path) -> None:
    _rendered_twice(server, tmp_path)
    before = files_in(tmp_path)

    found = _clean(tmp_path)

    assert (_kinds(found), found.removed) == ({"superseded": 3, "leftovers": 1}, False)
    assert found.files[1].size_bytes == 4
    assert files_in(tmp_path) == before


def test_with_yes_it_goes_and_what_is_done_stays_done(server: StandIn, tmp_path: Path) -> None:
    _rendered_twice(server, tmp_path)

    found = _clean(tmp_path, yes=True)

    assert (_kinds(found), found.removed) == ({"superseded": 3, "leftovers": 1}, True)
    assert files_in(tmp_path) == ["lake/job.json", "lake/original.png", "lake/upscaled.png"]
    assert not (tmp_path / "superseded").exists()
    assert [result.was_done for result in rendered(server, tmp_path, small(seed=2))] == [True]


def test_the_second_time_there_is_nothing_to_remove(server: StandIn, tmp_path: Path) -> None:
    _rendered_twice(server, tmp_path)
    _clean(tmp_path, yes=True)

    assert _clean(tmp_path, yes=True).files == ()


@pytest.mark.parametrize(
    "name", [".part", "upscaled.part", ".upscaled.part", ".upscaled.0123456789abcdef", ".x.0123456789ABCDEF.part"]
)
def test_files_of_others_stay(server: StandIn, tmp_path: Path, name: str) -> None:
    rendered(server, tmp_path)
    (tmp_path / "lake" / name).write_bytes(b"mine")
    (tmp_path / "notes.txt").write_bytes(b"mine")

    _clean(tmp_path, yes=True, removed=True, damaged=True, server_files=True)

    assert {f"lake/{name}", "notes.txt"} <= set(files_in(tmp_path))


def test_a_live_run_is_left_alone(server: StandIn, tmp_path: Path) -> None:
    _rendered_twice(server, tmp_path)
    folder = RunFolder(tmp_path)
    try:
        with pytest.raises(RunFolderError, match="is used by another comfy-runner"):
            _clean(tmp_path, yes=True)
    finally:
        folder.close()

    assert (tmp_path / "lake" / _PART).exists()


def test_links_are_neither_followed_nor_removed(server: StandIn, tmp_path: Path) -> None:
    out, outside = tmp_path / "run", tmp_path / "outside"
    _rendered_twice(server, out)
    outside.mkdir()
    for name in ("kept.png", _PART):
        (outside / name).write_bytes(b"mine")
    (out / "superseded/folder").symlink_to(outside)
    (out / "superseded/file.png").symlink_to(outside / "kept.png")
    (out / "folder").symlink_to(outside)
    (out / "lake" / _PART.replace("0", "1")).symlink_to(outside / "kept.png")

    _clean(out, yes=True)

    assert files_in(outside) == [_PART, "kept.png"]
    assert sorted(path.name for path in (out / "superseded").iterdir()) == ["file.png", "folder"]
    assert (out / "lake" / _PART.replace("0", "1")).is_symlink()


def test_a_shelf_of_replaced_pictures_that_is_a_link_is_not_followed(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _rendered_twice(server, out)
    shutil.move(out / "superseded", tmp_path / "shelf")
    (out / "superseded").symlink_to(tmp_path / "shelf")

    assert _kinds(_clean(out, yes=True)) == {"leftovers": 1}
    assert len(files_in(tmp_path / "shelf")) == 3


@pytest.mark.parametrize("known_by", ["sidecar", "ledger"])
def test_a_current_picture_stays_wherever_it_lies(tmp_path: Path, known_by: str) -> None:
    folder = RunFolder(tmp_path)
    path = tmp_path / "superseded/odd.png"
    path.parent.mkdir()
    path.write_bytes(b"picture")
    if known_by == "sidecar":
        # As a disk that does not tell upper and lower case apart may show it.
        folder.put(sidecar("a", {"original": (record("Superseded/ODD.png", b"picture"),)}))
    else:
        row = PlanRow(job_id="a", position=0, recipe="lake", content_hash="", pixel_hash="", shares="", assignments={})
        folder.ledger.write_plan([row], recipes=["lake"])
        folder.ledger.settle(JobUpdate("a", Change.DONE, files=[FileRow("original", 0, "superseded/odd.png", 7, 0, "")]))
    folder.close()

    _clean(tmp_path, yes=True)

    assert path.read_bytes() == b"picture"


# Jobs that their recipes no longer have


def test_pictures_of_removed_jobs_stay_unless_they_are_asked_for(server: StandIn, tmp_path: Path) -> None:
    _removed(server, tmp_path)

    found = _clean(tmp_path, yes=True)

    assert [(files.kind, len(files.keys)) for files in found.kept] == [("removed", 3)]
    assert (tmp_path / "lake-s2/upscaled.png").exists()


def test_pictures_of_removed_jobs_go_where_they_are_asked_for(server: StandIn, tmp_path: Path) -> None:
    _removed(server, tmp_path)

    assert _kinds(_clean(tmp_path, yes=True, removed=True)) == {"removed": 3}

    assert files_in(tmp_path) == ["lake-s1/job.json", "lake-s1/original.png", "lake-s1/upscaled.png"]
    assert [job.files for job in status(tmp_path).jobs if job.row.removed] == [()]
    again = rendered(server, tmp_path, small(sweep={"seed": [1, 2]}))
    assert [(result.state, result.was_done) for result in again] == [("done", True), ("done", False)]


def test_a_removed_job_takes_no_file_with_it_that_is_anothers(server: StandIn, tmp_path: Path) -> None:
    _removed(server, tmp_path)
    with Ledger(tmp_path / FILE) as ledger:
        paths = ["lake-s1/original.png", "run.json", FILE, "lake-s1/job.json", ".lock"]
        ledger.settle(
            JobUpdate("lake-s2", Change.DONE, files=[FileRow("x", number, path, 1, 1, "") for number, path in enumerate(paths)])
        )
    (tmp_path / "run.json").write_text('{"format": 1, "seeds": {}}', encoding="utf-8")

    _clean(tmp_path, yes=True, removed=True)

    assert (tmp_path / "run.json").exists()
    assert rendered(server, tmp_path, small(sweep={"seed": [1]}))[0].was_done


def test_what_belongs_to_a_removed_job_stays_where_its_sidecar_cannot_be_read(server: StandIn, tmp_path: Path) -> None:
    _removed(server, tmp_path)
    (tmp_path / "lake-s2/job.json").write_text("{", encoding="utf-8")

    found = _clean(tmp_path, yes=True, removed=True)

    assert (found.files, len(found.problems)) == ((), 1)
    assert (tmp_path / "lake-s2/upscaled.png").exists()


# Ledgers moved aside


def test_ledgers_that_a_repair_has_moved_aside_go_only_where_they_are_asked_for(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    repair(tmp_path)
    aside = tmp_path / f"{FILE}.damaged-1"

    assert [files.kind for files in _clean(tmp_path, yes=True).kept] == ["damaged"]
    assert aside.exists()
    _clean(tmp_path, yes=True, damaged=True)
    assert not aside.exists()
    assert rendered(server, tmp_path)[0].was_done


def test_a_damaged_ledger_is_an_error_and_nothing_goes(server: StandIn, tmp_path: Path) -> None:
    _rendered_twice(server, tmp_path)
    (tmp_path / FILE).write_bytes(b"damaged" * 1000)
    before = files_in(tmp_path)

    with pytest.raises(RunFolderError, match="is damaged"):
        _clean(tmp_path, yes=True)

    assert files_in(tmp_path) == before


# Repair


def test_a_repair_keeps_what_is_done_and_the_old_ledger(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    (tmp_path / FILE).write_bytes(b"damaged" * 1000)

    found = repair(tmp_path)

    assert (found.jobs, found.problems) == (1, ())
    assert found.aside is not None
    assert found.aside.read_bytes() == b"damaged" * 1000
    assert rendered(server, tmp_path)[0].was_done


def test_a_sound_ledger_that_knows_of_prompts_is_not_thrown_away(tmp_path: Path) -> None:
    row = PlanRow(job_id="a", position=0, recipe="lake", content_hash="", pixel_hash="", shares="", assignments={})
    with Ledger(tmp_path / FILE) as ledger:
        ledger.write_plan([row], recipes=["lake"])
        ledger.submit("p", server="http://gpu", text="", job_ids=["a"])

    with pytest.raises(RunFolderError, match="is intact") as caught:
        repair(tmp_path)

    assert "comfy-runner cancel" in caught.value.problems[0].hint
    assert len(status(tmp_path).submissions) == 1


def test_a_live_run_is_not_repaired(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    try:
        with pytest.raises(RunFolderError, match="is used by another"):
            repair(tmp_path)
    finally:
        folder.close()


def test_what_is_no_run_folder_is_not_repaired(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        repair(tmp_path)

    assert list(tmp_path.iterdir()) == []


# What was left on servers


def _local(server: StandIn, tmp_path: Path) -> tuple[Config, Path]:
    """Return settings whose managed local ComfyUI has the files that the stand-in has saved, and its output folder."""
    config = Config(local=LocalConfig(home=tmp_path / "home"))
    output = tmp_path / "home/instances/default/base/output"
    shutil.copytree(server.state.files / "output", output)
    return config, output


def test_without_being_asked_for_it_nothing_is_removed_elsewhere_and_no_server_is_asked(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _rendered_twice(server, out)
    config, output = _local(server, tmp_path)
    asked, there = len(server.state.asked), files_in(output)

    for options in ({"yes": True}, {"server_files": True}):
        _clean(out, config=config, **options)

    assert (len(server.state.asked), files_in(output)) == (asked, there)


def test_files_in_the_local_comfyui_that_were_collected_go(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rendered(server, out)
    config, output = _local(server, tmp_path)
    (output / "mine.png").write_bytes(b"mine")
    (output / "comfy_runner/run/mine.png").write_bytes(b"mine")

    found = _clean(out, yes=True, server_files=True, config=config)

    assert found.removed_remote == 2
    assert files_in(output) == ["comfy_runner/run/mine.png", "mine.png"]
    assert [there.files for there in found.remote] == [{}]


@pytest.mark.parametrize("metadata", ["none", ["comfyui", "a1111"]])
def test_files_go_that_were_collected_with_other_metadata(server: StandIn, tmp_path: Path, metadata: Any) -> None:
    out = tmp_path / "run"
    rendered(server, out, small(output={"metadata": metadata}))
    config, output = _local(server, tmp_path)

    assert _clean(out, yes=True, server_files=True, config=config).removed_remote == 2
    assert files_in(output) == []


@pytest.mark.parametrize("is_picture", [True, False])
def test_a_file_with_other_pixels_than_were_collected_stays(server: StandIn, tmp_path: Path, is_picture: bool) -> None:
    out = tmp_path / "run"
    rendered(server, out, small(output={"metadata": "none"}))
    config, output = _local(server, tmp_path)
    name = sidecar_in(out)["files"]["upscaled"][0]["server_name"]
    rendered(server, tmp_path / "other", small(seed=2))
    (output / name).write_bytes(picture(tmp_path / "other") if is_picture else b"no picture")

    assert _clean(out, yes=True, server_files=True, config=config).removed_remote == 1
    assert (output / name).exists()


def test_of_the_local_comfyui_nothing_is_said_to_stay_once_it_is_gone(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rendered(server, out)
    config, output = _local(server, tmp_path)
    (output.parents[1] / "port.json").write_text(json.dumps({"port": int(server.url.rpartition(":")[2])}), encoding="utf-8")

    for _ in range(2):
        (there,) = _clean(out, yes=True, server_files=True, config=config).remote

    assert (there.files, there.local) == ({}, {})


def test_files_of_replaced_pictures_go_before_what_tells_of_them(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _rendered_twice(server, out)
    config, output = _local(server, tmp_path)

    assert _clean(out, yes=True, server_files=True, config=config).removed_remote == 4
    assert files_in(output) == []


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_file_in_the_local_comfyui_that_may_be_the_only_one_stays(server: StandIn, tmp_path: Path, whose: str) -> None:
    out = tmp_path / "run"
    rendered(server, out)
    config, output = _local(server, tmp_path)
    name = sidecar_in(out)["files"]["upscaled"][0]["server_name"]
    changed = out / "lake/upscaled.png" if whose == "ours" else output / name
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)

    assert _clean(out, yes=True, server_files=True, config=config).removed_remote == 1
    assert (output / name).exists()


@pytest.mark.parametrize("name", ["comfy_runner/../mine.png", "mine.png", "/mine.png", "comfy_runner/link/mine.png", "", 7, None])
def test_no_name_in_a_sidecar_leads_to_a_file_of_others(server: StandIn, tmp_path: Path, name: object) -> None:
    config, output = _local(server, tmp_path)
    (output / "comfy_runner").mkdir()
    (output / "mine.png").write_bytes(b"mine")
    (output / "comfy_runner/link").symlink_to(output)
    folder = RunFolder(tmp_path / "run")
    fill(folder, "a", {"original": b"mine"}, server={"url": "http://127.0.0.1:1"})
    folder.close()
    text = json.loads((tmp_path / "run/a/job.json").read_text(encoding="utf-8"))
    text["files"]["original"][0]["server_name"] = name
    (tmp_path / "run/a/job.json").write_text(json.dumps(text), encoding="utf-8")

    assert _clean(tmp_path / "run", yes=True, server_files=True, config=config).removed_remote == 0
    assert (output / "mine.png").exists()


def test_files_on_other_servers_are_counted_and_their_folders_named(server: StandIn, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rendered(server, out)

    (there,) = _clean(out).remote

    assert (there.url, len(there.files), there.folders) == (server.url, 2, ("comfy_runner/run",))


def test_our_entries_leave_the_history_and_nobody_elses(server: StandIn, tmp_path: Path) -> None:
    (foreign,) = server.state.add_foreign()
    rendered(server, tmp_path)

    found = _clean(tmp_path, yes=True, server_files=True)

    assert list(server.state.memory.history) == [foreign]
    assert found.notes == ()


def test_a_prompt_that_is_yet_to_be_collected_stays_in_the_history(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    prompt_id = sidecar_in(tmp_path)["prompt_id"]
    with Ledger(tmp_path / FILE) as ledger:
        row = PlanRow(job_id="b", position=0, recipe="b", content_hash="", pixel_hash="", shares="", assignments={})
        ledger.write_plan([row], recipes=["b"])
        ledger.submit("ours", server=server.url, text="", job_ids=["b"])
        ledger.accepted("ours", prompt_id)

    _clean(tmp_path, yes=True, server_files=True)

    assert prompt_id in server.state.memory.history


def test_a_server_that_does_not_answer_is_a_note(server: StandIn, tmp_path: Path) -> None:
    _rendered_twice(server, tmp_path)
    server.state.go_away()

    found = _clean(tmp_path, yes=True, server_files=True)

    assert [note.where for note in found.notes] == [server.url]
    assert not (tmp_path / "superseded").exists()


# Whatever happened before

_RUN = st.builds(
    lambda seeds, denoise, force: ("run", {"seeds": seeds, "denoise": denoise, "force": force}),
    st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3, unique=True),
    st.sampled_from([0.5, 0.8]),
    st.booleans(),
)
_CLEAN = st.builds(
    lambda removed, damaged, server_files: ("clean", {"removed": removed, "damaged": damaged, "server_files": server_files}),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
_OTHER = st.sampled_from(["leftover", "repair", "lose"]).map(lambda what: (what, dict[str, Any]()))


@pytest.mark.slow
@settings(max_examples=12)
@given(st.lists(_RUN | _CLEAN | _OTHER, max_size=5), _RUN, _CLEAN)
def test_what_is_done_is_done_after_any_cleaning(
    history: list[tuple[str, dict[str, Any]]], last: tuple[str, dict[str, Any]], cleaning: tuple[str, dict[str, Any]]
) -> None:
    with StandIn() as server, tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        for what, how in [*history, last, cleaning]:
            _happens(server, out, what, how)

        seeds = last[1]["seeds"]
        before = len(posted(server))
        results = rendered(server, out, small(sweep={"seed": seeds}, upscale={"denoise": last[1]["denoise"]}))

        assert states(results) == {f"lake-s{seed}": "done" for seed in seeds}
        assert all(result.was_done for result in results)
        assert len(posted(server)) == before


def _happens(server: StandIn, out: Path, what: str, how: dict[str, Any]) -> None:
    if what == "run":
        recipe = small(sweep={"seed": how["seeds"]}, upscale={"denoise": how["denoise"]})
        rendered(server, out, recipe, force=how["force"])
    elif not out.exists():
        return
    elif what == "clean":
        _clean(out, yes=True, **how)
    elif what == "repair":
        repair(out)
    elif what == "leftover":
        (out / _PART).write_bytes(b"half")
    else:
        for path in list(out.glob("lake*/upscaled.png"))[:1]:
            path.unlink()
