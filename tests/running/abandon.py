"""What a client leaves behind that is killed: a ledger that says submitted, and prompts that the server has, or has not."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

import requests

from comfy_runner.collect.collector import collect_job
from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.server_files import ServerFiles
from comfy_runner.engine.interface import JobToCollect
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import Conclusion, Verdict
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.planning.capabilities import capabilities_of
from comfy_runner.planning.survey import plan_rows
from comfy_runner.running.prepare import Preparer
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.store.run_folder import RunFolder
from tests.running.support import plan_of
from tests.standin import HELD, StandIn


def http_of(server: StandIn) -> ComfyHttp:
    """Return a client."""
    return ComfyHttp(parse_address(server.url))


def abandoned(
    server: StandIn, out: Path, *recipes: Any, post: bool = True, together: bool = False, only: Collection[str] = ()
) -> list[Submission]:
    """Submit jobs as a client does that is killed right after it, and return what was posted.

    Args:
        server: Where they are posted.
        out: The run folder.
        recipes: Their recipes.
        post: Whether the client came as far as the POST.
        together: Whether they are posted as one graph.
        only: The ids of those that are submitted; empty for all.
    """
    plan = plan_of(*recipes)
    http = http_of(server)
    folder = RunFolder(out)
    try:
        folder.ledger.write_plan(plan_rows(plan.drafts, {}, {}), recipes={draft.recipe_name for draft in plan.drafts})
        preparer = Preparer(folder, capabilities_of(plan.drafts, ObjectInfo(http.object_info(), source=server.url)))
        drafts = [draft for draft in plan.drafts if not only or draft.job_id in only]
        submissions = []
        for group in [drafts] if together else [[draft] for draft in drafts]:
            key = str(uuid.uuid4())
            submission = Submission.of(key, [preparer.prepare(draft, prompt_id=key).job for draft in group])
            folder.ledger.submit(key, server=server.url, text=submission.to_text(), job_ids=submission.job_ids)
            if post:
                body = {"prompt": submission.workflow.to_api(), "prompt_id": key, "client_id": "gone"}
                requests.post(f"{server.url}/prompt", json=body, timeout=HELD).raise_for_status()
            submissions.append(submission)
        return submissions
    finally:
        folder.close()


def ended(server: StandIn, submissions: Collection[Submission]) -> None:
    """Return when the server has ended these."""
    for submission in submissions:
        while not requests.get(f"{server.url}/history/{submission.prompt_id}", timeout=HELD).json():
            pass


def taken_in(server: StandIn, out: Path, submission: Submission, job_id: str) -> tuple[FileRow, ...]:
    """Collect one job of a submission as a client does that is killed before it writes that down; return its files."""
    http = http_of(server)
    job = next(each for each in submission.jobs if each.job_id == job_id)
    source = ServerFiles(http, Timeouts())
    files = source.find_files(job.prefixes)
    folder = RunFolder(out)
    try:
        verdict = Verdict(Conclusion.SUCCEEDED, files, (), None, None)
        own, wanted = Submission.of(submission.prompt_id, [job]), JobToCollect(job_id, {})
        found = collect_job(source, folder, own, verdict, wanted, prompt_id=submission.prompt_id, server={})
        assert found.error is None
        assert not found.errors
        return tuple(folder.rows(found.files))
    finally:
        folder.close()
