"""The text that AUTOMATIC1111's web UI, Forge and their relatives write into pictures, taken apart; what it means is for `a1111`.

::

    a cat on a roof, <lora:detail:0.8>
    Negative prompt: blurry
    Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 42, Size: 512x768, Model: dreamshaper_8

The first lines are the prompt; those from ``Negative prompt:`` on are the negative one, which may be missing; then there is one
line of settings. A value is quoted as JSON where it has commas, colons or ends of lines in it; some extensions write plain JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from comfy_runner.errors import UsageError
from comfy_runner.wording import MIB
from comfy_runner.yaml_loader import got

MOST_CHARACTERS = 2 * MIB
"""Longest text that is read; a prompt of its recipe can have half of it."""

_NEGATIVE = "Negative prompt:"
_MOST_SETTINGS = 2000
_MOST_STARTS = 20
# What looks like JSON and has no end is tried to the end of the text, each time.
_MOST_TRIES = 20
_DEEPEST = 100
_LEAST_PAIRS = 3
# Two of these, or the steps alone, make a line one of settings: people write "Subject: a cat, Style: oil" in prompts.
_USUAL = frozenset(
    (
        *("steps", "sampler", "schedule type", "cfg scale", "seed", "size", "model", "model hash", "version", "clip skip"),
        *("denoising strength", "hires upscale", "hires upscaler"),
    )
)
_KEY = re.compile(r"\s*(\w[\w /+.#()-]{0,80}?)[ \t]*:[ \t]*")
_SEPARATOR = re.compile(r"[,\n]")
_OPENING, _CLOSING = ("{", "["), ("}", "]")
_JSON = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\[\]{}\n]')
# Of an extension for wildcards: what the prompts were made of, each a line of its own, with commas and colons in it.
_TEMPLATES = re.compile(r"\n(Template|Negative Template):")
_PLAIN = re.compile(r"[^,\n]*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_STEPS = re.compile(r"(?<!\S)Steps: \d{1,9}, ")
_FORBIDDEN = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OTHERS = "this is JSON, as written by Fooocus, InvokeAI and NovelAI, not the text of a web UI"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a picture's text says.

    Attributes:
        prompt: The prompt as it was typed, with the web UI's own syntax in it; empty for none.
        negative_prompt: The negative prompt in the same way; empty for none.
        settings: The values of the line of settings by their keys, both as they are written, without quotes; of a key that is
            there twice, the first value. What follows that line, such as the ``Template`` of a wildcard extension, is among them.
    """

    prompt: str
    negative_prompt: str
    settings: Mapping[str, str]

    def get(self, *keys: str) -> str:
        """Return the value of the first of these keys that has one, whatever the letter case; empty for none."""
        folded: dict[str, str] = {}
        for key, value in self.settings.items():
            folded.setdefault(key.casefold(), value.strip())
        return next((value for key in keys if (value := folded.get(key.casefold(), ""))), "")


def parse_parameters(text: str) -> Parameters:
    """Return what a picture's text says.

    Args:
        text: Of any form of the web UIs; any ends of lines, control characters are dropped.

    Raises:
        UsageError: There is no line of settings in it, or it is too long, or it is JSON.
    """
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"must have at most {MOST_CHARACTERS} characters (got {len(text)})", where="parameters")
    lines = [line.strip() for line in _FORBIDDEN.sub("", re.sub("\r\n?|[\x85\u2028\u2029]", "\n", text)).strip().split("\n")]
    number = next((number for number in reversed(range(len(lines))) if _is_settings(lines[number])), None)
    if number is not None:
        while number and lines[number - 1].endswith(",") and _is_settings(lines[number - 1]):
            number -= 1  # one line that something has broken into several
        return Parameters(*_prompts(lines[:number]), _settings(lines[number:]))
    # Some sites show the text in one line.
    whole = "\n".join(lines)
    starts = [found.start() for found in _STEPS.finditer(whole)][-_MOST_STARTS:]
    start = next((start for start in reversed(starts) if _is_settings(whole[start:])), None)
    if start is None:
        if text.lstrip()[:1] in ("{", "["):
            raise UsageError(_OTHERS, where="parameters", hint="write its values into a recipe; docs/recipes.md lists the fields")
        what = "has no line of settings such as `Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x512`"
        raise UsageError(what, where="parameters", hint="paste the whole text, as the web UI shows it under PNG Info")
    prompt, _, negative = whole[:start].partition(_NEGATIVE)
    return Parameters(prompt.strip(), negative.strip(), _settings([whole[start:]]))


