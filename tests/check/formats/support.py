"""A checked run in which everything occurs once, and texts that mean harm to whatever they are printed into."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from comfy_runner.check.formats.lines import Root
from comfy_runner.check.interface import Finding
from comfy_runner.check.results import CheckedJob, CheckedRun, Comparison, Likeness, Outcome

ROOT = Root(Path("/repo"), Path("/repo/pictures"))

DRIFT = Finding(
    check="drift",
    job_id="fox-s1",
    role="upscaled",
    measured=0.41234,
    limit=0.3,
    passed=False,
    message="drift 0.4123, at most 0.3 expected",
    where="fox.yaml:12",
)
DETAIL = Finding(check="detail", job_id="fox-s1", role="upscaled", measured=0.5, limit=0.2, passed=True, where="fox.yaml:13")
UNLIKE = Comparison(
    role="upscaled",
    number=1,
    likeness=Likeness.DIFFERENT,
    similarity=0.61,
    limit=0.95,
    actual="comparison/actual.png",
    expected="comparison/expected.png",
    difference="comparison/difference.png",
)
FAILED = CheckedJob(
    job_id="fox-s1",
    recipe="fox",
    file="fox.yaml",
    line=9,
    outcome=Outcome.FAILED,
    findings=(DETAIL, DRIFT),
    comparisons=(UNLIKE,),
    metrics={"upscaled.drift": 0.41234, "seconds": 3.25},
    seconds=3.25,
)
PASSED = replace(
    FAILED,
    job_id="fox-s2",
    outcome=Outcome.PASSED,
    findings=(DETAIL,),
    comparisons=(replace(UNLIKE, likeness=Likeness.SAME, expected="", difference=""),),
)
UNDONE = CheckedJob(
    job_id="owl-s1", recipe="owl", file="owl.yaml", line=1, outcome=Outcome.ERROR, problem="the server ran out of memory"
)
SKIPPED = replace(UNDONE, job_id="owl-s2", outcome=Outcome.SKIPPED, problem="was not begun")
PASSES = Finding(
    check="passes.first",
    job_id="",
    role="",
    measured=9,
    limit=8,
    passed=False,
    message="fox: first passes 9, at most 8 expected",
    where="fox.yaml:15",
)
RUN = CheckedRun(
    folder=Path("/repo/runs/fox"),
    jobs=(PASSED, FAILED, SKIPPED, UNDONE),
    findings=(PASSES,),
    baseline=Path("/repo/baseline"),
    orphans=("fox-s9",),
    notes=("the baseline was made by ComfyUI 0.3.75",),
    finished="2026-01-02T03:04:05+00:00",
)

HOSTILE = [
    "]]>",
    "\"'<>&",
    "\x00\x08\x1b[31m\x7f\x85",
    "\N{FOX FACE}",
    "\ud83d",
    "\ufffe\uffff",
    "a\nb\r\nc\td\u2028e",
    "| a | `b` ``c`` \\| \\",
    "</details><script>alert(1)</script><img src=x>",
    "[a](javascript:b) ![c](d) https://example.org www.example.org **e** _f_ ~~g~~ $h$",
    "@octocat #123 octocat/repo#1",
    "::error file=x::y%0A::warning::z",
    "# heading",
    "- - -",
    "1. one",
    "x" * 5000,
    "[[ATTACHMENT|/etc/passwd]]",
    "",
]


def spoilt(text: str) -> CheckedRun:
    """Return the run with a text in the place of every text."""
    found = replace(DRIFT, check=text, job_id=text, role=text, measured=text, limit=text, message=text, where=text)
    pair = replace(UNLIKE, role=text, actual=text, expected=text, difference=f"x{text}")
    jobs = tuple(
        CheckedJob(
            job_id=f"{number}{text}",
            recipe=text,
            file=text,
            line=1,
            outcome=outcome,
            findings=(found,) if outcome is Outcome.FAILED else (),
            comparisons=(pair,),
            metrics={text: 1.0},
            problem="" if outcome is Outcome.PASSED else text,
        )
        for number, outcome in enumerate(Outcome)
    )
    folder = Path("/repo") / text.replace("\0", "")
    return CheckedRun(folder=folder, jobs=jobs, findings=(found,), baseline=folder, orphans=(text,), notes=(text,), finished=text)


def many(count: int) -> CheckedRun:
    """Return a run of so many jobs, of which every third failed, each a little more than the one before."""
    return replace(
        RUN,
        jobs=tuple(
            replace(
                FAILED if number % 3 == 0 else PASSED,
                job_id=f"fox-s{number}",
                findings=(replace(DRIFT, job_id=f"fox-s{number}", measured=0.3 + number / 1000, passed=number % 3 > 0),),
            )
            for number in range(count)
        ),
    )
