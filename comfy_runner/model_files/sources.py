"""Where model files are read from, in pieces, from any byte on: a web server (`web`), an object store, a file of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from comfy_runner.atomic_files import open_plain
from comfy_runner.errors import ComfyRunnerError, ModelError
from comfy_runner.model_files.file_reading import CHUNK, Read, Reading
from comfy_runner.model_files.hosts import Hosts
from comfy_runner.model_files.model_file import ModelFile
from comfy_runner.model_files.web import read_web
from comfy_runner.store.remote import RemoteStore
from comfy_runner.text_files import reason_of, scheme_of

_PART = 16 << 20  # of an object, which is asked for at once


def source_of(model: ModelFile, hosts: Hosts) -> Read:
    """Return what reads a model's file.

    Args:
        model: The model.
        hosts: Where models may be fetched from.

    Raises:
        UsageError: Not from there.
    """
    path = model.path
    if path is not None:
        return lambda start, version: _read_file(path, start, version, where=model.where)
    hosts.refuse(model.source, where=model.where)
    if scheme_of(model.source) in ("http", "https"):
        return lambda start, version: read_web(model.source, start, version, hosts=hosts, where=model.where)
    return lambda start, version: _read_object(model.source, start, version)


def _read_file(path: Path, start: int, version: str, *, where: str) -> Reading:
    try:
        file = open_plain(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read: {reason_of(error)} (got {path})", where=where) from error
    known = path.stat()
    now = f"{known.st_size}-{known.st_mtime_ns}"
    first = start if version == now and start <= known.st_size else 0

    def chunks() -> Iterator[bytes]:
        file.seek(first)
        while chunk := file.read(CHUNK):
            yield chunk

    return Reading(first, known.st_size, now, chunks(), file.close)


def _read_object(url: str, start: int, version: str) -> Reading:
    address, _, key = url.rpartition("/")
    # Nothing is ever put there, so nothing is spooled.
    store = RemoteStore(address, spool=Path(tempfile.gettempdir()))
    try:
        known = store.stat(key)
        if known is None:
            raise ModelError("there is no such object", where=url, hint="check the URL in the recipe")
        now, size = f"{known.size_bytes}-{known.modified_ns}", known.size_bytes
    except ComfyRunnerError as error:
        raise _as_model_error(error) from error
    first = start if version == now and start <= size else 0

    def chunks() -> Iterator[bytes]:
        for at in range(first, size, _PART):
            try:
                yield store.read(key, at, min(at + _PART, size))
            except FileNotFoundError as error:
                raise ModelError("is gone", where=url) from error
            except ComfyRunnerError as error:
                raise _as_model_error(error) from error

    return Reading(first, size, now, chunks(), lambda: None)


def _as_model_error(error: ComfyRunnerError) -> ModelError:
    """Return an error of a store as one of models: it has been asked again already, and no run folder has to do with it."""
    return error if isinstance(error, ModelError) else ModelError.of(error.problems)