def _prompts(lines: list[str]) -> tuple[str, str]:
    first = next((number for number, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    negative = [line.removeprefix(_NEGATIVE).strip() for line in lines[first:]]
    return "\n".join(lines[:first]).strip(), "\n".join(negative).strip()


def _is_settings(line: str) -> bool:
    """Return whether a text begins with settings."""
    found: dict[str, str] = {}
    for key, value in _pairs(line):
        found.setdefault(key.casefold(), value)
        if next(iter(found)) not in _USUAL:
            return False
        if len(found) >= _LEAST_PAIRS and (found.get("steps", "").isdecimal() or len(found.keys() & _USUAL) >= 2):
            return True
    return False


def _settings(lines: list[str]) -> dict[str, str]:
    """Return the settings of a line, and of those behind it, which extensions add."""
    text, *more = _TEMPLATES.split("\n".join(lines))
    found: dict[str, str] = {}
    for key, value in _pairs(text):
        found.setdefault(key, value)
    return found | {key: value.strip() for key, value in zip(more[::2], more[1::2], strict=True)}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield keys and values; what is neither is left out, but nothing is a pair behind a beginning that is none."""
    at = tries = 0
    for _ in range(_MOST_SETTINGS):
        key = _KEY.match(text, at)
        if key is None and (not at or at >= len(text)):
            return
        value, end = _value(text, key.end(), tries < _MOST_TRIES) if key else ("", at)
        if key:
            yield key[1], value
            tries += value[:1] in _OPENING and value[-1:] not in _CLOSING
        behind = _SEPARATOR.search(text, end)
        if behind is None:
            return
        at = behind.end()


def _value(text: str, at: int, is_json_tried: bool) -> tuple[str, int]:
    """Return the value that begins here, without its quotes, and where it ends."""
    if text[at : at + 1] == '"' and (quoted := _QUOTED.match(text, at)):
        return _unquoted(quoted[0]), quoted.end()
    if is_json_tried and text[at : at + 1] in _OPENING and (end := _end_of_json(text, at)):
        return text[at:end], end
    plain = _PLAIN.match(text, at)
    return (plain[0].strip(), plain.end()) if plain else ("", at)


def _unquoted(text: str) -> str:
    try:
        value = json.loads(text, strict=False)
    except ValueError:  # a path of Windows that nobody has escaped
        return text[1:-1]
    return _FORBIDDEN.sub("", value) if isinstance(value, str) else text[1:-1]


def _end_of_json(text: str, at: int) -> int:
    """Return where a JSON object or list ends that begins here; 0 where none does."""
    depth = 0
    for found in _JSON.finditer(text, at):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if found[0] == "\n" or depth > _DEEPEST:
            return 0
        if not depth:
            return found.end()
    return 0


def whole_number(text: str, key: str, *, least: int, most: int) -> int:
    """Return a whole number that a setting says.

    Raises:
        UsageError: It is none, or out of range.
    """
    found = re.fullmatch(r"[+-]?[0-9]{1,30}", text)
    if not found or not least <= int(found[0]) <= most:
        raise UsageError(f"must be a whole number from {least} to {most} (got {got(text)})", where=key)
    return int(found[0])


def decimal(text: str, key: str, *, least: float, most: float) -> float:
    """Return a number that a setting says.

    Raises:
        UsageError: It is none, or out of range.
    """
    found = re.fullmatch(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})", text)
    if not found or not least <= float(found[0]) <= most:
        raise UsageError(f"must be a number from {least:g} to {most:g} (got {got(text)})", where=key)
    return float(found[0])


def sides(text: str, key: str) -> tuple[int, int]:
    """Return the width and the height in pixels that a setting says, such as ``512x768``.

    Raises:
        UsageError: It is no size.
    """
    found = re.fullmatch(r"\(?\s*([0-9]{1,6})\s*[xX\u00d7,]\s*([0-9]{1,6})\s*\)?", text)
    if not found:
        raise UsageError(f"must be a width and a height, such as 512x768 (got {got(text)})", where=key)
    return int(found[1]), int(found[2])
