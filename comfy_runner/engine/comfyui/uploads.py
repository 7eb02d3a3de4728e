"""Bringing the input files of jobs to one server, before the jobs are posted; each only where the server lacks it.

A file is sent as it is read, with little memory, and never as anything but what was planned: its last piece goes out when all of
it has been hashed. When this is done, and again after an outage, is decided by `prompt_thread`.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from urllib3.filepost import encode_multipart_formdata

from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.submit import Rejected
from comfy_runner.engine.reports import Complaint
from comfy_runner.errors import JobFailed, ServerRefused, Unreachable
from comfy_runner.input_files import FOLDER, InputFile
from comfy_runner.text_files import reason_of, shown
from comfy_runner.wording import MIB

_CHUNK = 64 * 1024  # each has to go out within one timeout, also on a slow line
_MOST_BREAKS = 3
_AGAIN = "run the same command again"


class Uploads:
    """The input files that one server has of us; several threads take turns.

    Args:
        http: The server.
    """

    def __init__(self, http: ComfyHttp) -> None:
        self._http = http
        self._sent: dict[str, str] = {}
        self._breaks: Counter[str] = Counter()
        self._most: int | None = None
        self._turn = threading.Lock()

    def forget(self) -> None:
        """Count on nothing any more: the server may be another one now, with an empty input folder."""
        self._sent.clear()
        self._most = None

    def provide(self, files: Sequence[InputFile], stop: Callable[[], bool]) -> dict[str, str]:
        """Make sure that the server has these files, each of which it is asked for.

        Args:
            files: The files.
            stop: Tells whether nobody wants them any more.

        Returns:
            What the server calls those that it does not call by their own names.

        Raises:
            Rejected: It does not take one.
            JobFailed: One is not what it was, or cannot be read.
            ServerError: It does not answer.
            Stopped: Nobody wants them any more.
        """
        names = {}
        for file in files:
            with self._turn:
                names[file.name] = self._provide(file, stop)
        return {name: said for name, said in names.items() if said != name}

    def _provide(self, file: InputFile, stop: Callable[[], bool]) -> str:
        sent = self._sent.get(file.name)
        subfolder, _, filename = (sent or file.name).rpartition("/")
        try:
            size = self._http.size_of(filename, subfolder=subfolder, kind="input")
            there = size == file.size_bytes or (size == -1 and sent is not None)
        except ServerRefused as error:
            if error.is_transient:
                raise
            there = sent is not None  # it does not tell, so that what was sent has to count
        return (sent or file.name) if there else self._send(file, stop)

    def _send(self, file: InputFile, stop: Callable[[], bool]) -> str:
        most, size = self._limit(), f"{file.size_bytes / MIB:.1f} MiB"
        if 0 < most < file.size_bytes:
            raise _refused(
                file, f"has {size}, but the server accepts {most / MIB:.1f} MiB: start ComfyUI with a higher --max-upload-size"
            )
        form = _Form(file, stop)
        try:
            name, subfolder = self._http.upload(form, content_type=form.content_type)
        except Unreachable:
            self._breaks[file.name] += form.begun
            if self._breaks[file.name] < _MOST_BREAKS:
                raise
            # Whoever refuses a file for its size may hang up before we hear of that.
            why = f"the connection broke off {_MOST_BREAKS} times: is that more than --max-upload-size, or a proxy, allows?"
            raise _refused(file, f"has {size}, and {why}") from None
        except ServerRefused as error:
            if error.is_transient:
                raise
            raise _refused(file, _why_refused(error, size)) from None
        self._breaks.pop(file.name, None)
        said = f"{subfolder}/{name}" if subfolder else name
        self._sent[file.name] = said
        return said

    def _limit(self) -> int:
        """Return how many bytes a file may have, 0 where the server does not say."""
        most = self._most
        if most is None:
            found = self._http.features().get("max_upload_size")
            most = self._most = found if isinstance(found, int) and not isinstance(found, bool) else 0
        return most


class Stopped(Exception):
    """Nobody wants the file any more."""


def _refused(file: InputFile, why: str) -> Rejected:
    return Rejected([Complaint("", "", "", f"the input file {shown(Path(file.path))} {why}")])


def _why_refused(error: ServerRefused, size: str) -> str:
    if error.status == 413:
        return f"has {size}, more than the server accepts: {error.problems[0].hint}"
    problem = error.problems[0]
    return f"is not accepted: the server {problem.what}" + (f" ({problem.hint})" if problem.hint else "")


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        raise JobFailed(f"the file can no longer be read ({reason})", where=where, hint=f"put it back, and {_AGAIN}") from None


class _Form:
    """A form with one file, sent piece by piece; each iteration sends it anew.

    Attributes:
        begun: Whether anything of it was sent.
        content_type: What it is sent as.
    """

    def __init__(self, file: InputFile, stop: Callable[[], bool]) -> None:
        self.begun = False
        self._file, self._stop = file, stop
        content, fields = secrets.token_bytes(16), {"subfolder": FOLDER, "type": "input", "overwrite": "true"}
        form, self.content_type = encode_multipart_formdata(
            {**fields, "image": (file.filename, content, "application/octet-stream")}
        )
        self._head, _, self._tail = form.partition(content)

    def __len__(self) -> int:
        return len(self._head) + self._file.size_bytes + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces.

        Raises:
            JobFailed: The file is not what it was, or cannot be read; the server has not got all of it then.
        """
        where = f"{shown(Path(self._file.path))}: params.{self._file.param}"
        with _readable(where):
            file = Path(self._file.path).open("rb")  # noqa: SIM115 - it is closed below
        with file:
            for chunk in self._checked(file, where):
                self.begun = True
                yield chunk

    def _checked(self, file: BinaryIO, where: str) -> Iterator[bytes]:
        yield self._head
        digest, length, held = hashlib.sha256(), 0, b""
        while length <= self._file.size_bytes:
            if self._stop():
                raise Stopped
            with _readable(where):
                chunk = file.read(_CHUNK)
            if not chunk:
                break
            digest.update(chunk)
            length += len(chunk)
            if held:
                yield held
            held = chunk
        if length != self._file.size_bytes or digest.hexdigest() != self._file.sha256:
            raise JobFailed("the file has changed since the plan was made", where=where, hint=_AGAIN)
        yield held + self._tail
