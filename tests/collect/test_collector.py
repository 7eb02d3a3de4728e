"""From a verdict to files in their places, with a server that serves anything under any name."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner.collect.collector import collect_job
from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.server_files import ServerFiles
from comfy_runner.engine.interface import JobToCollect
from comfy_runner.engine.reports import Collected
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import Conclusion, ServerFile, Verdict
from comfy_runner.errors import BrokenDownload, JobFailed, JobLost, ServerError, ServerRefused, Unreachable, VerificationError
from comfy_runner.planning.job_graph import PlannedJob
from comfy_runner.store.run_folder import RunFolder
from tests.running.support import files_in, planned, sidecar_in, submitted_job

_TEXT = b"not a picture"
_GARBAGE = b"\x00\x01\x02 not a picture"
_PAGE = b"\n<!DOCTYPE html><html><body>please log in</body></html>"


def _png(width: int, height: int, tint: int = 0) -> bytes:
    buffer = io.BytesIO()
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    image.putpixel((0, 0), (tint, 0, 0))
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Served(ComfyHttp):
    """Serves contents by file name, each in the given order and the last one for ever; an exception is raised."""

    def __init__(self, contents: Mapping[str, Sequence[bytes | ServerError]]) -> None:
        super().__init__(parse_address("127.0.0.1:9"))
        self.contents = {name: list(several) for name, several in contents.items()}
        self.asked: list[str] = []

    def system_stats(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def view(self, filename: str, *, subfolder: str, kind: str) -> Iterator[Iterator[bytes]]:
        self.asked.append(f"{kind}:{subfolder}/{filename}")
        several = self.contents[filename]
        content = several.pop(0) if len(several) > 1 else several[0]
        if isinstance(content, ServerError):
            raise content
        yield iter([content[:10], content[10:]])


def _file(name: str, subfolder: str = "") -> ServerFile:
    return ServerFile(name, subfolder, "output")


def collected(
    out: Path,
    files: Mapping[str, Sequence[ServerFile]],
    http: ComfyHttp,
    *,
    job: PlannedJob | None = None,
    reason: str = "",
    texts: Mapping[str, tuple[str, ...]] | None = None,
) -> Collected:
    """Collect what a server has of a job, or of the small one."""
    job = job or planned()
    verdict = Verdict(Conclusion.SUCCEEDED, {node: tuple(several) for node, several in files.items()}, (), None, None, texts or {})
    folder, source = RunFolder(out), ServerFiles(http, Timeouts(outage=0.0, repost=(0.001, 0.001, 0.001)))
    try:
        submission = Submission.of("id", [submitted_job(job)])
        wanted = JobToCollect(job.job_id, {}, JobFailed(reason) if reason else None)
        return collect_job(source, folder, submission, verdict, wanted, prompt_id="id", server={})
    finally:
        folder.close()


def _paths(found: Collected) -> dict[str, list[str]]:
    return {role: [record.path for record in records] for role, records in found.files.items()}


def test_several_pictures_of_a_role_are_numbered(tmp_path: Path) -> None:
    contents = {f"{number}.png": [_png(64, 64, number)] for number in range(3)}
    files = {"save_original": [_file(name) for name in contents]}

    found = collected(tmp_path, files, Served(contents))

    assert _paths(found) == {"original": ["lake/original.png", "lake/original-2.png", "lake/original-3.png"]}
    assert [(tmp_path / path).read_bytes() for path in _paths(found)["original"]] == [several[0] for several in contents.values()]


def test_one_bad_picture_of_several_makes_its_whole_role_to_be_made_again(tmp_path: Path) -> None:
    contents: dict[str, Sequence[bytes | ServerError]] = {"1.png": [_png(64, 64)], "2.png": [ServerRefused("gone")]}
    job = planned()

    found = collected(tmp_path, {"save_original": [_file("1.png"), _file("2.png")]}, Served(contents), job=job)

    assert _paths(found) == {"original": ["lake/original.png"]}
    assert sidecar_in(tmp_path)["state"] == "partial"
    folder = RunFolder(tmp_path)
    assert folder.reusable_files(job.job_id, job.content_hash, job.outputs) == {}
    folder.close()


def test_a_role_that_lacks_pictures_of_its_batch_is_made_again(tmp_path: Path) -> None:
    contents = {f"{number}.png": [_png(64, 64, number)] for number in range(3)}
    files = {"save_original": [_file(name) for name in contents], "save_upscaled": []}
    job = planned(batch_size=4)

    found = collected(tmp_path, files, Served(contents), job=job)

    told = [str(error) for error in found.errors]
    assert told[0].startswith("http://127.0.0.1:9: gave 3 of 4 pictures for original")
    assert told[1].startswith("http://127.0.0.1:9: the server saved nothing for upscaled")
    assert _paths(found) == {"original": ["lake/original.png", "lake/original-2.png", "lake/original-3.png"]}
    with closing(RunFolder(tmp_path)) as folder:
        assert folder.reusable_files(job.job_id, job.content_hash, job.outputs) == {}


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/evil.png",
        "/etc/evil.png",
        "C:\\Windows\\evil.png",
        "..\\..\\evil.png",
        "evil.png/../../x.png",
        "\x1b[31mevil.png",
        "évil\u202e.png",
        "con.png",
        ".png",
        "no suffix",
        "",
        "x.p/n/g",
        "x." + "y" * 1000,
        "\ud800.png",
    ],
)
def test_a_name_of_a_server_is_never_a_path(tmp_path: Path, name: str) -> None:
    files = {"save_original": [_file(name, "../../..")], "save_upscaled": [_file("good.png")]}

    found = collected(tmp_path / "run", files, Served({name: [_png(64, 64)], "good.png": [_png(128, 128)]}))

    assert _paths(found) == {"original": ["lake/original.png"], "upscaled": ["lake/upscaled.png"]}
    assert found.errors == ()
    assert files_in(tmp_path) == ["run/lake/job.json", "run/lake/original.png", "run/lake/upscaled.png"]


def test_the_name_on_the_server_is_recorded_and_asked_for_as_it_is(tmp_path: Path) -> None:
    http = Served({"a_00001_.png": [_png(64, 64)]})

    found = collected(tmp_path, {"save_original": [_file("a_00001_.png", "deep\\er")]}, http)

    assert http.asked == ["output:deep\\er/a_00001_.png"]
    assert found.files["original"][0].server_name == "deep\\er/a_00001_.png"


@pytest.mark.parametrize(
    ("name", "path"), [("x.WEBP", "lake/original.webp"), ("x.mp4", "lake/original.mp4"), ("x.json", "lake/original.json")]
)
def test_the_kind_of_a_file_is_the_servers_choice(tmp_path: Path, name: str, path: str) -> None:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(buffer, "WEBP")

    found = collected(tmp_path, {"save_original": [_file(name)]}, Served({name: [buffer.getvalue()]}))

    assert _paths(found) == {"original": [path]}


@pytest.mark.parametrize(("path", "own"), [("lake/job.png", "lake/job.json"), ("run.png", "run.json")])
def test_no_kind_of_file_can_take_the_place_of_our_own_records(tmp_path: Path, path: str, own: str) -> None:
    job = planned(output={"original": path})

    collected(tmp_path, {"save_original": [_file("x.json")]}, Served({"x.json": [_png(64, 64)]}), job=job)

    assert (tmp_path / path).read_bytes() == _png(64, 64)
    assert not (tmp_path / own).exists() or (tmp_path / own).read_bytes() != _png(64, 64)


def test_a_bad_download_is_tried_again_until_it_is_good(tmp_path: Path) -> None:
    http = Served({"x.png": [Unreachable("broke off"), _TEXT, _png(64, 64)]})

    found = collected(tmp_path, {"save_original": [_file("x.png")]}, http)

    assert len(http.asked) == 3
    assert [str(error) for error in found.errors] == [f"{http.address.url}: the server saved nothing for upscaled"]
    assert found.files["original"][0].problem == ""
    assert (found.files["original"][0].width, found.files["original"][0].height) == (64, 64)


def test_what_the_server_refuses_is_not_tried_again(tmp_path: Path) -> None:
    http = Served({"x.png": [ServerRefused("no")]})

    found = collected(tmp_path, {"save_original": [_file("x.png")]}, http)

    assert len(http.asked) == 1
    assert isinstance(found.errors[0], ServerRefused)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", ["x.png", "x.html", "x.exe"])
@pytest.mark.parametrize(
    "content", [_GARBAGE, b"", _png(64, 64)[:100], _png(32, 32)[:-40]], ids=["garbage", "empty", "cut", "small"]
)
def test_what_is_not_whole_is_no_result_and_left_for_the_next_run(tmp_path: Path, name: str, content: bytes) -> None:
    http = Served({name: [content]})

    found = collected(tmp_path, {"save_original": [_file(name)]}, http)

    assert isinstance(found.errors[0], BrokenDownload)
    assert found.errors[0].leaves_open
    assert str(found.errors[0]).startswith("lake/original.")
    assert "is not a whole picture" in str(found.errors[0])
    assert len(http.asked) == 3
    assert found.files == {}
    assert files_in(tmp_path) == ["superseded/lake/lake/original.broken"]


def test_a_file_that_comes_broken_in_the_same_way_a_run_later_is_so_on_the_server(tmp_path: Path) -> None:
    kept, files = tmp_path / "superseded/lake/lake/original.broken", {"save_original": [_file("x.png")]}
    collected(tmp_path, files, Served({"x.png": [_GARBAGE]}))

    other = collected(tmp_path, files, Served({"x.png": [_GARBAGE + b"!"]}))
    same = collected(tmp_path, files, Served({"x.png": [_GARBAGE + b"!"]}))

    assert [type(found.errors[0]) for found in (other, same)] == [BrokenDownload, VerificationError]
    assert str(same.errors[0]).endswith(", as last time")
    assert kept.read_bytes() == _GARBAGE + b"!"

    assert collected(tmp_path, files, Served({"x.png": [_png(64, 64)]})).files["original"][0].problem == ""
    assert not kept.exists()


@pytest.mark.parametrize("name", ["x.html", "x.exe"])
def test_what_saves_pictures_is_verified_whatever_the_server_calls_them(tmp_path: Path, name: str) -> None:
    found = collected(tmp_path, {"save_original": [_file(name)]}, Served({name: [_png(32, 32)]}))

    assert isinstance(found.errors[0], VerificationError)
    assert found.files["original"][0].problem == str(found.errors[0])


@pytest.mark.parametrize("name", ["x.html", "x.exe", "x"])
def test_a_good_picture_is_good_whatever_the_server_calls_it(tmp_path: Path, name: str) -> None:
    found = collected(tmp_path, {"save_original": [_file(name)]}, Served({name: [_png(64, 64)]}))

    (record,) = found.files["original"]
    assert (record.width, record.height, record.problem) == (64, 64, "")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.png", _PAGE),
        ("x.png", b'{"error": "rate limited"}'),
        ("x.jpg", _TEXT),
        ("x.mp4", _PAGE),
        ("x.mp4", _TEXT),
        ("x.glb", _TEXT),
    ],
)
def test_a_page_in_place_of_a_file_is_somebody_in_between_and_no_result(tmp_path: Path, name: str, content: bytes) -> None:
    http = Served({name: [content]})

    found = collected(tmp_path, {"save_original": [_file(name)]}, http)

    assert isinstance(found.errors[0], Unreachable)
    assert f"returned a page instead of {name}" in str(found.errors[0])
    assert len(http.asked) == 3
    assert files_in(tmp_path) == []


def test_where_nothing_came_there_is_no_sidecar(tmp_path: Path) -> None:
    found = collected(tmp_path, {}, Served({}))

    assert found.files == {}
    assert isinstance(found.errors[0], JobFailed)
    assert "the server saved nothing for original, upscaled" in str(found.errors[0])
    assert files_in(tmp_path) == []


def test_where_the_server_has_failed_what_is_missing_is_no_further_error(tmp_path: Path) -> None:
    found = collected(tmp_path, {"save_original": [_file("x.png")]}, Served({"x.png": [_png(64, 64)]}), reason="out of memory")

    assert found.errors == ()
    assert (sidecar_in(tmp_path)["state"], sidecar_in(tmp_path)["reason"]) == ("partial", "out of memory")


def test_pictures_can_be_read_by_whom_the_umask_lets_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    files: dict[str, Any] = {"save_original": [_file("x.png")]}

    collected(tmp_path / "run", files, Served({"x.png": [_png(64, 64)]}))

    expected = (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "run/lake/original.png").stat().st_mode == expected
    assert (tmp_path / "run/lake/job.json").stat().st_mode == expected


def test_what_was_put_before_its_engine_was_lost_stays_as_it_was_put(tmp_path: Path) -> None:
    job, files = planned(), {"save_original": [_file("good.png")], "save_upscaled": [_file("better.png")]}
    first = collected(tmp_path, files, Served({"good.png": [_png(64, 64)], "better.png": [_png(128, 128)]}), job=job)
    before = sidecar_in(tmp_path)
    folder = RunFolder(tmp_path)

    wanted = JobToCollect(job.job_id, first.files, JobLost("its engine knows nothing of it"))
    submission = Submission.of("id", [submitted_job(job)])
    source = ServerFiles(Served({}), Timeouts(outage=0.0))
    found = collect_job(source, folder, submission, None, wanted, prompt_id="id", server={"url": "another"})
    folder.close()

    assert (found.error, found.files) == (None, first.files)
    assert sidecar_in(tmp_path) == before
