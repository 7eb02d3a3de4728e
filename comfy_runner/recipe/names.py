"""Names that are safe everywhere: job ids, output patterns, output paths.

Functions of text. "Everywhere" means Linux, macOS and Windows, also for people who copy a run folder between them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

PLACEHOLDERS = ("job_id", "name", "role", "seed")
"""What an output pattern may contain, in braces, whatever the recipe; `output_names` knows the rest."""

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
"""What the name of a picture's file ends in, by its format."""

MAX_PATH = 200
"""Longest output path, in bytes of UTF-8."""

MAX_SLUG = 80
"""Longest job id, in characters."""

OUTPUT_FIELDS = ("format", "quality", "lossless", "metadata")
"""What a recipe's ``output`` has beside roles."""

_NAMED = re.compile(r"[a-z][a-z0-9_]*(\.[A-Za-z0-9][A-Za-z0-9_-]*)*")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_FOREIGN_DATE = re.compile(r"%date(?::[^%]*)?%|\[date(?:time)?(?:<[^>]*>)*\]")  # ComfyUI's and A1111's
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*[^/])-([2-9]|[1-9][0-9]{1,3})(\.[a-z]+)")
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@lru_cache(maxsize=1024)  # the jobs of a sweep have one name
def slug(name: str) -> str:
    """Return a job id for a recipe's name: a-z, 0-9 and single dashes, at most 80 characters.

    Accents are dropped (``Café`` gives ``cafe``), names that Windows reserves get ``job-`` in front. The result is empty if
    nothing is left.
    """
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    text = re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")[:MAX_SLUG].rstrip("-")
    return f"job-{text}" if _RESERVED.fullmatch(text) else text


@lru_cache(maxsize=1024)
def name_fault(name: str) -> str:
    """Return what is wrong with a recipe's name; empty if nothing is."""
    if not 1 <= len(name) <= 100:
        return "must have 1 to 100 characters"
    if "/" in name or _FORBIDDEN.search(name) or not name.isprintable():
        return r"must not contain any of / \ < > : | ? * or quotes or unprintable characters"
    if "{" in name or "}" in name:
        return "must not contain braces"
    if not slug(name):
        return "must contain a letter from a to z or a digit"
    return ""


def role_fault(role: str) -> str:
    """Return what is wrong with the name of an output's role; empty if nothing is."""
    if role in OUTPUT_FIELDS:
        return f"a role must not be called {role}, because output.{role} says how pictures are written"
    if not _ROLE.fullmatch(role):
        return "a role must be 1 to 64 letters, digits, - or _, and start with a letter or digit"
    return "" if not _RESERVED.fullmatch(role) else "a role must not be a name that Windows reserves"


def placeholders(pattern: str) -> list[str]:
    """Return what stands in braces in an output pattern."""
    return [found[1] for found in _PLACEHOLDER.finditer(pattern)]


def with_placeholders(pattern: str, word: Callable[[str], str]) -> str:
    """Return an output pattern in which a word stands for each placeholder, but for `PLACEHOLDERS`, which stay."""
    return _PLACEHOLDER.sub(lambda found: found[0] if found[1] in PLACEHOLDERS else word(found[1]), pattern)


@lru_cache(maxsize=1000)
def pattern_fault(pattern: str) -> str:
    """Return what is wrong with an output pattern, whatever its placeholders stand for; empty if nothing is."""
    if found := _FOREIGN_DATE.search(pattern):
        return f"{found[0]} is not filled in; {{date}} is the day on which the run began, such as 2026-11-30"
    for name in placeholders(pattern):
        if not _NAMED.fullmatch(name):
            known = ", ".join(f"{{{name}}}" for name in (*PLACEHOLDERS, "index", "date", "prompt", "checkpoint"))
            return f"unknown placeholder {{{name}}}; there are {known}, and fields such as {{upscale.denoise}}"
    plain = _PLACEHOLDER.sub("x", pattern)
    if "{" in plain or "}" in plain:
        return "has an unmatched brace"
    return path_fault(plain)


def path_fault(path: str) -> str:
    """Return what is wrong with an output path; empty if it is a relative and portable path of a picture file."""
    if not path.endswith(tuple(SUFFIXES.values())):
        return "must end in .png, .jpg or .webp"
    if "\\" in path:
        return "must use / between folders"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "must be relative to the run folder"
    return relative_fault(path)


def relative_fault(path: str) -> str:
    """Return what is wrong with a path below a folder; empty if it stays in there and can be written on every system."""
    if _FORBIDDEN.search(path) or not path.isprintable():
        return 'must not contain any of < > : " | ? * or unprintable characters'
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        return f"must be at most {MAX_PATH} bytes long"
    for part in path.split("/"):
        fault = _part_fault(part)
        if fault:
            return fault
    return ""


def _part_fault(part: str) -> str:
    if part in ("", ".", ".."):
        return "must not contain empty parts, . or .."
    if part in SUFFIXES.values():
        return f"must have a name before {part}"
    if part[-1] in ". " or part[0] == " ":
        return "must not contain parts that start with a space or end with a dot or space"
    if _RESERVED.fullmatch(part):
        return f"must not contain names that Windows reserves (got {part})"
    return ""


def resolve(pattern: str, *, job_id: str, name: str, role: str, seed: int) -> str:
    """Return an output path: the pattern with its placeholders replaced."""
    values = {"job_id": job_id, "name": name, "role": role, "seed": str(seed)}
    return _PLACEHOLDER.sub(lambda found: values[found[1]], pattern)


def first_of_batch(path: str) -> tuple[str, int]:
    """Return the path of the first file of a batch, and the number of this one among them, as far as its name tells that.

    The second file of ``x.png`` is ``x-2.png``; of a path that no second file can have, the number is 1.
    """
    found = _NUMBERED.fullmatch(path)
    return (f"{found[1]}{found[3]}", int(found[2])) if found else (path, 1)


def collision(paths: Mapping[str, str], counts: Mapping[str, int] = MappingProxyType({})) -> tuple[str, str] | None:
    """Return the first two keys whose paths cannot both exist on every file system; None if all can.

    Two paths collide if they are equal but for case or Unicode form, or if one is a folder of the other, or a further file of it.

    Args:
        paths: The paths, of first files.
        counts: How many files there are, by key; those that are not told have one.
    """
    seen: dict[str, str] = {}
    for key, path in paths.items():
        folded = unicodedata.normalize("NFC", path).casefold()
        for other, first in seen.items():
            if folded == other or folded.startswith(f"{other}/") or other.startswith(f"{folded}/"):
                return first, key
            for one, further, owner in ((other, folded, first), (folded, other, key)):
                start, number = first_of_batch(further)
                if start == one and 1 < number <= counts.get(owner, 1):
                    return first, key
        seen[folded] = key
    return None
