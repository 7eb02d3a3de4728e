"""One actor: it owns a ComfyUI, follows what that is given, and keeps what there is to tell until the run has it.

Submitting, following and collecting are those of `engine.comfyui`. Where the run's store is at a URL, finished files go there from
here, verified; else the run fetches them piece by piece.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from comfy_runner._version import __version__
from comfy_runner.engine.comfyui.address import Address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.engine import ComfyUIEngine
from comfy_runner.engine.comfyui.server_files import ServerFiles
from comfy_runner.engine.local.recipe_models import RecipeModels
from comfy_runner.engine.ray_actors.connection import placed_here
from comfy_runner.engine.ray_actors.messages import ActorPlace, FileChunk, News, RunAtActor, Said, ServerSetup
from comfy_runner.engine.ray_actors.server_process import ServerProcess
from comfy_runner.engine.reports import Crashed, EngineReport
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import ServerFile
from comfy_runner.errors import ComfyRunnerError, LocalError, RunFolderError
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.lease import newest_lease
from comfy_runner.store.local import LocalStore
from comfy_runner.store.remote import RemoteStore

_PIECE: Final = 16 * 1024 * 1024
_LONGEST_LOG: Final = 1024 * 1024
_NEWS_SECONDS: Final = 2.0
_TOGETHER_SECONDS: Final = 0.01
_ALONE_SECONDS: Final = 60.0
"""How long an actor goes on whose run does not ask for news. Ray does not always end it when its node has gone."""

_UNWANTED_SECONDS: Final = 300.0
"""How long an actor waits for its run that is not open yet, behind what its ComfyUI may take to start."""

_WATCH_SECONDS: Final = 1.0
_SURE_SECONDS: Final = 5.0
"""How long an actor believes that its run goes on which has not asked for news; it looks at the run's lease then."""


