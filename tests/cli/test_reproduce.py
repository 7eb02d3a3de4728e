"""``comfy-runner reproduce``: what it says, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from tests.cli.support import Running, Typed, recipe_file
from tests.running.support import sidecar_in
from tests.standin import ReplyFault, StandIn

_DOCUMENTED = (Path(__file__).parents[2] / "docs/repeat.md").read_text(encoding="utf-8")


@pytest.fixture
def job(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> Path:
    """A job that is done, which an older ComfyUI has rendered."""
    recipe_file(tmp_path)
    cli("run", "lake.yaml", "--server", server.url)
    values = sidecar_in(tmp_path / "runs/lake")
    values["server"]["comfyui"] = "0.2.0"
    (tmp_path / "runs/lake/lake/job.json").write_text(json.dumps(values), encoding="utf-8")
    return tmp_path / "runs/lake/lake"


@pytest.mark.usefixtures("job")
def test_it_says_what_is_the_same_and_what_differs_in_between(cli: Callable[..., Typed], server: StandIn) -> None:
    found = cli("reproduce", "runs/lake/lake", "--server", server.url)

    assert found.code == 0
    assert found.out.splitlines() == [
        "runs/lake/lake/original.png: identical pixels",
        "runs/lake/lake/upscaled.png: identical pixels",
        "differs: ComfyUI 0.2.0 → 0.3.75",
    ]
    assert "1 job on " in found.err
    assert cli("reproduce", "runs/lake/lake", "--server", server.url, "-q").err == ""


def test_different_is_exit_code_4_and_leads_to_the_difference(cli: Callable[..., Typed], server: StandIn, job: Path) -> None:
    path = job / "upscaled.png"
    with Image.open(path) as image:
        ImageOps.invert(image.convert("RGB")).save(path)

    found = cli("reproduce", str(job), "--server", server.url, "--out", "again")

    assert found.code == 4
    _, told, difference, _ = found.out.splitlines()
    assert told.startswith("runs/lake/lake/upscaled.png: different: looks different, most of all around pixel ")
    assert Path(difference.strip()).is_file()


@pytest.mark.usefixtures("job")
def test_as_json_it_has_the_keys_that_are_documented(cli: Callable[..., Typed], server: StandIn) -> None:
    done = cli("reproduce", "runs/lake/lake", "--server", server.url, "--json")

    found = json.loads(done.out)
    assert done.err == ""
    assert (found["v"], found["alike"], found["job"]) == (1, True, "lake")
    assert found["changes"] == [{"name": "ComfyUI", "before": "0.2.0", "now": "0.3.75"}]
    for name in (*found, *found["pictures"][0], *found["changes"][0]):
        assert f"`{name}`" in _DOCUMENTED


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("lake.yaml",), 2, "is neither a finished job nor a picture"),
        (("runs/lake/lake", "--out", "runs/lake"), 2, "is the folder of the pictures to compare with"),
        (("runs/lake/lake", "--server", "http://127.0.0.1:9"), 3, "127.0.0.1:9"),
    ],
)
@pytest.mark.usefixtures("job")
def test_mistakes_have_the_usual_exit_codes(
    cli: Callable[..., Typed], server: StandIn, args: tuple[str, ...], code: int, told: str
) -> None:
    found = cli("reproduce", *args, *(() if "--server" in args else ("--server", server.url)))

    assert (found.code, told in found.err, found.out) == (code, True, "")


@pytest.mark.usefixtures("job")
def test_a_server_that_only_repeats_itself_is_exit_code_3(cli: Callable[..., Typed], server: StandIn) -> None:
    server.state.reply_faults.append(ReplyFault("/free", "POST", 404, times=-1))

    found = cli("reproduce", "runs/lake/lake", "--server", server.url, "-q")

    assert found.code == 3
    assert "hint: restart it, or start it with --cache-none" in found.err


@pytest.mark.slow
@pytest.mark.usefixtures("job")
def test_ctrl_c_takes_the_job_back(server: StandIn, tmp_path: Path) -> None:
    import signal

    server.state.step_seconds = 0.5
    command = Running("reproduce", "runs/lake/lake", "--server", server.url, folder=tmp_path)
    command.wait_for("First pass")
    command.signal(signal.SIGINT)

    found = command.end()

    assert found.code == 130
    assert "taking our jobs back" in found.err
    assert not server.state.memory.running
