"""``check``, and what ``run`` says at its end of what was expected, typed as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.check.interface import Finding
from comfy_runner.check.results import CheckedJob, CheckedRun, Outcome
from comfy_runner.cli import exit_codes
from comfy_runner.cli.check import lines
from tests.cli.support import Typed, recipe_file
from tests.standin import NodeFault, StandIn

_FINE: dict[str, Any] = {"outputs": {"min": 2, "max": 2}, "seconds": {"max": 600}, "passes": {"first": {"max": 1}}}
_SWEEP = {"upscale.denoise": [0.4, 0.5]}


def _run(cli: Callable[..., Typed], server: StandIn, *args: str) -> Typed:
    return cli("run", "lake.yaml", "--server", server.url, "--out", "out", *args)


def test_a_run_that_is_as_expected_says_so_and_exits_with_0(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path, sweep=_SWEEP, expect=_FINE)

    done = _run(cli, server)

    assert done.code == 0, done.err
    assert done.err.splitlines()[-2] == "checked 2 jobs: 2 passed"
    assert len(done.out.split()) == 4


def test_nothing_is_said_of_a_run_of_which_nothing_is_expected(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)

    assert "checked" not in _run(cli, server).err


def test_what_is_not_as_expected_is_named_with_its_line_and_is_exit_code_4(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "lake.yaml").write_text(
        "name: lake\ncheckpoint: tiny-random-sd15.safetensors\nprompt: a lake\nseed: 1\nsize: {width: 64, height: 64}\n"
        "sampler: {steps: 2}\nexpect:\n  outputs: {min: 3}\n",
        encoding="utf-8",
    )

    done = _run(cli, server)
    quiet = _run(cli, server, "-q")

    assert (done.code, quiet.code) == (4, 4)
    assert done.out == quiet.out
    told = "FAILED lake: outputs 2, at least 3 expected (lake.yaml:8)\nchecked 1 job: 1 failed\n"
    assert told in done.err
    assert quiet.err == told
    assert len(server.state.requests("POST", "/prompt")) == 1


def test_a_finished_run_is_checked_without_a_server_by_what_recipes_say_now(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path
) -> None:
    recipe_file(tmp_path, sweep=_SWEEP, expect=_FINE)
    _run(cli, server)
    asked = len(server.state.asked)

    before = cli("check", "out")
    recipe_file(tmp_path, sweep=_SWEEP, expect={**_FINE, "bytes": {"max": 1}})
    now = cli("check", "out", "lake.yaml", "--only", "*-d040")
    loose = cli("check", "out", "lake.yaml", "--set", "expect.bytes.max=1000000")

    assert (before.code, before.out) == (0, "checked 2 jobs: 2 passed\n")
    assert now.code == 4
    assert [line.split(":")[0] for line in now.out.splitlines()] == [
        "FAILED lake-d040 original",
        "FAILED lake-d040 upscaled",
        "checked 1 job",
    ]
    assert loose.code == 0
    assert len(server.state.asked) == asked


def test_neither_expectations_nor_their_change_render_anything_again(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path
) -> None:
    recipe_file(tmp_path)
    _run(cli, server)
    sidecar = (tmp_path / "out" / "lake" / "job.json").read_bytes()
    recipe_file(tmp_path, expect=_FINE)

    again = _run(cli, server)

    assert again.code == 0
    assert "1 done (1 already)" in again.err
    assert (tmp_path / "out" / "lake" / "job.json").read_bytes() == sidecar


def test_a_picture_does_not_say_what_was_expected_of_it(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path, expect=_FINE)
    _run(cli, server)

    assert json.loads((tmp_path / "out" / "lake" / "job.json").read_text(encoding="utf-8"))["recipe"]["expect"]["outputs"]
    assert b"expect" not in (tmp_path / "out" / "lake" / "upscaled.png").read_bytes()


def test_a_pass_that_was_lost_to_another_server_is_a_failure(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path, sweep=_SWEEP, expect=_FINE)

    with StandIn() as other:
        assert _run(cli, other, "--only", "*-d040").code == 0
    done = _run(cli, server)

    assert done.code == 4
    assert "FAILED lake: first passes 2, at most 1 expected (lake.yaml:1)" in done.err
    assert "\nchecked 2 jobs: 2 passed, 1 limit of the whole run was not kept\n" in done.err


def test_a_job_that_could_not_be_done_goes_first(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path, name="bad", expect={"outputs": {"min": 9}})
    recipe_file(tmp_path, expect={"outputs": {"min": 9}})
    _run(cli, server)
    server.state.node_faults["first_pass"] = NodeFault.ERROR

    done = cli("run", "bad.yaml", "lake.yaml", "--server", server.url, "--out", "out", "--set", "sampler.steps=3")
    later = cli("check", "out", "bad.yaml", "lake.yaml")

    assert (done.code, later.code) == (1, 1)
    assert [line.split(" ")[0] for line in later.out.splitlines()] == ["ERROR", "ERROR", "checked"]
    assert later.out in done.err


def test_jobs_that_the_folder_lacks_have_not_passed(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path, sweep={"seed": [1, 2]}, expect=_FINE)
    _run(cli, server, "--only", "*-s1")

    done = cli("check", "out", "lake.yaml")
    sound = cli("check", "out", "lake.yaml", "--only", "*-s1")
    more = cli("check", "out", "lake.yaml", "--sweep", "seed=1,9")
    others = cli("check", "out", "lake.yaml", "--sweep", "seed=8,9")

    assert (done.code, sound.code, more.code) == (1, 0, 1)
    assert "SKIPPED lake-s2: was not begun\n" in done.out
    assert "SKIPPED lake-s9: is not in this run folder\n" in more.out
    assert "none of these jobs" not in more.err
    assert "warning: none of these jobs is in this run folder: give the --sweep options" in others.err


def test_a_check_for_programs_is_one_object_and_a_run_tells_it_last(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path
) -> None:
    recipe_file(tmp_path, expect={"outputs": {"min": 3}})

    events = [json.loads(line) for line in _run(cli, server, "--json").out.splitlines()]
    found = json.loads(cli("check", "out", "lake.yaml", "--json").out)

    assert [event["event"] for event in events[-2:]] == ["run-finished", "run-checked"]
    assert {name: events[-1][name] for name in found} == found
    (job,) = found["jobs"]
    assert (job["job"], job["outcome"], job["exit_code"], job["file"], job["line"]) == ("lake", "failed", 4, "lake.yaml", 1)
    assert [each["check"] for each in job["findings"] if not each["passed"]] == ["outputs"]


def test_settings_expect_of_every_job(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.yaml").write_text("expect:\n  bytes: {max: 1}\n  outputs: {min: 9}\n", encoding="utf-8")
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", "settings.yaml")
    recipe_file(tmp_path, expect={"bytes": None})

    done = _run(cli, server)

    assert done.code == 4
    assert "\nFAILED lake: outputs 2, at least 9 expected (settings.yaml:3)\nchecked 1 job: 1 failed\n" in done.err


def test_a_metric_that_cannot_be_used_costs_no_picture_and_has_not_passed(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "packages" / "torn_metric-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: torn-metric\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[comfy_runner.metrics]\nlpips = torn_metric:lpips\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(info.parent))
    recipe_file(tmp_path, expect={"lpips": {"max": 0.1}})

    done = _run(cli, server)

    assert done.code == 4
    assert len(done.out.split()) == 2
    assert "error: metric lpips (torn_metric:lpips): cannot be imported" in done.err


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("nowhere",), "nowhere: "),
        ((".", "--set", "expect.drift.max=1"), "overrides change recipes, but none is given"),
    ],
)
def test_what_cannot_be_checked_is_an_error(cli: Callable[..., Typed], args: tuple[str, ...], what: str) -> None:
    done = cli("check", *args)

    assert done.code in (2, 5)
    assert done.err.startswith(f"error: {what}")
    assert done.out == ""


def _job(number: int, *failed: str, outcome: Outcome = Outcome.FAILED, code: int = 4) -> CheckedJob:
    found = tuple(
        Finding(check=check, job_id=f"j{number}", role="", measured=1, limit=0, passed=False, message="is bad", where="x.yaml:1")
        for check in failed
    )
    return CheckedJob(
        job_id=f"j{number}", recipe="x", file="", line=0, outcome=outcome, findings=found, problem="broke", exit_code=code
    )


def test_failures_of_one_kind_stand_together_and_not_all_are_told(tmp_path: Path) -> None:
    jobs = [_job(number, "noise", "drift") for number in range(60)]

    told = list(lines(CheckedRun(folder=tmp_path, jobs=tuple(jobs))))

    assert told[0] == "FAILED j0: is bad (x.yaml:1)"
    assert told[50] == told[101] == "FAILED and 10 more like this; --json has them all"
    assert len(told) == 103


@pytest.mark.parametrize(("codes", "code"), [((), 0), ((0, 4), 4), ((4, 1), 1), ((1, 4, 3), 3)])
def test_the_exit_code_says_first_what_could_not_be_done(tmp_path: Path, codes: tuple[int, ...], code: int) -> None:
    jobs = tuple(_job(number, code=each) for number, each in enumerate(codes))

    assert exit_codes.of_check(CheckedRun(folder=tmp_path, jobs=jobs)) == code
