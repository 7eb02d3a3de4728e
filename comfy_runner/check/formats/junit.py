"""JUnit's XML, which Jenkins, GitLab and the actions of GitHub's market read: a suite per recipe, a case per job.

There is no one standard. Elements and attributes are those of Jenkins' junit-10.xsd, and three that readers know beyond it: a
case's ``file`` and ``line``, which GitLab and GitHub's actions link, and its ``properties``, which hold the metrics.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from comfy_runner.check.formats.lines import Root, complaint, detail, excess, plain, unlike
from comfy_runner.check.interface import Finding
from comfy_runner.check.results import CheckedJob, CheckedRun, Comparison, Outcome

RUN = "run"
"""The name of the suite for what was checked of the run as a whole."""

_LONGEST_BODY = 4000


def junit(run: CheckedRun, root: Root) -> str:
    """Return a checked run as JUnit's XML.

    Args:
        run: The run.
        root: What paths are relative to.
    """
    top = ET.Element("testsuites", name="comfy-runner")
    recipes: dict[str, list[CheckedJob]] = {}
    for job in run.jobs:
        recipes.setdefault(job.recipe, []).append(job)
    for recipe, jobs in recipes.items():
        suite = ET.SubElement(top, "testsuite", name=plain(recipe))
        for job in jobs:
            _add_job(suite, job, run, root)
        file = root.place(jobs[0])[0]
        suite.attrib.update({"file": file} if file else {})
        _count(suite, run, seconds=sum(job.seconds or 0.0 for job in jobs))
    if run.findings:
        suite = ET.SubElement(top, "testsuite", name=RUN)
        for found in run.findings:
            _add_finding(suite, found, root)
        _count(suite, run, seconds=0.0)
    for name in ("tests", "failures", "errors"):
        top.set(name, str(sum(int(suite.attrib[name]) for suite in top)))
    ET.indent(top)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(top, encoding="unicode") + "\n"


def _count(suite: ET.Element, run: CheckedRun, *, seconds: float) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for attribute, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{element}"))))
    suite.set("time", f"{seconds:.3f}")
    if run.finished:
        suite.set("timestamp", plain(run.finished))


def _case(suite: ET.Element, name: str, classname: str, place: tuple[str, int]) -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=plain(classname), name=plain(name))
    file, line = place
    case.attrib.update({"file": file} if file else {})
    case.attrib.update({"line": str(line)} if line else {})
    return case


def _add_job(suite: ET.Element, job: CheckedJob, run: CheckedRun, root: Root) -> None:
    case = _case(suite, job.job_id, job.recipe, root.place(job))
    if job.seconds is not None:
        case.set("time", f"{job.seconds:.3f}")
    if job.metrics:
        properties = ET.SubElement(case, "properties")
        for name, value in job.metrics.items():
            ET.SubElement(properties, "property", name=plain(name), value=f"{value:.6g}")
    if job.outcome is Outcome.ERROR:
        problem = job.problem or "could not be done"
        _add_result(case, "error", "not done", problem, [plain(problem, longest=_LONGEST_BODY), *_details(job.findings)])
    elif job.outcome is Outcome.SKIPPED:
        ET.SubElement(case, "skipped", message=plain(job.problem or "was not begun"))
    elif job.outcome is Outcome.FAILED:
        worst = sorted(job.failures, key=excess, reverse=True)
        kind = worst[0].check if worst else "failed"
        _add_result(case, "failure", kind, "; ".join(map(complaint, worst)) or "is not as expected", _details(job.findings))
    if pictures := [line for pair in unlike(job) for line in _attachments(pair, run, root)]:
        ET.SubElement(case, "system-out").text = "\n".join(["", *pictures, ""])


def _add_finding(suite: ET.Element, found: Finding, root: Root) -> None:
    # Two recipes of one folder can have the same limit; GitLab drops cases with the name of another.
    file, _, _ = found.where.rpartition(":")
    case = _case(suite, f"{found.label} ({file})" if file else found.label, RUN, root.place(None, found))
    if not found.passed:
        _add_result(case, "failure", found.check, complaint(found), _details([found]))


def _add_result(case: ET.Element, element: str, kind: str, message: str, lines: Iterable[str]) -> None:
    # GitLab shows the lines alone, Jenkins both.
    ET.SubElement(case, element, type=plain(kind), message=plain(message)).text = "\n".join(lines)


def _details(findings: Iterable[Finding]) -> list[str]:
    """Return all that was found, first what did not pass; a most and a least that are the same and kept are told once."""
    return list(dict.fromkeys(detail(found) for found in sorted(findings, key=lambda found: found.passed)))


def _attachments(pair: Comparison, run: CheckedRun, root: Root) -> list[str]:
    """Return the lines by which GitLab, and Jenkins' plugin for attachments, show pictures; GitLab shows the first of a case."""
    paths = [root.relative(run.folder / path) for path in (pair.difference, pair.actual, pair.expected) if path]
    return [f"[[ATTACHMENT|{path}]]" for path in paths if "]]" not in path]
