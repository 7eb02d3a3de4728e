"""The lines of A1111's script "Prompts from file or textbox": ``--prompt "a cat" --steps 7 --cfg_scale 5``, a job each.

Its options are those of ``scripts/prompts_from_file.py`` of AUTOMATIC1111's web UI. Those that a recipe has no field for are told.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfy_runner.errors import Note, Problem, RecipeError
from comfy_runner.recipe.fields import is_verbatim
from comfy_runner.recipe.sweep.axes import UNSET
from comfy_runner.recipe.sweep.fields import PlaceOf
from comfy_runner.recipe.sweep.value_files import TABLES, Values, file_of, refuse_many, table_columns, text_lines
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import FieldPath, dotted, got, plain_scalar

FIELDS: Mapping[str, str] = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "sampler_name": "sampler.name",
    "scheduler": "sampler.scheduler",
    "steps": "sampler.steps",
    "cfg_scale": "sampler.cfg",
    "width": "size.width",
    "height": "size.height",
    "sd_model": "checkpoint",
    "batch_size": "batch_size",
}
"""The field of a recipe that an option is."""

_WITHOUT_FIELD = (
    *("n_iter", "do_not_save_grid", "do_not_save_samples", "outpath_grids", "outpath_samples", "prompt_for_display"),
    *(
        "restore_faces",
        "sampler_index",
        "seed_resize_from_h",
        "seed_resize_from_w",
        "styles",
        "subseed",
        "subseed_strength",
        "tiling",
    ),
)
_OPTION = re.compile(rf"(?<!\S)--(?:{'|'.join((*FIELDS, *_WITHOUT_FIELD))})(?!\S)")
_MOST_PROBLEMS = 20


def columns_of_file(spec: Mapping[str, Any], *, place: PlaceOf, folder: Path) -> tuple[Mapping[str, Values], list[Note]]:
    """Return the values of all fields that a file gives, by field: a table, or a text that has lines with A1111's options.

    Args:
        spec: ``{file: …}``, for a table perhaps with ``delimiter: …``.
        place: Returns the place of `spec`, or of a part of it, for messages.
        folder: What the path is relative to.

    Returns:
        The values, and a note for each option that no field stands for.

    Raises:
        RecipeError: It names no file, or the file cannot be read or is no such file.
    """
    path, where = file_of(spec, place, folder), place(("file",))
    is_table = len(spec) > 1 or path.suffix.lower() in TABLES
    if is_table or not any(_OPTION.search(line) for _, line in text_lines(path, where=where)[1]):
        return table_columns(spec, place=place, folder=folder), []
    return prompt_lines(path, where=where)


def prompt_lines(path: Path, *, where: str) -> tuple[dict[str, Values], list[Note]]:
    """Return the values of all fields that lines give, by field; and a note for each option that no field stands for.

    A line without options is a prompt. Where a line does not give a field, its value is `UNSET`.

    Args:
        path: The file.
        where: Who names it, for messages.

    Raises:
        RecipeError: The file cannot be read, or a line is no such line.
    """
    name, lines = text_lines(path, where=where)
    refuse_many(len(lines), name)
    rows: list[Mapping[str, Any]] = []
    notes: dict[str, Note] = {}
    problems: list[Problem] = []
    for number, line in lines:
        here = f"{name}:{number}"
        try:
            options = _options(line, here)
        except RecipeError as error:
            problems.extend(error.problems)
            if len(problems) >= _MOST_PROBLEMS:
                break
            continue
        for option, value in options.items():
            if option not in FIELDS:
                what = f"--{option} is ignored, because recipes have no such field (got {got(value)})"
                notes.setdefault(option, Note(what, here, "warning"))
        rows.append({FIELDS[option]: value for option, value in options.items() if option in FIELDS})
    if problems:
        raise RecipeError.of(problems)
    numbers = [number for number, _ in lines]

    def column(field: str) -> Values:
        def place(path: FieldPath) -> str:
            at = path[0] if path else None
            return f"{name}:{numbers[at]}: {field}{dotted(path[1:])}" if isinstance(at, int) else f"{name}: {field}"

        return Values([row.get(field, UNSET) for row in rows], place)

    return {field: column(field) for field in FIELDS.values() if any(field in row for row in rows)}, list(notes.values())


def _options(line: str, where: str) -> dict[str, Any]:
    """Return what a line gives, by option; words before the first option are the prompt."""
    if not _OPTION.search(line):
        return {"prompt": line.strip()}
    try:
        words = shlex.split(line)
    except ValueError:
        raise RecipeError("has an unmatched quote or backslash", where=where, hint="write the prompt in double quotes") from None
    given: dict[str, list[str]] = {}
    option = "prompt"
    for word in words:
        if word.startswith("--"):
            option = word[2:]
            if option not in FIELDS and option not in _WITHOUT_FIELD:
                hint = did_you_mean(option, FIELDS) if option else "write the prompt in quotes"
                raise RecipeError(f"there is no option {word}", where=where, hint=hint)
            if option in given:
                raise RecipeError(f"gives {word} twice", where=where)
            given[option] = []
        else:
            given.setdefault(option, []).append(word)
    found = {option: _value(option, given[option], where) for option in given}
    if ("width" in found) != ("height" in found):
        raise RecipeError("gives one of --width and --height", where=where, hint="give both")
    return found


def _value(option: str, words: list[str], where: str) -> Any:
    if option in FIELDS and not is_verbatim(option) and not words:
        raise RecipeError(f"--{option} has no value", where=where)
    text = " ".join(words)
    if is_verbatim(option) or option in ("sampler_name", "scheduler", "sd_model") or option not in FIELDS:
        return text
    try:
        value = plain_scalar(text)
    except ValueError as fault:
        raise RecipeError(f"--{option}: {fault}", where=where) from None
    return "random" if option == "seed" and value == -1 else value