class ComfyUIActor:
    """What Ray runs; its methods are called from several threads, by one run.

    Args:
        setup: Which ComfyUI it starts, when it is asked for the first time.
    """

    def __init__(self, setup: ServerSetup) -> None:
        self._process = ServerProcess(setup, say=lambda _sentence: None)
        # Of a command's ComfyUI nobody knows where it has its models.
        order = None if setup.command else setup.models
        self._models = None if order is None else RecipeModels(order, setup.local.shared_models, say=lambda _sentence: None)
        self._has_models = self._models is None
        self._http = ComfyHttp(Address(self._process.url))
        self._engine = ComfyUIEngine(self._http)
        self._files = ServerFiles(self._http, Timeouts())
        self._starting = threading.Lock()
        self._reports: deque[EngineReport] = deque()
        self._news = threading.Condition()
        self._asked = time.monotonic()
        self._patience = setup.start_timeout + _UNWANTED_SECONDS
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        self._inputs = self._process.folder / "inputs"
        self._open_files: dict[str, BinaryIO] = {}

    def where(self) -> ActorPlace:
        """Return where Ray has put this actor."""
        node, gpus = placed_here()
        return ActorPlace(node=node, gpus=gpus, version=__version__, process=os.getpid())

    def start(self) -> Said:
        """Start the ComfyUI, unless it runs, wait until it answers, and fetch the models that it lacks."""
        return self._said(self._start)

    def open(self, run: RunAtActor) -> Said:
        """Begin to take the submissions of a run, of one alone."""
        return self._said(lambda: self._open(run))

    def ask(self, question: str, *given: Any) -> Said:
        """Return what a method of the engine returns.

        Args:
            question: Its name.
            given: Its arguments.
        """
        return self._said(lambda: getattr(self._started, question)(*given))

    def tell(self, order: str, *given: Any, **named: Any) -> None:
        """Have the engine do something that returns at once.

        Args:
            order: The name of the engine's method.
            given: Its arguments.
            named: Likewise.
        """
        if order == "submit":
            given = (_with_inputs(given[0], self._inputs),)
        try:
            getattr(self._engine, order)(*given, **named)
        except BaseException as error:  # it has to reach the run
            self._report(Crashed(error))

    def take(self, sha256: str, piece: bytes) -> None:
        """Take the next piece of a file that submissions read; those that name it come after its last."""
        self._inputs.mkdir(exist_ok=True)
        with (self._inputs / sha256).open("ab") as file:
            file.write(piece)

    def news(self, arrived: int, log_read: int) -> News:
        """Return what is new, after some seconds at the latest.

        Args:
            arrived: How many of the reports that were told last need not be told again.
            log_read: How many bytes of the log have arrived.
        """
        with self._news:
            self._asked = time.monotonic()
            for _ in range(arrived):
                self._reports.popleft()
            if not self._reports and self._news.wait_for(lambda: self._reports, _NEWS_SECONDS):
                # What comes a moment later goes with it.
                self._news.wait(_TOGETHER_SECONDS)
            self._asked = time.monotonic()
            reports = tuple(self._reports)
        return News(reports, read_from(self._process.log, log_read))

    def find_files(self, prefixes: dict[str, str]) -> Said:
        """Return the files that the server has under file prefixes."""
        return self._said(lambda: self._files.find_files(prefixes))

    def fetch(self, file: ServerFile) -> Said:
        """Fetch a file from the server, and return its first `FileChunk`."""
        return self._said(lambda: self._fetch(file))

    def more_of(self, rest: str) -> FileChunk:
        """Return the next piece of a file; nothing of one that is not asked for further is kept."""
        return self._piece(self._open_files.pop(rest))

    def stop(self, log_read: int) -> bytes:
        """End the ComfyUI, and return what its log has from a byte on."""
        printed = read_from(self._process.log, log_read)
        self._engine.close()
        self._process.close()
        if self._models is not None:
            self._models.close()
        return printed

    def _start(self) -> None:
        with self._starting:
            self._process.start()
            if self._models is not None and not self._has_models:
                self._models.provide(self._engine.object_info())
                self._has_models = True

    @property
    def _started(self) -> ComfyUIEngine:
        self._start()
        return self._engine

    def _open(self, run: RunAtActor) -> None:
        self._start()
        self._engine = ComfyUIEngine(self._http, url=run.url)
        self._engine.info()
        self._engine.object_info()  # sidecars name the packs of nodes
        spool = self._process.folder / "spool"
        store: ArtifactStore = LocalStore(spool)  # nothing is put there: the run collects
        if run.store:
            store = RemoteStore(run.store, spool=spool)
            store.guard = lambda: self._require_run(store, run)
        self._engine.open(self._report, JobFiles(store), run.options)
        self._asked, self._patience = time.monotonic(), _ALONE_SECONDS

    def _watch(self) -> None:
        """End this process with its ComfyUI when its run has gone."""
        while time.monotonic() - self._asked < self._patience:
            time.sleep(_WATCH_SECONDS)
        self._process.close()
        os.kill(os.getpid(), signal.SIGKILL)

    def _require_run(self, store: ArtifactStore, run: RunAtActor) -> None:
        """Make sure that nobody has followed the run, which may have been killed.

        Raises:
            RunFolderError: Somebody has.
        """
        if time.monotonic() - self._asked < _SURE_SECONDS:
            return
        latest = newest_lease(store)
        if latest is None or latest.number != run.lease:
            raise RunFolderError("another comfy-runner has taken over this run", where=run.store)

    def _fetch(self, file: ServerFile) -> FileChunk:
        made = self._process.folder / f"fetched-{uuid.uuid4()}"
        spooled = made.open("w+b")
        with contextlib.ExitStack() as stack:
            stack.callback(spooled.close)
            made.unlink()
            with self._files.open_file(file) as chunks:
                for chunk in chunks:
                    spooled.write(chunk)
            spooled.seek(0)
            stack.pop_all()
        return self._piece(spooled)

    def _piece(self, file: BinaryIO) -> FileChunk:
        content = file.read(_PIECE)
        if len(content) < _PIECE:
            file.close()
            return FileChunk(content)
        rest = str(uuid.uuid4())
        self._open_files[rest] = file
        return FileChunk(content, rest)

    def _report(self, report: EngineReport) -> None:
        if isinstance(report, Crashed) and not isinstance(report.error, ComfyRunnerError):
            # What a library raises cannot always be sent.
            report = Crashed(RuntimeError(f"{type(report.error).__name__}: {report.error}"))
        with self._news:
            self._reports.append(report)
            self._news.notify_all()

    def _said(self, ask: Callable[[], Any]) -> Said:
        try:
            return Said(ask())
        except ComfyRunnerError as error:
            return Said(error=error)
        except OSError as error:  # of this machine's disk
            return Said(error=LocalError(f"nothing can be written there (got {error})", where=str(self._process.folder)))


def _with_inputs(submission: Submission, folder: Path) -> Submission:
    """Return a submission that reads its files from this machine."""
    jobs = [
        replace(job, inputs=tuple(replace(file, path=str(folder / file.sha256)) for file in job.inputs)) for job in submission.jobs
    ]
    return replace(submission, jobs=tuple(jobs))


def read_from(log: Path, start: int) -> bytes:
    """Return what a log has from a byte on, a megabyte at most; nothing where it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            return file.read(_LONGEST_LOG)
    except OSError:
        return b""
