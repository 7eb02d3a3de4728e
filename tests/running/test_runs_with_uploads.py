"""Input files on their way to servers: once each, only where they are lacking, never another content than planned."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.engine.comfyui import uploads as uploads_module
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.errors import Unreachable
from comfy_runner.running.handle import Run
from comfy_runner.running.policy import Policy
from tests.running.support import begin, notes_of, posted, rendered, sidecar_in, states
from tests.standin import EARLY_2024, V0_3_40, V0_3_75, V0_38, Generation, StandIn, State, routes

_TEMPLATE = """{#
params:
  image: {type: image}
  sound: {type: file, default: ""}
#}
{
  "load": {"class_type": "LoadImage", "inputs": {"image": {{ params.image }}}},
  "scale": {
    "class_type": "ImageScale",
    "inputs": {"image": ["load", 0], "upscale_method": "bilinear", "width": {{ width }}, "height": {{ height }}, "crop": "center"}
  },
  {% if params.sound %}
  "mask": {"class_type": "LoadImageMask", "inputs": {"image": {{ params.sound }}, "channel": "red"}},
  {% endif %}
  "save": {"class_type": "SaveImage", "inputs": {"images": ["scale", 0], "filename_prefix": "x"}, "_meta": {"role": "scaled"}}
}
"""
_QUICK = Timeouts(outage=3.0, repost=(0.01, 0.01))


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "scaled.json.j2").write_text(_TEMPLATE, encoding="utf-8")
    draw(tmp_path / "a.png", 1)
    return tmp_path


@pytest.fixture
def second() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


def draw(path: Path, number: int, *, size: int = 32) -> None:
    """Write a picture of noise, which is as large as its pixels."""
    Image.effect_noise((size, size), 50 + number).save(path)


def recipe(folder: Path, *, more: str = "", image: str = "a.png") -> str:
    """Write a recipe beside the template, and return its path."""
    text = f"name: scaled\ntemplate: scaled\nseed: 1\nsize: {{width: 64, height: 48}}\nparams: {{image: {json.dumps(image)}}}\n"
    (folder / "scaled.yaml").write_text(text + more, encoding="utf-8")
    return str(folder / "scaled.yaml")


def uploads(server: StandIn) -> int:
    """Return how many files were sent."""
    return len(server.state.requests("POST", "/upload/image"))


def stored(server: StandIn) -> dict[str, bytes]:
    """Return the input files that a server has."""
    root = server.state.files / "input"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def loaded(server: StandIn) -> list[Any]:
    """Return what LoadImage was to load, in each graph that was posted."""
    return [graph["load"]["inputs"]["image"] for graph in posted(server)]


def run_on(servers: list[StandIn], out: Path, *recipes: str) -> Run:
    policy = Policy(timeouts=_QUICK)
    return api.run(recipes, server=[server.url for server in servers], out=out, config=Config(), policy=policy)


@pytest.mark.parametrize("generation", [EARLY_2024, V0_3_40, V0_3_75, V0_38], ids=["2024", "0.3.40", "0.3.75", "0.38"])
def test_a_file_is_uploaded_once_for_many_jobs_on_servers_of_every_age(room: Path, generation: Generation) -> None:
    with StandIn(State(generation=generation)) as server:
        results = rendered(server, room / "out", recipe(room, more="sweep: {size.width: [64, 72, 80, 88, 96]}"))

        assert set(states(results).values()) == {"done"}
        assert uploads(server) == 1
        ((name, content),) = stored(server).items()
        assert content == (room / "a.png").read_bytes()
        assert loaded(server) == [name] * 5


def test_a_file_that_the_server_has_is_not_sent_again(server: StandIn, room: Path) -> None:
    rendered(server, room / "one", recipe(room))
    rendered(server, room / "two", recipe(room))

    assert uploads(server) == 1
    assert len(posted(server)) == 2


def test_a_part_of_a_file_does_not_count_as_the_file(server: StandIn, room: Path) -> None:
    rendered(server, room / "one", recipe(room))
    ((name, content),) = stored(server).items()
    (server.state.files / "input" / name).write_bytes(content[:100])

    rendered(server, room / "two", recipe(room))

    assert stored(server) == {name: content}


def test_a_changed_file_is_a_changed_job_and_an_unchanged_one_is_done_wherever_it_lies(server: StandIn, room: Path) -> None:
    out = room / "out"
    rendered(server, out, recipe(room))
    draw(room / "a.png", 2)
    again = notes_of(server, out, recipe(room))
    (room / "a.png").rename(room / "b.png")
    (moved,) = rendered(server, out, recipe(room, image="b.png"))

    assert [note.what for note in again if note.level == "changed"] == ["is rendered again: the content of a.png has changed"]
    assert moved.was_done
    assert len(posted(server)) == uploads(server) == 2


def test_the_sidecar_has_the_file_and_repeats_the_job_from_another_folder(
    server: StandIn, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered(server, room / "out", recipe(room))
    found = sidecar_in(room / "out", "scaled")
    (elsewhere := room / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)

    (result,) = rendered(server, elsewhere / "again", str(room / "out" / "scaled" / "job.json"))

    (file,) = found["inputs"]
    assert (file["param"], file["path"], file["sha256"][:32]) == ("image", str(room / "a.png"), loaded(server)[0][13:45])
    assert found["recipe"]["params"] == {"image": str(room / "a.png")}
    assert result.state == "done"
    assert sidecar_in(elsewhere / "again", "scaled")["content_hash"] == found["content_hash"]


def test_a_server_that_was_restarted_without_its_files_is_sent_them_again(server: StandIn, room: Path) -> None:
    gate = server.state.hold("scale")
    with begin(server, room / "out", recipe(room, more="sweep: {size.width: [64, 72, 80]}"), timeouts=_QUICK) as rendering:
        # As many as it holds at a time: nothing is just being posted that was sent its file before.
        server.state.until_asked("POST", "/prompt", 2)
        server.state.restart(loses_inputs=True)
        gate.open()
        results = rendering.results()

    assert set(states(results).values()) == {"done"}
    assert uploads(server) >= 2
    assert len(stored(server)) == 1


def test_a_file_that_vanishes_just_before_the_job_is_posted_is_sent_again(server: StandIn, room: Path) -> None:
    gate = server.state.hold("POST /prompt")
    with begin(server, room / "out", recipe(room), timeouts=_QUICK) as rendering:
        server.state.until_asked("POST", "/prompt", 1)
        for name in stored(server):
            (server.state.files / "input" / name).unlink()
        gate.open()
        (result,) = rendering.results()

    assert result.state == "done"
    assert (len(posted(server)), uploads(server)) == (2, 2)


def test_a_server_that_takes_files_and_has_none_refuses_the_job_in_the_end(
    server: StandIn, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(_state: State, post: Any, **_options: Any) -> Any:
        return web.json_response({"name": post["image"].filename, "subfolder": post["subfolder"], "type": "input"})

    monkeypatch.setattr(routes, "uploaded", nowhere)

    (result,) = rendered(server, room / "out", recipe(room))

    assert result.state == "failed"
    assert "Invalid image file" in str(result.error)
    assert len(posted(server)) == 2


def test_plans_checks_and_renderings_upload_nothing(server: StandIn, room: Path) -> None:
    path = recipe(room)
    api.plan([path], server=server.url, out=room / "out", config=Config())
    api.validate([path], server=server.url, config=Config())
    api.render(path, config=Config())

    assert stored(server) == {}
    assert not server.state.requests("HEAD", "/view")


def test_each_of_two_servers_gets_a_file_once(server: StandIn, second: StandIn, room: Path) -> None:
    widths = ", ".join(str(width) for width in range(64, 64 + 8 * 12, 8))
    both = [server, second]
    gates = [each.state.hold("save") for each in both]
    with run_on(both, room / "out", recipe(room, more=f"sweep: {{size.width: [{widths}]}}")) as rendering:
        for each in both:
            each.state.until_asked("POST", "/prompt", 1)
        for gate in gates:
            gate.open()
        results = rendering.results()

    assert {result.state for result in results} == {"done"}
    assert [uploads(each) for each in both] == [1, 1]


def test_a_file_that_changes_before_it_is_sent_fails_the_job_and_is_not_uploaded(server: StandIn, room: Path) -> None:
    gate = server.state.hold("GET /features")
    with begin(server, room / "out", recipe(room)) as rendering:
        server.state.until_asked("GET", "/features", 1)
        data = bytearray((room / "a.png").read_bytes())
        data[-20] ^= 1  # of the same length
        (room / "a.png").write_bytes(data)
        gate.open()
        (result,) = rendering.results()

    assert result.state == "failed"
    assert "params.image: the file has changed since the plan was made" in str(result.error)
    assert stored(server) == {}
    assert posted(server) == []


def test_a_file_that_is_gone_before_it_is_sent_fails_its_job_alone(server: StandIn, room: Path) -> None:
    draw(room / "b.png", 2)
    gate = server.state.hold("GET /features")
    with begin(server, room / "out", recipe(room, more="sweep: {params.image: [a.png, b.png]}")) as rendering:
        server.state.until_asked("GET", "/features", 1)
        (room / "a.png").unlink()
        gate.open()
        results = rendering.results()

    assert states(results) == {"scaled-image-a": "failed", "scaled-image-b": "done"}
    assert "can no longer be read (no such file or directory)" in str(results[0].error)


@pytest.mark.parametrize("tells", [True, False], ids=["known beforehand", "answered"])
def test_a_file_larger_than_the_server_takes_fails_its_job_with_the_limit(room: Path, tells: bool) -> None:
    draw(room / "b.png", 1, size=400)
    with StandIn(State(max_upload=64 * 1024, generation=V0_3_75 if tells else V0_3_40)) as server:
        results = rendered(server, room / "out", recipe(room, more="sweep: {params.image: [b.png, a.png]}"))

        assert states(results) == {"scaled-image-b": "failed", "scaled-image-a": "done"}
        assert "b.png has 0." in str(results[0].error)
        assert "--max-upload-size" in str(results[0].error)
        assert uploads(server) == 1 + (not tells)


def test_a_server_with_a_lower_limit_leaves_the_job_to_another_one(room: Path, second: StandIn) -> None:
    with StandIn(State(max_upload=512)) as narrow, run_on([narrow, second], room / "out", recipe(room)) as rendering:
        (result,) = rendering.results()

        assert (result.state, result.server) == ("done", second.url)


def test_a_server_that_refuses_files_fails_the_job_with_its_reason(server: StandIn, room: Path) -> None:
    server.state.fail_next("/upload/image", 403, body="read-only")

    (result,) = rendered(server, room / "out", recipe(room))

    assert result.state == "failed"
    assert "is not accepted: the server answered with status 403" in str(result.error)


def test_an_upload_that_breaks_off_is_made_again(server: StandIn, room: Path) -> None:
    server.state.fail_next("/upload/image", None, times=2)
    server.state.fail_next("/upload/image", 503)

    (result,) = rendered(server, room / "out", recipe(room), timeouts=_QUICK)

    assert result.state == "done"
    assert len(posted(server)) == 1


def test_an_upload_that_breaks_off_again_and_again_is_given_up_with_a_guess(server: StandIn, room: Path) -> None:
    server.state.fail_next("/upload/image", None, times=99)

    (result,) = rendered(server, room / "out", recipe(room), timeouts=_QUICK)

    assert result.state == "failed"
    assert "the connection broke off 3 times: is that more than --max-upload-size" in str(result.error)


def test_a_server_that_does_not_answer_when_a_file_is_to_be_sent_is_waited_for(server: StandIn, room: Path) -> None:
    gate = server.state.hold("GET /features")
    with begin(server, room / "out", recipe(room), timeouts=_QUICK) as rendering:
        server.state.until_asked("GET", "/features", 1)
        server.state.go_away()
        gate.open()
        server.state.come_back()
        (result,) = rendering.results()

    assert result.state == "done"


def test_a_server_that_stays_away_is_an_outage_and_not_the_jobs_fault(server: StandIn, room: Path) -> None:
    gate = server.state.hold("GET /features")
    timeouts = Timeouts(outage=0.2, repost=(0.01,))
    with begin(server, room / "out", recipe(room), timeouts=timeouts) as rendering:
        server.state.until_asked("GET", "/features", 1)
        server.state.go_away()
        gate.open()
        (result,) = rendering.results()

    assert isinstance(result.error, Unreachable)


def test_the_name_that_the_server_says_is_what_it_is_asked_to_load(
    server: StandIn, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(state: State, post: Any, **_options: Any) -> Any:
        (state.files / "input" / "sub").mkdir(exist_ok=True)
        (state.files / "input" / "sub" / "other (1).png").write_bytes(post["image"].file.read())
        return web.json_response({"name": "other (1).png", "subfolder": "sub", "type": "input"})

    monkeypatch.setattr(routes, "uploaded", elsewhere)

    results = rendered(server, room / "out", recipe(room, more="sweep: {size.width: [64, 72]}"))

    assert set(states(results).values()) == {"done"}
    assert loaded(server) == ["sub/other (1).png"] * 2
    assert uploads(server) == 1


def test_a_server_that_does_not_tell_what_it_has_is_sent_a_file_once(server: StandIn, room: Path) -> None:
    server.state.fail_next("/view", 405, method="HEAD", times=99)

    rendered(server, room / "out", recipe(room, more="sweep: {size.width: [64, 72, 80]}"))

    assert uploads(server) == 1


def test_other_jobs_are_followed_while_a_file_is_sent_and_cancelling_waits_for_no_upload(server: StandIn, room: Path) -> None:
    gate = server.state.hold("POST /upload/image")
    with begin(server, room / "out", recipe(room), timeouts=_QUICK) as rendering:
        server.state.until_asked("POST", "/upload/image", 1)
        rendering.cancel()
        (result,) = rendering.results()
        gate.open()

    assert result.state == "cancelled"
    assert posted(server) == []


@pytest.mark.parametrize("name", ['a"b.png', "a\r\nX-Evil: 1.png", "ü 🌲.png", "..%2f..%2fx.png", "a;filename=x.png"])
def test_a_hostile_name_goes_nowhere(server: StandIn, room: Path, name: str) -> None:
    try:
        (room / "a.png").rename(room / name)
    except OSError:
        pytest.skip("this system has no such names")

    (result,) = rendered(server, room / "out", recipe(room, image=name))

    assert result.state == "done"
    ((stored_as, _content),) = stored(server).items()
    assert stored_as == loaded(server)[0]


def test_two_files_of_one_job_are_both_there_and_one_that_the_graph_does_not_read_is_not_sent(server: StandIn, room: Path) -> None:
    draw(room / "b.png", 2)
    (room / "templates" / "scaled.json.j2").write_text(_TEMPLATE.replace('"", ', ""), encoding="utf-8")
    path = recipe(room, more="")
    Path(path).write_text(Path(path).read_text().replace('"a.png"}', '"a.png", sound: b.png}'))

    rendered(server, room / "out", path)

    # The mask leads to no output, so that it is left out of the graph.
    assert len(stored(server)) == 1
    assert len(sidecar_in(room / "out", "scaled")["inputs"]) == 2


def test_a_large_file_is_sent_with_little_memory(server: StandIn, room: Path) -> None:
    (room / "templates" / "scaled.json.j2").write_text(_TEMPLATE.replace("type: image", "type: file"), encoding="utf-8")
    with (room / "a.png").open("ab") as file:
        file.write(bytes(20 * 1024 * 1024))
    seen: list[int] = []
    whole = uploads_module._Form.__iter__

    def pieces(form: Any) -> Iterator[bytes]:
        for piece in whole(form):
            seen.append(len(piece))
            yield piece

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads_module._Form, "__iter__", pieces)
        (result,) = rendered(server, room / "out", recipe(room))

    assert result.state == "done"
    assert sum(seen) > 20 * 1024 * 1024
    assert max(seen) < 200 * 1024
    assert threading.active_count() < 50
