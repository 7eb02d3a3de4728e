"""A ComfyUI server as an engine: its routes, a thread that follows prompts, and a few that collect their files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from comfy_runner.collect.collector import collect_job
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.history import queue_items
from comfy_runner.engine.comfyui.prompt_thread import PromptThread
from comfy_runner.engine.comfyui.server_files import ServerFiles
from comfy_runner.engine.comfyui.submit import PromptRequest, file_prefixes
from comfy_runner.engine.comfyui.system_info import info_from_stats, takes_preview_method
from comfy_runner.engine.info import EngineInfo, Queued, QueueStatus
from comfy_runner.engine.interface import EngineOptions, JobToCollect
from comfy_runner.engine.reporting_threads import ReportingThreads
from comfy_runner.engine.reports import EngineReport, Freed
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import Verdict
from comfy_runner.errors import ServerError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.store.about import NAME
from comfy_runner.store.job_files import JobFiles

OUR_PREFIX = "comfy_runner/"
"""How the file prefixes of all our prompts start."""

_LONGEST_NAME = 100
_PREVIEW_METHOD = "latent2rgb"
"""A product of two small matrices for each step; the other one, TAESD, is a network of its own, which takes time and a file."""


class ComfyUIEngine:
    """One ComfyUI server; see `Engine` for what its methods do.

    Args:
        http: Its routes.
        url: What ledgers and sidecars call it where its own address means nothing to others; empty for that.
        has_websocket: Whether it has one.
    """

    def __init__(self, http: ComfyHttp, *, url: str = "", has_websocket: bool = True) -> None:
        self._http, self._url, self._has_websocket = http, url or http.address.url, has_websocket
        self._files = ServerFiles(http, Timeouts())
        self._record: Mapping[str, str] = {"url": self.url}
        self._info: ObjectInfo | None = None
        self._takes_preview_method = False
        self._expected: Mapping[tuple[str, str], Collection[str]] = {}
        self._options = EngineOptions()
        self._report: Callable[[EngineReport], None]
        self._jobs: JobFiles
        self._collecting_threads: ReportingThreads | None = None
        self._prompts: PromptThread | None = None

    @property
    def url(self) -> str:
        """Return its address, without credentials."""
        return self._url

    def info(self) -> EngineInfo:
        """Return what the server is; sidecars name what it said last, for after a restart it may be another version."""
        found = info_from_stats(self.url, self._http.system_stats())
        self._record = found.as_record()
        self._takes_preview_method = takes_preview_method(found)
        return found

    def object_info(self, class_type: str | None = None) -> ObjectInfo:
        """Return what it says of its node classes, or of one."""
        if class_type is not None:
            return ObjectInfo(self._http.object_info(class_type), source=self.url)
        info = ObjectInfo(self._http.object_info(), source=self.url, replacements=self._http.node_replacements())
        self._info = info.with_options(self._expected) if self._expected else info
        return self._info

    def expect_models(self, expected: Mapping[tuple[str, str], Collection[str]]) -> None:
        """Count models as listed that will be there before anything is submitted.

        Args:
            expected: Their names, by the node class and the input that will list them.
        """
        self._expected = expected

    def model_folders(self) -> list[str]:
        """Return the names of its folders of models."""
        return self._http.model_folders()

    def models_in(self, folder: str) -> list[str]:
        """Return the names of the models in such a folder."""
        return self._http.models_in(folder)

    def queue(self) -> QueueStatus:
        """Return how many prompts it has."""
        return queue_status(self._http.queue())

    def forget(self, prompt_ids: Sequence[str]) -> None:
        """Take ended prompts out of its history."""
        self._http.forget(list(prompt_ids))

    def wait_until_reachable(self) -> bool:
        """Wait until it answers, for `Timeouts.outage` seconds at most; return whether it does."""
        return self._files.wait_until_reachable()

    def open(self, report: Callable[[EngineReport], None], files: JobFiles, options: EngineOptions) -> None:
        """Begin to take the submissions of a run."""
        self._files.timeouts = options.timeouts
        self._report, self._jobs = report, files
        self._options = options if self._has_websocket else replace(options, websocket=False)
        self._collecting_threads = ReportingThreads(report)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Wait only so long from now on."""
        self._files.timeouts, self._options = timeouts, replace(self._options, timeouts=timeouts)
        if self._prompts is not None:
            self._prompts.set_timeouts(timeouts)

    def stop_waiting(self) -> None:
        """Collect without waiting for a server that does not answer."""
        self._files.stop_waiting()

    def submit(self, submission: Submission) -> None:
        """Post a submission once the server has its input files, and follow it."""
        self._follower.submit(
            PromptRequest(
                submission.prompt_id,
                submission.prompt_id,
                submission.workflow.to_api(),
                pnginfo={NAME: submission.about},
                uploads=submission.inputs,
                streamed=submission.streamed,
                preview_method=_PREVIEW_METHOD if self._options.previews and self._takes_preview_method else "",
                pays=self._info is not None and bool(self._info.paid(submission.workflow.classes)),
            )
        )

    def attach(self, submission: Submission, *, server_prompt_id: str = "") -> None:
        """Follow a submission that an earlier process may have posted."""
        key = submission.prompt_id
        self._follower.attach(PromptRequest(key, key, submission.workflow.to_api(), server_prompt_id=server_prompt_id))

    def cancel(self, keys: Collection[str]) -> None:
        """Take prompts out of the queue, or interrupt them by their ids."""
        self._follower.cancel(keys)

    def collect(
        self, submission: Submission, verdict: Verdict | None, jobs: Sequence[JobToCollect], *, prompt_id: str = ""
    ) -> None:
        """Bring the files of an ended submission into the store of the run, verified."""
        record, known = {**self._record, **node_packs(submission, self._info)}, prompt_id or submission.prompt_id
        for job in jobs:
            self._do(partial(collect_job, self._files, self._jobs, submission, verdict, job, prompt_id=known, server=record))

    def free(self, key: str) -> None:
        """Have the server unload its models and drop its cache, after the prompt that runs."""

        def free() -> EngineReport:
            # Otherwise the job is tried without; whether the server is still there shows when the job is posted.
            with contextlib.suppress(ServerError):
                self._http.free()
            return Freed(key)

        self._do(free)

    def close(self) -> None:
        """Stop following; what runs there goes on running."""
        if self._collecting_threads is not None:
            self._http.hurry()
            if self._prompts is not None:
                self._prompts.close()
            self._collecting_threads.close()

    @property
    def _follower(self) -> PromptThread:
        """Return the thread that follows prompts; it begins when it is needed."""
        if self._prompts is None:
            self._prompts = PromptThread(self._http, self._report, self._options)
        return self._prompts

    def _do(self, work: Callable[[], EngineReport]) -> None:
        if self._collecting_threads is None:
            raise ValueError(f"{self.url} was not opened")
        self._collecting_threads.do(work)


def node_packs(submission: Submission, info: ObjectInfo | None) -> dict[str, str]:
    """Return from which node packs the nodes of a submission come, for its sidecars; ComfyUI does not tell their versions.

    Args:
        submission: The submission.
        info: What the server says of its nodes; None where it was not asked.
    """
    if info is None:
        return {}
    found = (info.get(node.class_type) for node in submission.workflow.nodes.values())
    return {"node_packs": ", ".join(sorted({node.pack[:_LONGEST_NAME] for node in found if node is not None and node.pack}))}


def queue_status(queue: Mapping[str, Any]) -> QueueStatus:
    """Return how many prompts of ours, and of others, an answer of ``/queue`` has."""
    ours, others = [], []
    for key in ("queue_running", "queue_pending"):
        items = list(queue_items(queue, key))
        ours.append(sum(map(_is_ours, items)))
        others.append(len(items) - ours[-1])
    return QueueStatus(Queued(*ours), Queued(*others))


def _is_ours(item: list[Any]) -> bool:
    return len(item) > 2 and any(prefix.startswith(OUR_PREFIX) for prefix in file_prefixes(item[2]))
