"""Reading a user's file: what in it says how a picture was made. What kind of file it is, its content tells, not its name."""

from __future__ import annotations

import glob
import re
import stat
from pathlib import Path
from typing import Any

from comfy_runner.errors import Note, UsageError
from comfy_runner.importer.found import Found
from comfy_runner.importer.readers.embedded import MOST_TEXT, Embedded, noting_damage
from comfy_runner.importer.readers.json_values import NoJson, parse_json
from comfy_runner.importer.readers.kinds import START, SUFFIXES, reader_of
from comfy_runner.importer.readers.meaning import Meaning, is_graph, is_parameters, is_ui
from comfy_runner.recipe.load import shipped_recipes
from comfy_runner.recipe.sources import is_recipe
from comfy_runner.text_files import reason_of, shown

_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

_OF_RECIPE = re.compile("^(template|checkpoint|prompt|extends|sweep) *:", re.MULTILINE)
_NO_WORKFLOW = "contains no workflow: neither ComfyUI's (prompt, workflow) nor A1111's (parameters)"
_LOST = (
    "files lose it when they are edited, saved again, or sent through a messenger or a web page; use the one from ComfyUI's output "
    "folder, or export the workflow in ComfyUI: Workflow > Export (API)"
)
_KINDS = "give a workflow as JSON, or a picture, video or sound made by ComfyUI or A1111"
_RECIPE = "if it is a recipe, there is nothing to import: name it .yaml, and comfy-runner run renders it"
_OTHER_PROGRAM = "only workflows of ComfyUI and the parameters of A1111 and Forge can be read"


def read_file(path: Path) -> Found:
    """Return what a file holds of how its picture was made.

    Args:
        path: A workflow as JSON, in any format and wrapping, a picture, film or sound with metadata, or A1111's parameters as text.

    Raises:
        UsageError: It cannot be read, is of no known kind, is damaged, or holds nothing of it: with the reason and the way out.
    """
    where = shown(path)
    embedded, meaning = Embedded(), Meaning(where)
    try:
        _refuse_special(path, where)
        with path.open("rb") as file:
            start = file.read(START)
            reader = reader_of(start)
            file.seek(0)
            if reader is None:
                _read_text(file.read(MOST_TEXT + 1 if _may_be_text(start) else START), meaning)
            else:
                with noting_damage(embedded):
                    reader(file, embedded)
                meaning.read_texts(embedded)
    except (OSError, ValueError) as error:
        raise _unreadable(error, path) from None
    _refuse_nothing(meaning, embedded, where)
    notes = [*meaning.notes]
    if embedded.damage:
        notes.append(Note(f"{embedded.damage}; its metadata could be read", where))
    return Found(path, meaning.graph, meaning.ui, meaning.parameters, meaning.about, embedded.size, tuple(notes))


def is_importable(path: Path) -> bool:
    """Return whether a file is one for `read_file` rather than a recipe or a job's sidecar.

    Pictures, films and sounds are, also where they hold nothing or are not there; JSON and text are where they say how a picture
    was made. Does not raise.

    Args:
        path: What a user gave.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in (".yaml", ".yml"):
        return False
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            start = file.read(START)
            if reader_of(start) is not None:
                return True
            if not _may_be_text(start):
                return False
            file.seek(0)
            text = _text(file.read(MOST_TEXT))
    except (OSError, ValueError):
        return False
    if not text.lstrip().startswith(("{", "[")):
        return is_parameters(text)
    try:
        value = parse_json(text)
    except NoJson:
        return is_parameters(text)
    return not _is_ours(value) and _says_something(value)


def _refuse_special(path: Path, where: str) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UsageError("is a directory, not a file", where=where, hint="name a file in it")
    if not stat.S_ISREG(mode):
        raise UsageError("is not a ordinary file but a pipe or a device", where=where, hint="copy it into a file")


def _unreadable(error: OSError | ValueError, path: Path) -> UsageError:
    where = shown(path)
    if isinstance(error, FileNotFoundError):
        hint = "name one file at a time" if glob.has_magic(str(path)) else ""
        if (name := str(path).replace("_", "-")) in shipped_recipes():
            hint = f"it is a shipped recipe: comfy-runner run {name}"
        return UsageError("no such file", where=where, hint=hint)
    return UsageError(f"cannot be read ({reason_of(error)})", where=where)


def _refuse_nothing(meaning: Meaning, embedded: Embedded, where: str) -> None:
    if not meaning.is_empty:
        return
    if meaning.problems:
        raise UsageError(f"contains no workflow that can be read: {'; '.join(meaning.problems)}", where=where, hint=_LOST)
    if embedded.damage:
        raise UsageError(embedded.damage, where=where, hint="copy or download it again")
    if meaning.program:
        raise UsageError(f"was made by {meaning.program}, whose metadata is not read", where=where, hint=_OTHER_PROGRAM)
    raise UsageError(_NO_WORKFLOW, where=where, hint=_LOST)


def _may_be_text(start: bytes) -> bool:
    return b"\0" not in start or start.startswith((*_BYTE_ORDER_MARKS,))


def _text(data: bytes) -> str:
    """Return a file as text: by its byte order mark, or UTF-8.

    Raises:
        ValueError: It is none.
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    return data.decode(encoding)


def _read_text(data: bytes, meaning: Meaning) -> None:
    """Understand a file that is text, or nothing that is known."""
    if not data.strip():
        raise UsageError("is empty", where=meaning.where, hint=_KINDS)
    if len(data) > MOST_TEXT:
        raise UsageError(
            f"is neither a known type of file nor a text of at most {MOST_TEXT >> 20} MiB", where=meaning.where, hint=_KINDS
        )
    try:
        if not _may_be_text(data[:START]):
            raise ValueError("not text")
        text = _text(data)
    except ValueError:
        raise UsageError("is not a type of file that can contain a workflow", where=meaning.where, hint=_KINDS) from None
    start = text.lstrip()[:START].lower()
    if is_parameters(text) and not start.startswith('{"'):
        meaning.parameters = text.strip()
        return
    if start.startswith(("<!doctype", "<html", "<head", "<!--")):
        hint = "download the picture itself rather than the page that shows it"
        raise UsageError("is a web page, not a picture", where=meaning.where, hint=hint)
    if not start.startswith(("{", "[")):
        seems_recipe = _OF_RECIPE.search(text) is not None
        hint = _RECIPE if seems_recipe else _KINDS
        raise UsageError("is neither JSON nor parameters of A1111", where=meaning.where, hint=hint)
    try:
        value = parse_json(text)
    except NoJson as error:
        raise UsageError(f"is not JSON: {error}", where=meaning.where, hint=_KINDS) from None
    meaning.take(value)
    if meaning.is_empty and not meaning.problems:
        hint = _RECIPE if is_recipe(value) else "in ComfyUI use Workflow > Export (API) and give that file"
        raise UsageError("is JSON, but not a ComfyUI workflow", where=meaning.where, hint=hint)


def _is_ours(value: Any) -> bool:
    """Return whether a JSON document is a job's sidecar or a recipe."""
    return isinstance(value, dict) and not is_graph(value) and not is_ui(value) and isinstance(value.get("recipe"), dict)


def _says_something(value: Any) -> bool:
    meaning = Meaning("")
    meaning.take(value)
    return not meaning.is_empty or bool(meaning.problems)
