"""What every check does: the same tests for our own, and for one that an installed package announces."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.check.interface import BUILT_IN, GROUP, Check, Finding, Output, failures, installed_checks
from comfy_runner.check.pictures import CONTRAST, not_empty, not_flat, planned_size, whole
from comfy_runner.check.thresholds import DEVIATION, VETO_NAMES, VETOES, most
from comfy_runner.errors import UsageError
from comfy_runner.graph.sizes import Size
from comfy_runner.report.suggest import Limits
from comfy_runner.report.writer import write_report
from tests.report.support import make_run, photo
from tests.running.support import record

_RECORD = record("lake/upscaled.png", b"picture", width=128, height=72)
_LIMITS = [most(metric, limit) for metric, limit in Limits().most().items()]
_BRIGHT = '''"""A check as a package may have it: how bright a picture is, by a metric of its own."""

from comfy_runner.check.interface import Finding, Output


def bright(output: Output):
    value = output.metrics.get("brightness")
    if value is not None:
        yield Finding(
            check="too_bright",
            job_id=output.job_id,
            role=output.role,
            measured=value,
            limit=0.9,
            passed=value <= 0.9,
            message="" if value <= 0.9 else f"is too bright (got {value})",
        )


def small(output: Output):
    wide = output.record.width
    yield Finding(check="too_small", job_id=output.job_id, role=output.role, measured=wide, limit=999, passed=False, message="x")


def broken(output: Output):
    raise KeyError("no such thing")
'''


@dataclass(frozen=True)
class _Case:
    """A check with an output that passes, and one that does not."""

    name: str
    check: Callable[[], Check]
    good: Output
    bad: Output
    problem: str


def _measured(**metrics: float) -> Output:
    return Output(job_id="lake", role="upscaled", record=_RECORD, metrics=metrics)


def _recorded(**changes: Any) -> Output:
    return Output(
        job_id="lake", role="upscaled", record=record("lake/upscaled.png", b"x", **{"width": 128, "height": 72, **changes})
    )


_CASES = [
    _Case("empty", lambda: not_empty, _recorded(), _recorded(size_bytes=0), "is empty"),
    _Case("whole", lambda: whole, _recorded(), _recorded(problem="is cut short"), "is cut short"),
    _Case(
        "size",
        lambda: planned_size(Size(128, 72)),
        _recorded(),
        _recorded(height=71),
        "does not have the planned size, 128x72 pixels (got 128x71)",
    ),
    _Case(
        "size",
        lambda: planned_size(None),
        _recorded(),
        _recorded(width=1 << 15, height=1 << 15),
        "is larger than 268435456 pixels (got 32768x32768)",
    ),
    _Case("flat", lambda: not_flat, _measured(**{CONTRAST: 1.0}), _measured(**{CONTRAST: 0.0}), "is one flat colour"),
    _Case("flat", lambda: VETOES[0], _measured(**{DEVIATION: 0.1}), _measured(**{DEVIATION: 0.0}), "is one flat colour"),
    _Case("noise", lambda: VETOES[1], _measured(noise=0.008), _measured(noise=0.01), "noise 0.01, at most 0.0095 is fine"),
    _Case("blocks", lambda: VETOES[2], _measured(blocks=0.2), _measured(blocks=3), "blocks 3, at most 0.2 is fine"),
    _Case("seams", lambda: VETOES[3], _measured(seams=1), _measured(seams=2), "seams 2, at most 1 is fine"),
    _Case("halos", lambda: VETOES[4], _measured(halos=0.1), _measured(halos=0.4), "halos 0.4, at most 0.3 is fine"),
    _Case("ringing", lambda: VETOES[5], _measured(ringing=0.8), _measured(ringing=2), "ringing 2, at most 1.3 is fine"),
    _Case("repetition", lambda: VETOES[6], _measured(repetition=0.1), _measured(repetition=1), "repetition 1, at most 0.4 is fine"),
    _Case(
        "dead_areas", lambda: VETOES[7], _measured(dead_areas=0), _measured(dead_areas=0.1), "dead areas 0.1, at most 0.008 is fine"
    ),
    _Case("drift", lambda: _LIMITS[0], _measured(drift=0.3), _measured(drift=0.31), "drift 0.31, at most 0.3 is fine"),
    _Case(
        "local_drift",
        lambda: _LIMITS[1],
        _measured(local_drift=0.1),
        _measured(local_drift=0.9),
        "local drift 0.9, at most 0.65 is fine",
    ),
    _Case(
        "colour_shift",
        lambda: _LIMITS[2],
        _measured(colour_shift=1),
        _measured(colour_shift=7),
        "colour shift 7, at most 4 is fine",
    ),
    _Case(
        "too_bright",
        lambda: installed_checks()["bright"],
        _measured(brightness=0.5),
        _measured(brightness=0.95),
        "is too bright (got 0.95)",
    ),
]


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _announce(tmp_path / "packages", monkeypatch, "bright = my_checks:bright")


def _announce(folder: Path, monkeypatch: pytest.MonkeyPatch, *entries: str) -> None:
    """Install a package with checks, and nothing else."""
    info = folder / "my_checks-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: my-checks\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entries, ""]), encoding="utf-8")
    (folder / "my_checks.py").write_text(_BRIGHT, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "my_checks", raising=False)


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_what_is_fine_passes_without_a_word(case: _Case) -> None:
    (found,) = case.check()(case.good)

    assert (found.check, found.passed, found.message) == (case.name, True, "")
    assert failures(case.good, [case.check()]) == []


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_what_is_not_fine_is_found_with_what_was_measured_and_the_limit(case: _Case) -> None:
    (found,) = failures(case.bad, [case.check()])

    assert (found.check, found.passed, found.message) == (case.name, False, case.problem)
    assert found.measured != found.limit
    assert found.label == case.name.replace("_", " ")


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_a_finding_says_whose_it_is_and_can_be_written_down(case: _Case) -> None:
    for output in (case.good, case.bad):
        (found,) = case.check()(output)
        assert (found.job_id, found.role) == ("lake", "upscaled")
        assert Finding(**json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_a_check_has_no_memory_and_looks_at_nothing_else(case: _Case) -> None:
    check = case.check()
    for output in (case.bad, case.good, case.bad):
        richer = replace(output, metrics={**output.metrics, "of_somebody_else": 1e9}, values={"seed": 1})
        assert list(check(output)) == list(check(richer)) == list(case.check()(output))


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_of_what_is_not_known_nothing_is_found(case: _Case) -> None:
    assert list(case.check()(Output(job_id="lake", role="upscaled"))) == []


@given(st.dictionaries(st.sampled_from(sorted([*VETO_NAMES, DEVIATION, *Limits().most()])), st.floats(0, 10)))
def test_each_limit_decides_alone(metrics: dict[str, float]) -> None:
    checks = (*VETOES, *_LIMITS)
    output = Output(metrics=metrics)

    assert failures(output, checks) == [found for check in checks for found in failures(output, [check])]


def test_the_names_of_our_own_are_taken() -> None:
    names = {case.name for case in _CASES} - {"too_bright"}
    assert names == BUILT_IN
    assert {
        found.check for check in VETOES for found in check(_measured(**dict.fromkeys((*VETO_NAMES, DEVIATION), 0.0)))
    } == VETO_NAMES


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("noise = my_checks:bright", "has the name of one of the built-in checks"),
        ("x = my_checks:nothing", "cannot be imported (AttributeError"),
        ("x = my_checks:__doc__", "is not a function"),
    ],
)
def test_a_package_whose_check_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, what: str
) -> None:
    _announce(tmp_path / "more", monkeypatch, entry)

    with pytest.raises(UsageError) as caught:
        installed_checks()

    assert what in str(caught.value)
    assert entry.partition(" ")[0] in caught.value.problems[0].where


def test_what_an_installed_check_finds_rules_a_picture_out_and_one_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _announce(tmp_path / "more", monkeypatch, "small = my_checks:small", "broken = my_checks:broken")
    run = make_run(tmp_path / "lake", {"upscale.denoise": [0.4, 0.5]}, photo)

    report = write_report(run)

    assert {one.measures.vetoes for one in report.measured.values() if one.measures} == {("too small",)}
    assert report.suggestion is not None
    assert report.suggestion.chosen is None
    assert "too small" in report.suggestion.reason
    assert "check broken failed (KeyError: 'no such thing')" in report.notes
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))["jobs"][0]["faults"] == ["too small"]
