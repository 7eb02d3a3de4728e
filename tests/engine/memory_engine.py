"""A tiny engine that runs graphs in this process: every picture is a small pattern, and its files lie in a dictionary.

What an address such as ``memory://one`` has outlives the engines that are made for it, as a server outlives its clients.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from PIL import Image

from comfy_runner.collect.collector import collect_job
from comfy_runner.config import ServerConfig
from comfy_runner.engine.info import EngineInfo, Queued, QueueStatus
from comfy_runner.engine.interface import EngineOptions, JobToCollect
from comfy_runner.engine.reports import (
    Broken,
    Cancelled,
    Complaint,
    Crashed,
    EngineReport,
    Finished,
    Freed,
    NodeProgress,
    Refused,
    Submitted,
)
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import RequestTimeouts, Timeouts
from comfy_runner.engine.verdict import Conclusion, ServerFile, Verdict
from comfy_runner.errors import JobLost, ServerRefused
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.sizes import Size, output_sizes
from comfy_runner.store.job_files import JobFiles
from tests.standin.nodes import object_info

T = TypeVar("T")

_CHECKPOINTS = ("tiny-random-sd15.safetensors",)
_STEP_SECONDS = 0.001


@dataclass
class Memory:
    """What is at one address.

    Attributes:
        files: The content of each file, by its name with the folder.
        verdicts: How each submission ended, by key.
        ran: The keys of all that were run, in order.
        pending: How many submissions wait.
        running: The key of the one that runs; empty for none.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    pending: int = 0
    running: str = ""


_MEMORIES: dict[str, Memory] = {}


def memory_at(url: str) -> Memory:
    """Return what is at an address."""
    return _MEMORIES.setdefault(url, Memory())


def connect(server: ServerConfig, *, requests: RequestTimeouts | None = None) -> MemoryEngine:  # noqa: ARG001 - nothing takes time
    """Return the engine of an address, as the entry point that announces this module."""
    return MemoryEngine(server.url)


