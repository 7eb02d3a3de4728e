"""What a served page may be asked, by whom, and what nobody gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner.running import events as run_events
from comfy_runner.store.control_files import wants_cancel
from comfy_runner.watch import page_routes
from comfy_runner.watch.sources import LiveRun
from tests.report.page.pages import FAILED, paint
from tests.report.support import make_run
from tests.watch.support import Answer, Watched, events, facts_of, watched

_AXES: dict[str, list[Any]] = {"upscale.sampler": ["ddim"], "seed": [2], "upscale.denoise": [0.3, 0.5]}
_JOB = "lake-sddim-s2-d03"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watch") / "lake"
    return make_run(folder, _AXES, paint, failed=[FAILED])


@pytest.fixture(scope="module")
def served(run: Path) -> Iterator[Watched]:
    with watched(run) as found:
        yield found


def test_the_page_is_that_of_the_run_and_says_from_where_on_it_is_to_be_told(served: Watched) -> None:
    page = served.ask()
    facts = facts_of(page.body)

    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert [(job["id"], job["state"]) for job in facts["jobs"]] == [(_JOB, "done"), (FAILED, "failed")]
    assert b"connect-src" in page.body
    changes = json.loads(served.ask(f"changes?since={facts['live']['cursor']}").body)
    assert "job:" + _JOB not in changes["changes"]


def test_pictures_and_thumbnails_are_served_once(served: Watched, run: Path) -> None:
    served.ask()
    job = next(job for job in facts_of(served.ask().body)["jobs"] if job["id"] == _JOB)
    picture = job["pictures"]["upscaled"][0]

    whole, small = served.ask(picture["url"]), served.ask(picture["thumb"])

    assert (whole.status, whole.headers["Content-Type"]) == (200, "image/png")
    assert whole.body == (run / picture["name"]).read_bytes()
    assert (small.status, small.headers["Content-Type"]) == (200, "image/webp")
    assert served.ask(picture["url"], If_None_Match=str(whole.headers["ETag"])).status == 304


def test_what_is_looked_at_of_a_job_alone_is_asked_for(served: Watched) -> None:
    served.ask()

    assert json.loads(served.ask(f"details?job={_JOB}").body)["prompt"] == "a lake"
    assert served.ask("details?job=nothing").status == 404
    assert served.ask(f"preview?job={_JOB}").status == 204


@pytest.mark.parametrize(
    "path",
    [
        *("ledger.sqlite", f"{_JOB}/job.json", "report_files", "report_files/", _JOB, ".lock", "run.json", "secret.png"),
        *("../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", f"{_JOB}/../ledger.sqlite", "//etc/passwd", "/etc/passwd"),
        *(f"{_JOB}%00.png", f"{_JOB}/upscaled.png%00", "%ff%fe", "a" * 3000, f"{_JOB}\\upscaled.png"),
    ],
)
def test_nothing_but_pictures_of_the_page_is_served(served: Watched, run: Path, path: str) -> None:
    (run.parent / "secret.txt").write_text("secret")
    Image.new("RGB", (8, 8)).save(run / "secret.png")
    served.ask()

    answer = served.ask(path)

    assert (answer.status, answer.body) == (404, b"not found\n")


def test_a_picture_that_has_become_a_link_is_not_served(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "lake", {"seed": [1]}, paint)
    (tmp_path / "secret.png").write_bytes(b"secret")
    with watched(folder) as served:
        served.ask()
        picture = next(folder.glob("*/upscaled.png"))
        key = picture.relative_to(folder).as_posix()
        assert served.ask(key).status == 200
        picture.unlink()
        picture.symlink_to(tmp_path / "secret.png")

        assert served.ask(key).status == 404
        picture.unlink()
        assert served.ask(key).status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("127.0.0.1", 200), ("localhost:1", 200), ("[::1]:8188", 200), ("10.0.0.7:80", 200), ("LOCALHOST", 200)),
        *(("evil.example", 421), ("evil.example:80", 421), ("127.0.0.1.evil.example", 421), ("localhost.evil.example", 421)),
        *(("", 421), ("127.0.0.1@evil.example", 421), ("[::1", 421), ("localhost:port@evil", 421), ("\xe9", 421)),
    ],
)
def test_names_that_others_may_have_resolve_to_this_machine_are_not_served(served: Watched, host: str, status: int) -> None:
    assert served.ask("changes", Host=host).status == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "", "file://"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_others_get_nothing(served: Watched, run: Path, origin: str, method: str) -> None:
    assert served.ask("cancel" if method == "POST" else "changes", method=method, Origin=origin).status == 403
    assert not wants_cancel(run)


def test_who_does_not_know_the_token_learns_nothing(served: Watched) -> None:
    right = served.root.strip("/")
    for root in ("/", "//", f"/{right[:-1]}/", f"/{right}x/", f"/{right.lower()}/", "/%c3%a9/", f"//{right}/"):
        for path in ("", "changes", "cancel"):
            answer = served.ask(path, root=root, method="POST" if path == "cancel" else "GET", Origin=served.origin)
            assert (answer.status, answer.body) == (404, b"not found\n"), root

    assert served.ask(root=f"/{right}").headers["Location"] == f"/{right}/"


def test_every_answer_keeps_to_itself(served: Watched) -> None:
    for answer in (served.ask(), served.ask("changes"), served.ask("nothing"), served.ask(Host="evil.example")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Set-Cookie"] is None
        assert answer.headers["Access-Control-Allow-Origin"] is None


def test_reading_changes_nothing_and_cancelling_asks_for_it_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "lake", {"seed": [1]}, paint)
    source = LiveRun(folder)
    source.follow(run_events.RunStarted(folder, "http://one", ("lake-s1",), 0, (), ("one",)))
    with watched(folder, source) as served:
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            answer = served.ask("cancel", method=method, Origin=served.origin)
            assert answer.status in (404, 405)
        assert served.ask("cancel", method="POST").status == 403  # a form, or a program: it says of no page that it is ours
        assert not wants_cancel(folder)

        answer = served.ask("cancel", method="POST", body=b"x" * 10_000_000, Origin=served.origin)

        assert answer.status == 202
        assert wants_cancel(folder)
        assert source.values()["run"]["state"] == "ending"


def test_a_stream_begins_with_what_was_missed_and_goes_on_with_what_is_new(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "lake", {"seed": [1]}, paint)
    with watched(folder) as served:
        served.ask()
        feed = served.watching.feed
        feed.put({"one": 1})
        before = feed.cursor
        feed.put({"two": 2})
        with served.stream() as everything, served.stream(before) as missed, served.stream("", Last_Event_ID=before) as again:
            for stream in (missed, again):
                assert next(events(stream)) == (feed.cursor, {"two": 2})
            told = events(everything)
            cursor, values = next(told)
            assert {"one", "two", "run", "counts", "job:lake-s1"} <= set(values)

            feed.put({"one": 3})

            assert next(told) == (feed.cursor, {"one": 3})
            assert json.loads(served.ask(f"changes?since={cursor}").body) == {"cursor": feed.cursor, "changes": {"one": 3}}


def test_picks_are_added_to_those_of_the_run_folder_and_other_pages_hear_of_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "lake", {"seed": [1, 2]}, paint)
    with watched(folder) as served:

        def put(said: object, **headers: str) -> Answer:
            return served.ask("picks.json", method="PUT", body=json.dumps(said).encode(), **{"Origin": served.origin, **headers})

        assert json.loads(served.ask("picks.json").body) == {"format": 1, "picks": {}, "pairs": []}
        assert put({"format": 1, "picks": {"lake-s1": {"stars": 5}}}).status == 200
        cursor = served.watching.feed.cursor
        saved = put({"format": 1, "picks": {"lake-s2": {"rejected": True}, "nothing": {"stars": 1}}})

        on_disk = json.loads((folder / "picks.json").read_bytes())
        assert {name: pick["stars"] for name, pick in on_disk["picks"].items()} == {"lake-s1": 5, "lake-s2": None}
        assert json.loads(saved.body) == on_disk == json.loads(served.ask("picks.json").body)
        assert "picks" in json.loads(served.ask(f"changes?since={cursor}").body)["changes"]
        assert facts_of(served.ask().body)["picks"]["served"] is True

        before = (folder / "picks.json").read_bytes()
        assert put({"format": 1, "picks": {"lake-s1": {"stars": 6}}}).status == 400
        assert put("x" * 17_000_000).status == 413
        assert put({"format": 1, "picks": {}}, Origin="http://evil.example").status == 403
        assert served.ask("picks.json", method="PUT", body=b"\xff", Origin=served.origin).status == 400
        assert (folder / "picks.json").read_bytes() == before


def test_there_is_an_end_to_the_number_of_streams(served: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_routes, "MOST_STREAMS", 1)
    served.watching.feed.put({"one": 1})
    with served.stream() as one:
        next(events(one))

        assert served.ask("events").status == 503
        assert served.ask("changes").status == 200


def test_a_run_folder_that_is_taken_away_is_told_of(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "lake", {"seed": [1]}, paint)
    with watched(folder) as served:
        served.ask()
        folder.rename(tmp_path / "moved")

        served.watching.refresh(at_once=True)

        assert "problem" in json.loads(served.ask("changes").body)["changes"]
        assert served.ask().status == 409
