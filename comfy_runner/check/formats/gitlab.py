"""GitLab's code quality report: JSON that it shows in a merge request, at the recipes' lines."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

from comfy_runner.check.formats.lines import Root, complaint, plain, worst_first
from comfy_runner.check.interface import Finding
from comfy_runner.check.results import CheckedJob, CheckedRun, Outcome


def code_quality(run: CheckedRun, root: Root) -> str:
    """Return what is wrong with a checked run as GitLab's code quality JSON.

    A fingerprint says which job, check and role an entry is about, and nothing of values or lines, so that GitLab knows it again in
    another pipeline.

    Args:
        run: The run.
        root: What paths are relative to: the project.
    """
    entries: list[dict[str, Any]] = []
    seen: Counter[tuple[str, ...]] = Counter()

    def add(job: CheckedJob | None, found: Finding | None, check: str, text: str, severity: str) -> None:
        identity = (job.recipe if job else "", job.job_id if job else "", check, found.role if found else "")
        # Several pictures of one role can miss the same limit; GitLab drops entries with the fingerprint of another.
        number, seen[identity] = seen[identity], seen[identity] + 1
        digest = hashlib.sha256(json.dumps([*identity, number]).encode()).hexdigest()
        file, line = root.place(job, found)
        entries.append(
            {
                "description": f"{plain(job.job_id)}: {text}" if job else text,
                "check_name": plain(check),
                "fingerprint": digest,
                "severity": severity,
                "location": {"path": file or root.relative(run.folder), "lines": {"begin": max(1, line)}},
            }
        )

    for job in worst_first(run.jobs):
        if job.outcome is Outcome.ERROR:
            add(job, None, "not done", plain(job.problem or "could not be done"), "blocker")
        for found in job.failures:
            add(job, found, found.check, complaint(found), "major")
    for found in run.failures:
        add(None, found, found.check, complaint(found), "major")
    return json.dumps(entries, indent=1) + "\n"