class MemoryEngine:
    """An engine of this process."""

    def __init__(self, url: str) -> None:
        self._url, self._memory = url, memory_at(url)
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._unwanted: set[str] = set()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return self._url

    def info(self) -> EngineInfo:
        return EngineInfo(self._url, "in memory", "unknown", "unknown", (), "none")

    def object_info(self, class_type: str | None = None) -> ObjectInfo:
        said = object_info({"checkpoints": _CHECKPOINTS})
        wanted = {name: told for name, told in said.items() if class_type in (None, name)}
        return ObjectInfo(wanted, source=self._url)

    def model_folders(self) -> list[str]:
        return ["checkpoints"]

    def models_in(self, folder: str) -> list[str]:
        if folder != "checkpoints":
            raise ServerRefused("has no such folder", where=self._url)
        return list(_CHECKPOINTS)

    def queue(self) -> QueueStatus:
        return QueueStatus(ours=Queued(running=int(bool(self._memory.running)), pending=self._memory.pending))

    def forget(self, prompt_ids: Sequence[str]) -> None:
        for prompt_id in prompt_ids:
            self._memory.verdicts.pop(prompt_id, None)

    def wait_until_reachable(self) -> bool:
        return True

    def open(self, report: Callable[[EngineReport], None], files: JobFiles, options: EngineOptions) -> None:  # noqa: ARG002 - it needs no limits
        self._report, self._files = report, files
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """There is nothing to wait for."""

    def stop_waiting(self) -> None:
        """There is nothing to wait for."""

    def submit(self, submission: Submission) -> None:
        self._memory.pending += 1
        self._orders.put(lambda: self._run(submission))

    def attach(self, submission: Submission, *, server_prompt_id: str = "") -> None:
        self._orders.put(lambda: self._attach(submission, server_prompt_id or submission.prompt_id))

    def cancel(self, keys: Collection[str]) -> None:
        self._unwanted.update(keys)

    def collect(
        self, submission: Submission, verdict: Verdict | None, jobs: Sequence[JobToCollect], *, prompt_id: str = ""
    ) -> None:
        record = self.info().as_record()
        for job in jobs:
            self._orders.put(
                lambda job=job: self._report(  # type: ignore[misc] # mypy knows no types of defaults
                    collect_job(
                        _Files(self._url, self._memory),
                        self._files,
                        submission,
                        verdict,
                        job,
                        prompt_id=prompt_id or submission.prompt_id,
                        server=record,
                    )
                )
            )

    def free(self, key: str) -> None:
        self._orders.put(lambda: self._report(Freed(key)))

    def close(self) -> None:
        self._unwanted.add("*")
        self._orders.put(None)
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                order()
            except BaseException as error:
                self._report(Crashed(error))

    def _attach(self, submission: Submission, prompt_id: str) -> None:
        verdict = self._memory.verdicts.get(prompt_id)
        if verdict is None:
            self._report(Broken(submission.prompt_id, JobLost(f"does not know {prompt_id}", where=self._url)))
            return
        self._report(Submitted(submission.prompt_id, prompt_id))
        self._report(Finished(submission.prompt_id, verdict))

    def _run(self, submission: Submission) -> None:
        key, known = submission.prompt_id, self.object_info()
        self._memory.pending -= 1
        strange = [(node_id, node) for node_id, node in submission.workflow.nodes.items() if known.get(node.class_type) is None]
        if strange:
            complaints = [Complaint(node_id, node.class_type, "", "no such class") for node_id, node in strange]
            self._report(Refused(key, tuple(complaints)))
            return
        self._report(Submitted(key, key))
        self._memory.running = key
        try:
            done = self._steps(submission)
        finally:
            self._memory.running = ""
        if not done:
            self._report(Cancelled(key))
            return
        self._memory.ran.append(key)
        verdict = Verdict(Conclusion.SUCCEEDED, dict(self._pictures(submission)), (), None, 0.001)
        self._memory.verdicts[key] = verdict
        self._report(Finished(key, verdict))

    def _steps(self, submission: Submission) -> bool:
        """Work for a while; return whether that was wanted to its end."""
        for node_id, node in submission.workflow.nodes.items():
            steps = int(node.inputs.get("steps", 0)) if node.class_type == "KSampler" else 0
            for step in range(1, steps + 1):
                if self._unwanted & {submission.prompt_id, "*"}:
                    return False
                time.sleep(_STEP_SECONDS)
                self._report(NodeProgress(submission.prompt_id, node_id, step, steps))
        return True

    def _pictures(self, submission: Submission) -> Iterator[tuple[str, tuple[ServerFile, ...]]]:
        sizes = output_sizes(submission.workflow)
        for role, node_id in submission.workflow.outputs.items():
            subfolder, _, stem = str(submission.workflow.nodes[node_id].inputs["filename_prefix"]).rpartition("/")
            file = ServerFile(f"{stem}_00001_.png", subfolder, "output")
            self._memory.files[_name(file)] = _picture(sizes.get(role) or Size(64, 64))
            yield node_id, (file,)


@dataclass(frozen=True)
class _Files:
    url: str
    memory: Memory

    @contextmanager
    def open_file(self, file: ServerFile) -> Iterator[Iterator[bytes]]:
        if _name(file) not in self.memory.files:
            raise ServerRefused("has no such file", where=self.url)
        yield iter([self.memory.files[_name(file)]])

    def find_files(self, prefixes: Mapping[str, str]) -> Mapping[str, tuple[ServerFile, ...]]:
        names = {node_id: f"{prefix}_00001_.png" for node_id, prefix in prefixes.items()}
        split = {node_id: name.rpartition("/") for node_id, name in names.items() if name in self.memory.files}
        return {node_id: (ServerFile(name, folder, "output"),) for node_id, (folder, _, name) in split.items()}

    def retrying(self, ask: Callable[[], T]) -> T:
        return ask()


def _name(file: ServerFile) -> str:
    return f"{file.subfolder}/{file.filename}"


def _picture(size: Size) -> bytes:
    data = io.BytesIO()
    ramp = Image.linear_gradient("L").resize((size.width, size.height))
    Image.merge("RGB", (ramp, ramp.rotate(180), ramp)).save(data, "PNG")
    return data.getvalue()
