"""The files for CI systems, and what GitHub takes unasked, as `check` and `run` write them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from junitparser.xunit2 import JUnitXml

from tests.cli.support import Running, Typed, recipe_file
from tests.report.support import make_run, photo
from tests.standin import NodeFault, StandIn

Cli = Callable[..., Typed]

_ALL = ("--junit", "out/junit.xml", "--summary", "out/summary.md", "--code-quality", "out/quality.json")


def _cases(path: Path) -> dict[str, list[str]]:
    """Return the tags of each case's results, by its name."""
    top: Any = JUnitXml.fromstring(path.read_bytes())
    return {case.name: [result._tag for result in case.result] for suite in top for case in suite}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A run of three jobs: one that could not be done, one that took longer than expected, one that is as expected."""
    axes = {"upscale.denoise": [0.4, 0.6, 0.8]}
    make_run(tmp_path / "lake", axes, photo, recipe={"expect": {"outputs": {"max": 2}}}, failed=["lake-d06"])
    (tmp_path / "lake" / "lake-d08" / "upscaled.png").write_bytes(b"")
    return tmp_path


def test_check_writes_all_files_into_folders_that_it_makes(cli: Cli, lake: Path) -> None:
    done = cli("check", "lake", *_ALL)

    assert done.code == 1
    assert _cases(lake / "out/junit.xml") == {"lake-d04": [], "lake-d06": ["error"], "lake-d08": ["failure"]}
    assert (lake / "out/summary.md").read_text("utf-8").startswith("## ❌ 3 jobs: 1 could not be done, 1 failed, 1 passed\n")
    entries = json.loads((lake / "out/quality.json").read_bytes())
    assert [(entry["severity"], entry["check_name"]) for entry in entries] == [("blocker", "not done"), ("major", "intact")]


@pytest.mark.usefixtures("lake")
def test_without_a_ci_system_nothing_but_the_files_is_different(cli: Cli) -> None:
    assert cli("check", "lake", *_ALL) == cli("check", "lake")


def test_on_github_annotations_and_a_summary_come_unasked(cli: Cli, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = cli("check", "lake")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(lake))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(lake / "step.md"))

    first, _ = cli("check", "lake"), cli("check", "lake")

    assert (first.code, first.out) == (plain.code, plain.out)
    told = [line for line in first.err.splitlines() if line not in plain.err.splitlines()]
    assert [line.split()[0] for line in told] == ["::error", "::error"]
    assert told[1].startswith("::error title=upscaled intact%3A 1 failure::lake-d08: upscaled lake-d08/upscaled.png has changed")
    assert (lake / "step.md").read_text("utf-8").count("\n## ❌ 3 jobs") == 1  # the first summary begins the file
    assert (lake / "step.md").read_text("utf-8").count("## ❌ 3 jobs") == 2


def test_the_summaries_of_a_step_stay_below_its_limit_together(cli: Cli, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = lake / "step.md"
    step.write_bytes(b"x" * 998_800)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))

    for _ in range(3):
        cli("check", "lake")

    assert 998_900 < step.stat().st_size <= 1_000_000
    assert "was cut here" in step.read_text("utf-8")


def test_a_summary_that_github_cannot_take_is_a_note(cli: Cli, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(lake / "nowhere" / "step.md"))

    done = cli("check", "lake")

    assert done.code == 1
    assert "warning: no summary for GitHub: nowhere/step.md cannot be written (no such file or directory)\n" in done.err


@pytest.mark.parametrize("variable", ["GITHUB_WORKSPACE", "CI_PROJECT_DIR", "WORKSPACE"])
def test_paths_are_relative_to_the_checkout(
    cli: Cli, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path.parent))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    recipe = recipe_file(tmp_path, expect={"outputs": {"max": 1}})

    done = cli("run", str(recipe), "--server", server.url, *_ALL)

    assert done.code == 4
    file = f"{tmp_path.name}/lake.yaml"
    assert f"::error file={file},line=1,title=outputs%3A 1 failure::lake: outputs 2, at most 1 expected" in done.err.splitlines()
    assert f'file="{file}" line="1"' in (tmp_path / "out/junit.xml").read_text("utf-8")
    assert json.loads((tmp_path / "out/quality.json").read_bytes())[0]["location"]["path"] == file


def test_a_wrong_recipe_is_an_error_at_its_line_and_the_others_were_not_begun(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path)
    (tmp_path / "wrong.yaml").write_text("extends: lake.yaml\nupscale:\n  denoise: 7\n  methd: area\n", encoding="utf-8")

    done = cli("run", "lake.yaml", "wrong.yaml", "--out", "both", "--server", server.url, *_ALL)

    assert done.code == 2
    assert _cases(tmp_path / "out/junit.xml") == {"lake.yaml": ["skipped"], "wrong.yaml": ["error"]}
    text = (tmp_path / "out/junit.xml").read_text("utf-8")
    assert 'file="wrong.yaml" line="3"' in text
    assert "denoise" in text
    assert "methd" in text
    assert not (tmp_path / "both").exists()

    # What is wrong in no recipe is wrong with all of them.
    assert cli("run", "lake.yaml", "--set", "upscale.denoise=7", "--server", server.url, "--junit", "set.xml").code == 2
    assert _cases(tmp_path / "set.xml") == {"lake.yaml": ["error"]}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_file_that_cannot_be_written_costs_no_other_one(cli: Cli, lake: Path) -> None:
    done = cli("check", "lake", "--only", "lake-d04", "--junit", "/dev/full", "--summary", "summary.md")

    assert done.code == 5
    assert "error: /dev/full: cannot be written (no space left on device)" in done.err
    assert "checked 1 job: 1 passed" in done.out
    assert (lake / "summary.md").exists()


@pytest.mark.parametrize("option", ["--junit", "--summary", "--code-quality"])
@pytest.mark.parametrize("name", ["lake", "-", "taken/junit.xml", "taken/deep/junit.xml", f"{'x' * 300}.xml"])
def test_what_is_no_place_for_a_file_is_refused_before_anything_is_done(
    cli: Cli, server: StandIn, tmp_path: Path, option: str, name: str
) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "taken").write_text("")

    done = cli("run", str(recipe_file(tmp_path)), "--server", server.url, option, name)

    assert (done.code, done.out) == (2, "")
    assert server.state.asked == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "lake.yaml", "taken"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything can be written by root")
@pytest.mark.usefixtures("lake")
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_done(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o500)

    done = cli("check", "lake", "--junit", "theirs/deep/junit.xml")

    assert (done.code, done.out) == (2, "")
    assert "theirs is not a folder in which files can be created" in done.err


@pytest.mark.parametrize("option", ["--junit", "--summary", "--code-quality"])
@pytest.mark.parametrize("name", ["lake-d04/upscaled.png", "lake-d04/job.json", "ledger.sqlite"])
def test_what_a_run_has_made_is_never_written_over(cli: Cli, lake: Path, option: str, name: str) -> None:
    before = (lake / "lake" / name).read_bytes()

    done = cli("check", "lake", option, f"lake/{name}")

    assert (done.code, done.out) == (2, "")
    assert f"lake/{name} already exists and is something else: it is not overwritten" in done.err
    assert (lake / "lake" / name).read_bytes() == before


def test_a_link_stays_one(cli: Cli, lake: Path) -> None:
    (lake / "link.xml").symlink_to(lake / "junit.xml")

    cli("check", "lake", "--junit", "link.xml")

    assert (lake / "link.xml").is_symlink()
    assert _cases(lake / "junit.xml")["lake-d04"] == []


def test_files_of_an_earlier_check_are_written_anew(cli: Cli, lake: Path) -> None:
    for name in ("junit.xml", "summary.md", "quality.json"):
        (lake / name).touch()
    options = ("--junit", "junit.xml", "--summary", "summary.md", "--code-quality", "quality.json")
    cli("check", "lake", *options)

    done = cli("check", "lake", "--only", "lake-d04", *options)

    assert done.code == 0, done.err
    assert _cases(lake / "junit.xml") == {"lake-d04": []}
    assert (lake / "summary.md").read_text("utf-8").startswith("## ✅ 1 job: 1 passed")
    assert json.loads((lake / "quality.json").read_bytes()) == []


def test_passes_of_a_run_that_could_not_be_done_have_not_passed(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR
    recipe = recipe_file(tmp_path, expect={"passes": {"first": {"max": 1}, "second": {"min": 1}}})

    done = cli("run", str(recipe), "--server", server.url, *_ALL)

    assert done.code == 1
    assert _cases(tmp_path / "out/junit.xml") == {"lake": ["error"]}


def test_run_writes_them_where_nothing_is_expected_and_a_job_has_failed(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR

    done = cli("run", str(recipe_file(tmp_path)), "--server", server.url, *_ALL)

    assert done.code == 1
    assert _cases(tmp_path / "out/junit.xml") == {"lake": ["error"]}
    assert 'classname="lake" name="lake" file="lake.yaml" line="1"' in (tmp_path / "out/junit.xml").read_text("utf-8")


def test_run_writes_them_also_where_github_alone_wants_to_know(
    cli: Cli, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))

    done = cli("run", str(recipe_file(tmp_path)), "--server", server.url)

    assert done.code == 0
    assert (tmp_path / "step.md").read_text("utf-8").startswith("## ✅ 1 job: 1 passed\n")


def test_an_option_that_is_wrong_writes_none(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    done = cli("run", str(recipe_file(tmp_path)), "--server", server.url, "--only", "pond*", *_ALL)

    assert done.code == 2
    assert not (tmp_path / "out").exists()


def test_a_server_that_cannot_be_reached_is_an_error_of_each_job_of_the_run(
    cli: Cli, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    recipe_file(tmp_path, sweep={"seed": [1, 2, 3]})
    run = ("run", "lake.yaml", "--out", "run", *_ALL)
    assert cli(*run, "--server", server.url, "--only", "*-s1").code == 0

    done = cli(*run, "--server", "http://127.0.0.1:9", "--skip", "*-s3")

    assert (done.code, done.out) == (3, "")
    assert _cases(tmp_path / "out/junit.xml") == {"lake-s1": ["skipped"], "lake-s2": ["error"]}
    told = "http://127.0.0.1:9/system_stats: nobody answers"
    assert f"::error file=lake.yaml,line=1,title=1 job could not be done::{told}%0Alake-s2" in done.err.splitlines()
    assert done.err.count("error: ") == 1
    assert "nobody answers" in (tmp_path / "out/summary.md").read_text("utf-8")
    assert [entry["severity"] for entry in json.loads((tmp_path / "out/quality.json").read_bytes())] == ["blocker"]


@pytest.mark.slow
def test_an_interrupted_run_tells_what_was_not_begun(server: StandIn, tmp_path: Path) -> None:
    server.state.hold("first_pass")
    recipe = recipe_file(tmp_path, sweep={"seed": [1, 2, 3, 4]})
    running = Running("run", str(recipe), "--server", server.url, *_ALL, folder=tmp_path)
    running.wait_for("submitted")
    running.signal(signal.SIGINT)

    assert running.end().code == 130
    results = _cases(tmp_path / "out/junit.xml")
    assert len(results) == 4
    assert all(tags in (["skipped"], ["error"]) for tags in results.values())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_what_is_no_file_is_written_to_and_never_replaced(cli: Cli, lake: Path) -> None:
    pipe = lake / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    assert cli("check", "lake", "--junit", "pipe").code == 1

    assert pipe.is_fifo()
    assert os.read(reader, 1 << 16).startswith(b"<?xml")
    os.close(reader)


@pytest.mark.usefixtures("lake")
def test_two_files_cannot_be_one(cli: Cli) -> None:
    done = cli("check", "lake", "--junit", "one", "--code-quality", "./one")

    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "error: --junit and --code-quality: cannot be written to the same file",
    )
