"""Ids of the jobs of a sweep: readable, such as ``forest-sunrise-d055-s42``. Jobs are chosen by patterns on them.

An id is a function of the recipe's name and the point's values: it does not depend on the other values of an axis, nor on the
order of the axes. Only ids of one plan that would be equal nevertheless get a hash of their points, all of them.

Pure functions on values.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import PureWindowsPath
from typing import Any

from comfy_runner.errors import Problem, UsageError
from comfy_runner.recipe.names import MAX_SLUG, slug
from comfy_runner.recipe.sweep.axes import Draw
from comfy_runner.wording import did_you_mean
from comfy_runner.yaml_loader import FieldPath, got

Token = tuple[int, str, str]
"""Rank and field, by which the tokens of an id are ordered, and the text."""

# In the order of an id: field, label. Numbers stand in lists' places. Fields of a template's own come before the seeds.
_LABELS: Mapping[str, str] = {
    "template": "",
    "checkpoint": "",
    "vae": "vae",
    "clip_skip": "clip",
    "loras": "loras",
    "prompt": "",
    "negative_prompt": "neg",
    "size.preset": "",
    "size.aspect": "",
    "size.megapixels": "mp",
    "size.width": "w",
    "size.height": "h",
    "batch_size": "b",
    "sampler.name": "",
    "sampler.scheduler": "",
    "sampler.steps": "st",
    "sampler.cfg": "cfg",
    "upscale.factor": "x",
    "upscale.size.width": "uw",
    "upscale.size.height": "uh",
    "upscale.method": "",
    "upscale.steps_mode": "",
    "upscale.sampler.name": "u",
    "upscale.sampler.scheduler": "u",
    "upscale.sampler.steps": "ust",
    "upscale.sampler.cfg": "ucfg",
    "upscale.denoise": "d",
    "vae_decode": "",
    "": "",
    "upscale.seed": "us",
    "seed": "s",
}
_RANKS = {field: rank for rank, field in enumerate(_LABELS)}
_LORA = re.compile(r"loras\.(\d+)(?:\.(\w+))?")
_LORA_LABELS = {"": "", "name": "", "strength_model": "sm", "strength_clip": "sc"}
_PROMPTS = ("prompt", "negative_prompt")
_WORDS = "vars."  # what is put into prompts

_LONGEST_TEXT = 20
_TEXT_DIGITS = 6
_LONG_DIGITS = 8
_CLASH_DIGITS = 16
# Words that could be the token of something else than a text.
_TAKEN = re.compile(r"none|true|false|m?[0-9]+(p[0-9]+)?")
_SIGNS = str.maketrans({"+": "-plus", "-": "-minus"})
_SEPARATORS = re.compile(r"[-_ ./:\\]+")
_MODEL_SUFFIX = ".safetensors"
# Of files that are uploaded: of their paths, the last part without these tells most.
_INPUT_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif", "exr"),
        *("wav", "mp3", "flac", "ogg", "opus", "m4a", "mp4", "webm", "mov", "mkv", "avi", "latent", "glb", "obj"),
    )
)


def tokens(field: str, value: Any) -> tuple[Token, ...]:
    """Return the parts of an id that one field of a point gives: one, or for a mapping one for each of its values."""
    if isinstance(value, Mapping) and value and not _LORA.fullmatch(field):
        return tuple(token for key, inner in value.items() for token in tokens(f"{field}.{key}", inner))
    rank, label = _labelled(field)
    return ((rank, field, _token(field, label, value)),)


def joined(name: str, parts: Iterable[Token]) -> str:
    """Return the id of a point from the recipe's slug and all its tokens, in any order; it may be too long yet."""
    return "-".join([name, *(text for _, _, text in sorted(parts))])


def same_names(names: Sequence[Any], place: Callable[[FieldPath], str]) -> list[Problem]:
    """Return the error of the first of the names that rows give to their jobs which is another one's too, as files are called.

    Args:
        names: The names; what is no text has been told of.
        place: Returns the place of a name, by its number from 0.
    """
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        other = first.setdefault(slug(name), index) if isinstance(name, str) else index
        if other != index:
            what = f"names two jobs whose files would have the same name (got {got(name)}, first at {place((other,))})"
            return [Problem(what, place((index,)), "use names that differ in letters from a to z or in digits")]
    return []


def told_apart(ids: Sequence[str], name: str, point: Callable[[int], Mapping[str, Any]]) -> list[str]:
    """Return ids of which none is too long and no two are equal: those get a hash of their point.

    Args:
        ids: One for each point.
        name: The recipe's slug.
        point: Returns the values of the point of this number, by field; no two are equal.
    """
    whole = [
        job_id if len(job_id) <= MAX_SLUG else _with_hash(job_id, name, point(i), _LONG_DIGITS) for i, job_id in enumerate(ids)
    ]
    if len(set(whole)) == len(whole):
        return whole
    counts = Counter(whole)
    return [job_id if counts[job_id] == 1 else _with_hash(ids[i], name, point(i), _CLASH_DIGITS) for i, job_id in enumerate(whole)]


