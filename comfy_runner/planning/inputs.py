"""The files that recipes name for parameters of the types ``image`` and ``file``: found, read once for a whole plan, checked.

`input_files` names them, and `engine.comfyui.uploads` brings them to a server.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from comfy_runner.errors import Problem, RecipeError
from comfy_runner.graph.sizes import Size
from comfy_runner.input_files import InputFile, upload_name
from comfy_runner.picture_files import BROKEN, opened, without_warnings
from comfy_runner.recipe.field_docs import Param
from comfy_runner.recipe.job import Job
from comfy_runner.templating.lookup import Template
from comfy_runner.text_files import reason_of, shown
from comfy_runner.wording import MIB
from comfy_runner.yaml_loader import got
from comfy_runner.yaml_syntax import escape_hint

MOST_BYTES = 1 << 30
"""Largest file that is uploaded, in bytes."""

MOST_PIXELS = 178_956_970
"""Largest picture, in pixels: beyond it, the Pillow that ComfyUI opens it with takes it for a decompression bomb."""

_TYPES = ("image", "file")
_ORIENTATION = 0x0112  # of a picture's EXIF data
_ON_THE_SIDE = (5, 6, 7, 8)


class _WrongFile(Exception):
    """What is wrong with a file, and the way out."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


class InputFiles:
    """The input files of one plan. Each is read once, however many jobs name it; not for two threads at once.

    Attributes:
        pictures: The sizes in pixels of those that are pictures, turned as their EXIF data say, by their names in graphs.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, Path], InputFile | Problem] = {}
        self._hashes: dict[Path, tuple[str, int]] = {}
        self.pictures: dict[str, Size] = {}

    def resolved(self, job: Job, template: Template, params: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[InputFile, ...]]:
        """Return the parameters as a template sees them, with names on a server for paths, and the files of these names.

        A path starts from the folder of the file that gives it: the recipe, one that it extends, or for a default the template.
        An empty default says that there is none.

        Args:
            job: The job.
            template: Its template.
            params: The parameters, of the right types.

        Raises:
            RecipeError: A file is not there, or is not what it has to be; with all of them.
        """
        values, found, problems = dict(params), [], []
        for param in (template.header.params or {}).values():
            value = params[param.name] if param.type in _TYPES else None
            if not isinstance(value, str) or (value == "" == param.default):
                continue
            file = self._file(job, template, param, value)
            if isinstance(file, InputFile):
                values[param.name] = file.name
                found.append(file)
            else:
                problems.append(file)
        if problems:
            raise RecipeError.of(problems)
        return values, tuple(found)

    def _file(self, job: Job, template: Template, param: Param, value: str) -> InputFile | Problem:
        field = f"params.{param.name}"
        if param.name in job.values["params"]:
            folder, where = job.recipe.folder(field) or Path(), job.recipe.where(field)
        else:
            folder, where = template.path.parent, f"{shown(template.path)}: {field}"
        path = folder / value
        key = (where, param.type, path)
        if key not in self._known:
            try:
                self._known[key] = self._read(path, value, param)
            except _WrongFile as wrong:
                self._known[key] = Problem(f"{wrong.what} (got {got(value)})", where, wrong.hint)
        return self._known[key]

    def _read(self, path: Path, value: str, param: Param) -> InputFile:
        if not value:
            raise _WrongFile("must be the path of a file", param.description)
        path = _absolute(path)
        try:
            _refuse_by_kind(path.stat(), path)
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if path not in self._hashes:
                    self._hashes[path] = (hashlib.file_digest(file, "sha256").hexdigest(), size)
                    file.seek(0)
                sha256, size = self._hashes[path]
                name = upload_name(sha256, path)
                if param.type == "image":
                    self.pictures[name] = _picture_size(file)
        except (OSError, ValueError) as fault:
            raise _unreadable(fault, path, value) from None
        return InputFile(param.name, str(path), name, sha256, size)


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:  # the current directory is gone
        return path


def _refuse_by_kind(found: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise _WrongFile("is a directory, not a file", f"name a file in {shown(path)}")
    if not stat.S_ISREG(found.st_mode):  # whoever reads a pipe may wait forever, or for the end of a device
        raise _WrongFile("is not a ordinary file", "copy its contents into a file")
    if not found.st_size:
        raise _WrongFile("is empty", f"check {shown(path)}")
    if found.st_size > MOST_BYTES:
        raise _WrongFile(
            f"is larger than the {MOST_BYTES // MIB} MiB that are uploaded: {found.st_size / MIB:.0f} MiB",
            "copy it into the server's input folder, and give its name there to a parameter of type text",
        )


def _unreadable(fault: Exception, path: Path, value: str) -> _WrongFile:
    # A path with NUL is one that no system has.
    if isinstance(fault, FileNotFoundError | NotADirectoryError) or not isinstance(fault, OSError):
        hint = f"it would be {shown(path)}" + ("; ~ is not expanded" if value.startswith("~") else "")
        return _WrongFile("there is no such file", escape_hint(value) or hint)
    return _WrongFile(f"cannot be read ({reason_of(fault)})", f"check {shown(path)}")


def _picture_size(file: BinaryIO) -> Size:
    """Return the size of a picture as LoadImage sees it, which turns it as its EXIF data say."""
    try:
        with without_warnings(), opened(file) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise _WrongFile(f"is larger than {MOST_PIXELS} pixels: {width}x{height}", "make it smaller")
            image.load()
            with contextlib.suppress(*BROKEN):
                if image.getexif().get(_ORIENTATION) in _ON_THE_SIDE:
                    width, height = height, width
            return Size(width, height)
    except BROKEN as fault:
        hint = "give a PNG, JPEG or WebP; a parameter of type file accepts anything"
        raise _WrongFile(f"is not a complete picture: {str(fault) or type(fault).__name__}", hint) from None
