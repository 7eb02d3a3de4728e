"""``baseline update``, ``--baseline`` and what goes with it, typed as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.baseline.support import painted, repaint, run_of, snapshot
from tests.cli.support import Typed, recipe_file
from tests.standin import StandIn


def test_a_baseline_is_made_of_a_run_and_a_later_one_is_held_against_it(cli: Callable[..., Typed], tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")

    assert cli("baseline", "update", "run", "--to", "base").out == "baseline: 2 added in base\n"
    assert cli("baseline", "update", "run", "--to", "base").out == "baseline: 2 unchanged in base\n"
    assert cli("check", "run", "--baseline", "base").code == 0

    repaint(run, "lake-s2", "upscaled", painted(run, "lake-s2"))
    # The ledger's record is that of the sidecar no longer, so the file alone is looked at.
    found = cli("check", "run", "--baseline", "base", "--json")
    assert found.code == 4
    (job,) = [job for job in json.loads(found.out)["jobs"] if job["job"] == "lake-s2"]
    (different,) = [each for each in job["comparisons"] if each["likeness"] == "different"]
    assert different["similarity"] < 0.95 == different["limit"]
    with Image.open(run / different["difference"]) as image:
        assert image.size == (256, 144)
    assert "FAILED lake-s2 upscaled: looks different" in cli("check", "run", "--baseline", "base").out
    assert cli("baseline", "update", "run", "--to", "base").out == "baseline: 1 changed, 1 unchanged in base\n"


def test_what_is_left_out_and_what_the_baseline_has_alone_is_said(cli: Callable[..., Typed], tmp_path: Path) -> None:
    run_of(tmp_path / "run", {"seed": [1, 2, 3]}, failed=["lake-s3"])
    run_of(tmp_path / "less", {"seed": [1]})

    made = cli("baseline", "update", "run", "--to", "base")
    assert "1 job left out (failed): lake-s3" in made.err

    assert "1 job is only in the baseline: lake-s2" in cli("check", "less", "--baseline", "base").err
    assert "--prune removes it" in cli("baseline", "update", "less", "--to", "base").err
    assert cli("baseline", "update", "less", "--to", "base", "--prune").out == "baseline: 1 unchanged, 1 removed in base\n"


def test_new_pictures_are_added_on_a_desk_and_fail_in_ci(
    cli: Callable[..., Typed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(tmp_path / "run", {"seed": [1]})
    run_of(tmp_path / "more")
    cli("baseline", "update", "run", "--to", "base")
    before = snapshot(tmp_path / "base")

    monkeypatch.setenv("CI", "true")
    in_ci = cli("check", "more", "--baseline", "base")
    assert (in_ci.code, snapshot(tmp_path / "base")) == (4, before)
    assert "FAILED lake-s2 upscaled: is not in the baseline" in in_ci.out

    monkeypatch.setenv("CI", "false")
    on_a_desk = cli("check", "more", "--baseline", "base")
    assert on_a_desk.code == 0
    assert "2 pictures that had no baseline were written to base: lake-s2" in on_a_desk.err


def test_a_baseline_that_is_damaged_ends_a_run_before_anything_is_rendered(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path
) -> None:
    recipe_file(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "baseline.json").write_text('{"format": 1, "jobs": {"lake": 7}}', encoding="utf-8")

    for mode in ((), ("--dry-run",)):
        damaged = cli("run", "lake.yaml", "--server", server.url, "--baseline", "base", *mode)

        assert (damaged.code, damaged.out) == (2, "")
        assert "base/baseline.json: is damaged (jobs.lake: " in damaged.err
    assert server.state.requests("POST", "/prompt") == []


def test_without_any_baseline_ci_has_the_pictures_to_make_one_of(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "1")
    recipe_file(tmp_path)
    run = ("run", "lake.yaml", "--server", server.url, "--baseline", "base")

    first = cli(*run)
    made = cli("baseline", "update", "runs/lake", "--to", "base")
    second = cli(*run)

    assert (first.code, made.code, second.code) == (4, 0, 0)
    assert "upscaled: is not in the baseline" in first.err
    assert "base has no pictures yet: `comfy-runner baseline update runs/lake --to base` makes" in first.err
    assert second.err.splitlines()[-2] == "checked 1 job: 1 passed"


def test_a_dry_run_tells_what_the_baseline_lacks_and_what_will_become_of_that(
    cli: Callable[..., Typed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(tmp_path / "run", {"seed": [1]})
    cli("baseline", "update", "run", "--to", "base")
    recipe_file(tmp_path, sweep={"seed": [1, 2]})
    run = ("run", "lake.yaml", "--dry-run", "--baseline")
    before = snapshot(tmp_path / "base")

    on_a_desk = cli(*run, "base")
    none = cli(*run, "nowhere")
    monkeypatch.setenv("CI", "true")
    in_ci = cli(*run, "base")

    assert "warning: base: has nothing of 1 job (lake-s2): a run adds their pictures\n" in on_a_desk.err
    assert "warning: nowhere: has nothing of all jobs (lake-s1, lake-s2): a run adds their pictures\n" in none.err
    assert "warning: base: has nothing of 1 job (lake-s2): a check of their pictures will fail\n" in in_ci.err
    assert (on_a_desk.code, none.code, in_ci.code) == (0, 0, 0)
    assert "has nothing of" not in cli(*run, "base", "--only", "*-s1").err
    assert (snapshot(tmp_path / "base"), (tmp_path / "nowhere").exists()) == (before, False)


def test_what_the_baseline_has_alone_is_said_also_where_quiet_is_asked_for(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path
) -> None:
    recipe_file(tmp_path, sweep={"seed": [1, 2]})
    run = ("run", "lake.yaml", "--server", server.url, "-q", "--out")
    cli(*run, "out", "--update-baseline", "base")

    same = cli(*run, "out", "--baseline", "base")
    less = cli(*run, "less", "--baseline", "base", "--set", "sweep={seed: [1]}")

    assert (same.code, same.err) == (0, "")
    assert less.code == 0
    assert less.err.startswith("warning: 1 job is only in the baseline: lake-s2")


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--update-snapshots",), "--update-snapshots: has no effect without --baseline"),
        (("--baseline", "base", "--update-baseline", "base"), "--baseline and --update-baseline cannot be used together"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    cli: Callable[..., Typed], server: StandIn, tmp_path: Path, options: tuple[str, ...], message: str, mode: tuple[str, ...]
) -> None:
    recipe_file(tmp_path)

    done = cli("run", "lake.yaml", "--server", server.url, *options, *mode)

    assert done.code == 2
    assert message in done.err


def test_a_run_renews_a_baseline_and_is_held_against_it(cli: Callable[..., Typed], server: StandIn, tmp_path: Path) -> None:
    recipe_file(tmp_path, sweep={"upscale.denoise": [0.4, 0.5]})
    run = ("run", "lake.yaml", "--server", server.url, "--out", "out")

    assert "baseline: 2 added in base" in cli(*run, "--update-baseline", "base").err
    same = cli(*run, "--baseline", "base")
    assert (same.code, same.err.splitlines()[-2]) == (0, "checked 2 jobs: 2 passed")
    nothing_new = "warning: nothing was rendered, because the run folder already has all of these pictures"
    assert nothing_new in same.err
    assert nothing_new not in cli(*run, "--baseline", "base", "--force", "--only", "*-d040").err

    other = cli("run", "lake.yaml", "--server", server.url, "--out", "other", "--set", "seed=7", "--baseline", "base")
    assert other.code == 4
    assert "the job has changed: seed 1 → 7" in other.err
    renewed = cli(
        "run", "lake.yaml", "--server", server.url, "--out", "other", "--set", "seed=7", "--baseline", "base", "--update-snapshots"
    )
    assert renewed.code == 0
    assert "baseline: 2 changed in base" in renewed.err