def _labelled(field: str) -> tuple[int, str]:
    if field in _LABELS:
        return _RANKS[field], _LABELS[field]
    found = _LORA.fullmatch(field)
    if found:
        return _RANKS["loras"], f"lora{found[1]}{_LORA_LABELS.get(found[2] or '', found[2])}"
    if field.startswith(_WORDS):
        return _RANKS["prompt"], slug(field.removeprefix(_WORDS))
    return _RANKS[""], _short(slug(field.removeprefix("params.")), field)


def _token(field: str, label: str, value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return _beside(label, {True: "true", False: "false", None: "none"}[value])
    if isinstance(value, Draw):
        return _beside(label, str(value).translate(_SIGNS))
    if isinstance(value, int | float):
        number = _hundredths(value) if field == "upscale.denoise" else _number(value, exact=field.startswith("params."))
        if len(number) > _LONGEST_TEXT:
            return _beside(label, _short(number[:_LONGEST_TEXT], number, lossy=True))
        return _beside(label, number) if label[-1:].isdigit() else label + number
    if isinstance(value, str):
        return _beside("" if field.startswith(_WORDS) else label, _text(field, value))
    written = json.dumps(value, sort_keys=True)
    return _beside(label, _short(slug(" ".join(_texts(value))), written, lossy=True))


def _beside(label: str, text: str) -> str:
    return f"{label}-{text}" if label else text


def _number(value: float, *, exact: bool) -> str:
    """Return a number without dot and sign: 5.5 is ``5p5``, -1 is ``m1``; 5.0 is ``5`` unless it has to differ from 5."""
    text = format(Decimal(repr(value)), "f")
    if "." in text and not exact:
        text = text.rstrip("0").removesuffix(".")
    elif "." not in text and exact and isinstance(value, float):
        text += ".0"
    return text.replace("-", "m").replace(".", "p")


def _hundredths(value: float) -> str:
    """Return a denoise without dot, with at least two decimals: 0.55 is ``055``, 1 is ``100``."""
    whole, _, decimals = format(Decimal(repr(value)), "f").partition(".")
    return (whole + decimals.rstrip("0").ljust(2, "0")).replace("-", "m")


def _text(field: str, value: str) -> str:
    """Return the slug of a text; with a hash where other texts could have the same one, but for that of an input file's path."""
    path = PureWindowsPath(value)
    if field.startswith("params.") and path.suffix.lower() in _INPUT_SUFFIXES:
        return _short(slug(path.stem), value, lossy=not slug(path.stem))
    if field in _PROMPTS or field.startswith(_WORDS):
        text = slug(value)
        return _short(text, value, lossy=text.replace("-", " ") != value or bool(_TAKEN.fullmatch(text)))
    stem = value.removesuffix(_MODEL_SUFFIX)
    text = slug(stem)
    plain = _SEPARATORS.sub("-", stem).strip("-").lower()
    return _short(text, value, lossy="/" in value or text != plain or bool(_TAKEN.fullmatch(text)))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _short(text: str, whole: str, *, lossy: bool = False) -> str:
    if not lossy and text and len(text) <= _LONGEST_TEXT:
        return text
    return "-".join(filter(None, (text[:_LONGEST_TEXT].strip("-"), _hash(whole, _TEXT_DIGITS))))


def _with_hash(text: str, name: str, point: Mapping[str, Any], digits: int) -> str:
    mark = _hash(json.dumps([name, point], sort_keys=True), digits)
    return f"{text[: MAX_SLUG - digits - 1].rstrip('-')}-{mark}"


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def select(job_ids: Sequence[str], only: Sequence[str], skip: Sequence[str]) -> list[str]:
    """Return the ids that are wanted, in their order.

    Args:
        job_ids: All ids.
        only: Patterns with ``*``, ``?`` and ``[...]``, of which one must match; none means all.
        skip: Patterns of which none may match.

    Raises:
        UsageError: A pattern matches no id, or no job is left.
    """
    problems: list[Problem] = []
    wanted = _matching(job_ids, only, "--only", problems) if only else set(job_ids)
    unwanted = _matching(job_ids, skip, "--skip", problems)
    if problems:
        raise UsageError.of(problems)
    left = [job_id for job_id in job_ids if job_id in wanted and job_id not in unwanted]
    if job_ids and not left:
        raise UsageError("leaves no job", where="--skip" if skip else "--only")
    return left


def _matching(job_ids: Sequence[str], patterns: Sequence[str], option: str, problems: list[Problem]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        here = {job_id for job_id in job_ids if fnmatchcase(job_id, pattern)}
        if not here:
            problems.append(Problem(f"matches no job (got {got(pattern)})", option, did_you_mean(pattern, job_ids)))
        found |= here
    return found
