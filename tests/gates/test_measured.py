"""What is measured for gates: each output against its original, metrics and checks of installed packages among it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from comfy_runner.check.interface import GROUP
from comfy_runner.check.results import CheckedRun, Outcome
from comfy_runner.config import Config
from comfy_runner.gates.check_folder import check_folder
from tests.report.outputs import routes
from tests.report.support import make_run, photo

_CHECKS = """
from comfy_runner.check.interface import finding

def small(output, /):
    width = output.record.width
    yield finding(output, "small", measured=width, limit=300, problem="is too small" if width < 300 else "")

def broken(output, /):
    raise ValueError("no model")
"""


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package with two checks."""
    info = tmp_path / "packages" / "gate_checks-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: gate-checks\nVersion: 1\n", encoding="utf-8")
    entries = ["small = gate_checks:small", "unsound = gate_checks:broken"]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entries, ""]), encoding="utf-8")
    (info.parent / "gate_checks.py").write_text(_CHECKS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.delitem(sys.modules, "gate_checks", raising=False)


def _checked(run: Path) -> CheckedRun:
    return check_folder(run, None, config=Config())


@pytest.mark.usefixtures("checks")
def test_checks_of_an_installed_package_count_whatever_is_expected_and_have_not_passed_where_they_fail(tmp_path: Path) -> None:
    run = make_run(tmp_path / "lake", {"seed": [1]}, photo)

    (job,) = _checked(run).jobs

    assert job.outcome is Outcome.FAILED
    assert [(each.check, each.role, each.measured, each.limit, each.message) for each in job.failures] == [
        ("small", "upscaled", 256, 300, "is too small"),
        ("unsound", "upscaled", None, None, "check unsound failed (ValueError: no model)"),
    ]


@pytest.mark.slow
def test_every_output_of_a_job_is_held_against_its_original(tmp_path: Path) -> None:
    run = make_run(tmp_path / "lake", {"seed": [1]}, routes, recipe={"expect": {"drift": {"max": 0.05}}})

    (job,) = _checked(run).jobs

    found = {each.role: each for each in job.findings if each.check == "drift"}
    assert set(found) == {"pixel_0_45", "latent_0_55", "plain", "latent_0_6"}
    assert all(each.measured == job.metrics[f"{role}.drift"] for role, each in found.items())
    assert not any(each.role == "original" for each in job.failures)
