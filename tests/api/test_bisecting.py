from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.api import check_run
from comfy_runner.api.bisecting import bisect, judgment_of
from comfy_runner.bisecting.search import Judgment
from comfy_runner.check.interface import Finding
from comfy_runner.check.results import CheckedJob, CheckedRun, Outcome
from comfy_runner.config import Config
from comfy_runner.errors import ComfyRunnerError, RecipeError, UsageError
from tests.bisecting.repository import Repository
from tests.running.support import rendered, small
from tests.standin import StandIn, Trouble


@pytest.mark.parametrize(
    ("recipe", "given", "kind", "told"),
    [
        (small(seed="random"), {}, UsageError, "each version would render different pictures"),
        (small(seed="random", sweep={"upscale.denoise": [0.5, 0.6]}), {}, UsageError, "seeds are drawn at random"),
        (small(checkpint="x"), {}, RecipeError, "unknown field"),
        (small(), {"baseline": "nosuch"}, UsageError, "nosuch: there is no baseline"),
        (small(), {"server": "local"}, UsageError, "a single version"),
        (small(), {"server": "http://"}, UsageError, "http://"),
        (small(), {}, UsageError, "the versions are not given"),
        (small(), {"versions": "nosuch"}, UsageError, "no such file"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_started(
    recipe: Any, given: dict[str, Any], kind: type[ComfyRunnerError], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(kind, match=told):
        bisect("1", "2", [recipe], **{"start": "touch started", "config": Config(), **given})

    assert [*tmp_path.iterdir()] == []


def test_a_repository_with_changes_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    first = repo.commit("one", a="1")
    repo.commit("two", a="2")
    (repo.folder / "a.txt").write_text("mine")

    with pytest.raises(UsageError, match="uncommitted"):
        bisect(first, "main", [small()], start="touch started", repo=repo.folder, out=tmp_path / "out", config=Config())

    assert not (tmp_path / "out").exists()


def test_a_recipe_that_would_change_with_the_commit_is_refused(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "repo")
    (repo.folder / "lake.yaml").write_text(json.dumps(small()), encoding="utf-8")
    first = repo.commit("one")
    repo.commit("two")

    with pytest.raises(UsageError, match=r"lake\.yaml: is in the repository"):
        bisect(first, "main", [repo.folder / "lake.yaml"], start="touch started", repo=repo.folder, out=tmp_path / "out")

    assert not (tmp_path / "out").exists()


def _run(*jobs: CheckedJob, findings: tuple[Finding, ...] = ()) -> CheckedRun:
    return CheckedRun(folder=Path("run"), jobs=jobs, findings=findings)


def _job(outcome: Outcome = Outcome.PASSED, exit_code: int = 0, **more: Any) -> CheckedJob:
    return CheckedJob(job_id="fox", recipe="fox", file="", line=0, outcome=outcome, exit_code=exit_code, **more)


def _finding(check: str, *, passed: bool, job_id: str = "fox", role: str = "upscaled") -> Finding:
    message = "" if passed else f"{check} is too much"
    return Finding(check=check, job_id=job_id, role=role, measured=2, limit=1, passed=passed, message=message)


@pytest.mark.parametrize(
    ("checked", "judgment", "why"),
    [
        (_run(_job(), _job()), Judgment.GOOD, ""),
        (_run(_job(findings=(_finding("drift", passed=True),))), Judgment.GOOD, ""),
        (
            _run(_job(Outcome.FAILED, 4, findings=(_finding("drift", passed=False), _finding("noise", passed=False)))),
            Judgment.BAD,
            "fox upscaled drift is too much, and 1 more thing",
        ),
        (_run(_job(Outcome.ERROR, 4, problem="upscaled is flat")), Judgment.BAD, "fox: upscaled is flat"),
        (_run(_job(), findings=(_finding("first", passed=False, job_id="", role=""),)), Judgment.BAD, "first is too much"),
        (
            _run(_job(Outcome.FAILED, 4, findings=(_finding("drift", passed=False),)), _job(Outcome.ERROR, 1, problem="no memory")),
            Judgment.SKIPPED,
            "fox: no memory",
        ),
        (_run(_job(Outcome.SKIPPED, 3, problem="is on its server")), Judgment.SKIPPED, "fox: is on its server"),
    ],
)
def test_a_version_is_judged_by_its_run(checked: CheckedRun, judgment: Judgment, why: str) -> None:
    assert judgment_of(checked) == (judgment, why)


def test_a_version_whose_pictures_are_black_is_bad(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("flat", until_free=False))
    rendered(server, tmp_path / "run")

    judgment, why = judgment_of(check_run(tmp_path / "run", [small()], config=Config()))

    assert judgment is Judgment.BAD
    assert "one flat colour" in why
