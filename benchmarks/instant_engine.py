"""An engine that has done every submission at once and gives small pictures, no two of them alike: what is left is our own work.

Everything on our side of the port is as with a server: submissions, verdicts, verified pictures, sidecars, the ledger. There is
no network in it.
"""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from PIL import Image

from comfy_runner.collect.collector import collect_job
from comfy_runner.engine.info import EngineInfo, QueueStatus
from comfy_runner.engine.interface import EngineOptions, JobToCollect, NamedEngine
from comfy_runner.engine.reports import Crashed, EngineReport, Finished, Freed, Submitted
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import Conclusion, ServerFile, Verdict
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.graph.sizes import Size, output_sizes
from comfy_runner.store.job_files import JobFiles
from tests.standin.nodes import object_info
from tests.standin.state import MODELS

T = TypeVar("T")

_SECONDS = 2.5  # that each job is said to have taken
_NOISE = random.Random(0).randbytes(3 * 256 * 256)  # noqa: S311 - a picture
_numbers = itertools.count()


class InstantEngine:
    """Something that has run every graph at once.

    Args:
        name: Its address, which nobody is asked at.
    """

    def __init__(self, name: str) -> None:
        self.url = f"http://{name}.invalid"
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="collect")

    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return EngineInfo(self.url, "0.3.75", "unknown", "unknown", (), "classic")

    def object_info(self, class_type: str | None = None) -> ObjectInfo:
        """See `Engine.object_info`."""
        said = {name: told for name, told in object_info(MODELS).items() if class_type in (None, name)}
        return ObjectInfo(said, source=self.url)

    def model_folders(self) -> list[str]:
        """See `Engine.model_folders`."""
        return []

    def models_in(self, folder: str) -> list[str]:  # noqa: ARG002 - it has none
        """See `Engine.models_in`."""
        return []

    def queue(self) -> QueueStatus:
        """See `Engine.queue`."""
        return QueueStatus()

    def forget(self, prompt_ids: Sequence[str]) -> None:
        """It remembers nothing."""

    def wait_until_reachable(self) -> bool:
        """See `Engine.wait_until_reachable`."""
        return True

    def open(self, report: Callable[[EngineReport], None], files: JobFiles, options: EngineOptions) -> None:  # noqa: ARG002
        """See `Engine.open`."""
        self._report, self._jobs = report, files

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """There is nothing to wait for."""

    def stop_waiting(self) -> None:
        """There is nothing to wait for."""

    def submit(self, submission: Submission) -> None:
        """See `Engine.submit`."""
        files = {
            node_id: (ServerFile(_name(submission, node_id), "", "output"),) for node_id in submission.workflow.outputs.values()
        }
        self._report(Submitted(submission.prompt_id, submission.prompt_id))
        self._report(Finished(submission.prompt_id, Verdict(Conclusion.SUCCEEDED, files, (), None, _SECONDS)))

    def attach(self, submission: Submission, *, server_prompt_id: str = "") -> None:
        """See `Engine.attach`."""
        raise NotImplementedError("nothing is left here by earlier processes")

    def cancel(self, keys: Collection[str]) -> None:
        """Everything isalready done."""

    def collect(
        self, submission: Submission, verdict: Verdict | None, jobs: Sequence[JobToCollect], *, prompt_id: str = ""
    ) -> None:
        """See `Engine.collect`."""
        source = _Pictures(self.url, submission)
        known, server = prompt_id or submission.prompt_id, self.info().as_record()
        for job in jobs:
            self._do(partial(collect_job, source, self._jobs, submission, verdict, job, prompt_id=known, server=server))

    def free(self, key: str) -> None:
        """See `Engine.free`."""
        self._report(Freed(key))

    def close(self) -> None:
        """See `Engine.close`."""
        self._pool.shutdown()

    def _do(self, work: Callable[[], EngineReport]) -> None:
        def report() -> None:
            try:
                self._report(work())
            except BaseException as error:
                self._report(Crashed(error))

        self._pool.submit(report)


class InstantSupply:
    """An `EngineSupply` of engines that are done at once.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def connect(self) -> list[NamedEngine]:
        """See `EngineSupply.connect`."""
        return [self.enlist(f"instant-{number}") for number in range(self._count)]

    def newcomers(self) -> tuple[NamedEngine, ...]:
        """See `EngineSupply.newcomers`."""
        return ()

    def enlist(self, server: str) -> NamedEngine:
        """See `EngineSupply.enlist`."""
        return NamedEngine(server, InstantEngine(server))

    def close(self) -> None:
        """See `EngineSupply.close`."""


class _Pictures:
    """The pictures of one submission."""

    def __init__(self, url: str, submission: Submission) -> None:
        self.url = url
        sizes = output_sizes(submission.workflow)
        self._sizes = {_name(submission, node_id): sizes[role] for role, node_id in submission.workflow.outputs.items()}

    @contextmanager
    def open_file(self, file: ServerFile) -> Iterator[Iterator[bytes]]:
        """See `FileSource.open_file`."""
        yield iter([_picture(self._sizes[file.filename])])

    def find_files(self, prefixes: Mapping[str, str]) -> Mapping[str, tuple[ServerFile, ...]]:  # noqa: ARG002 - as `attach`
        """See `FileSource.find_files`."""
        return {}

    def retrying(self, ask: Callable[[], T]) -> T:
        """See `FileSource.retrying`."""
        return ask()


def _name(submission: Submission, node_id: str) -> str:
    return f"{submission.workflow.nodes[node_id].inputs['filename_prefix']}_00001_.png"


def _picture(size: Size) -> bytes:
    small = (size.width // 8, size.height // 8)
    length = 3 * small[0] * small[1]
    start = next(_numbers) % (len(_NOISE) - length)
    data = io.BytesIO()
    Image.frombytes("RGB", small, _NOISE[start : start + length]).resize((size.width, size.height), Image.Resampling.NEAREST).save(
        data, "PNG", compress_level=1
    )
    return data.getvalue()
