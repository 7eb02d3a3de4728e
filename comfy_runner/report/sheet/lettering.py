"""Text in pictures: the one font, text made legible where the font lacks a character, and lines that fit their place.

The font is DejaVu Sans, shipped beside this module as a subset: Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic and Georgian
letters, punctuation, arrows, mathematical and geometric signs. So a sheet looks the same on every machine.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

_FONT = Path(__file__).with_name("DejaVuSans.ttf")
_LONGEST = 600  # characters of a text that are looked at; no place in a picture is so large
_ELLIPSIS = "…"
_NO_CHARACTER = "\ufdd0"  # no font has it, so the font draws for it what it draws for all that it lacks
_PROBE = 20
# Joiners and variation selectors change how their neighbours look, and say nothing of themselves.
_SILENT = frozenset("\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f")


@lru_cache
def font(size: int) -> FreeTypeFont:
    """Return the font in a size in pixels."""
    return ImageFont.truetype(_FONT, size)


def length(text: str, size: int) -> float:
    """Return how wide a text is in this size, in pixels."""
    return font(size).getlength(text)


def leading(size: int) -> int:
    """Return the height of a line of text of this size, in pixels."""
    return math.ceil(size * 1.35)


def legible(text: str) -> str:
    """Return a text as it can be drawn: on one line, without control characters, every character one that the font has.

    A character that the font lacks is written as the plain letters that it stands for, or else as its number in Python's way.
    """
    return "".join(map(_legible, " ".join(_shortened(text, _LONGEST).split())))


def lines(text: str, size: int, *, width: float, most: int) -> tuple[str, ...]:
    """Return a text in lines, made legible; what does not fit goes from its middle.

    Args:
        text: The text.
        size: The size of the font, in pixels.
        width: The most that a line may measure, in pixels; at least one character is put in a line, however wide it is.
        most: The most lines.
    """
    text = legible(text)
    if most < 1 or not text:
        return ()
    whole = _wrapped(text, size, width, most)
    if len(whole) <= most:
        return whole
    keep = _most_that_fits(len(text) - 1, lambda kept: len(_wrapped(_shortened(text, kept), size, width, most)) <= most)
    return _wrapped(_shortened(text, keep), size, width, most)[:most]


def _wrapped(text: str, size: int, width: float, most: int) -> tuple[str, ...]:
    """Return the lines of a text, at most one more than `most`."""
    done: list[str] = []
    line = ""
    for word in text.split():
        together = f"{line} {word}" if line else word
        if length(together, size) <= width:
            line = together
            continue
        if line:
            done.append(line)
        while len(word) > 1 and length(word, size) > width:
            cut = _cut(word, size, width)
            done.append(word[:cut])
            word = word[cut:]
            if len(done) > most:
                return tuple(done)
        line = word
    return (*done, line) if line else tuple(done)


def _cut(word: str, size: int, width: float) -> int:
    """Return how many characters of a word go on a line, if it can be to the end of a part of a file name."""
    room = _most_that_fits(len(word) - 1, lambda count: length(word[:count], size) <= width)
    end = max((at + 1 for at, char in enumerate(word[:room]) if char in "-_./\\,;:"), default=0)
    return end if end * 2 > room else room


def _most_that_fits(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number from 1 to `most` that fits, or 1; whatever is smaller than one that fits has to fit, too."""
    return max(1, bisect(range(1, most + 1), False, key=lambda number: not fits(number)))


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = most // 2
    tail = most - head - 1
    return text[:head] + _ELLIPSIS + (text[-tail:] if tail > 0 else "")


def _legible(char: str) -> str:
    if char == " " or _has(char):
        return char
    if char in _SILENT:
        return ""
    plain = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    if char.isprintable() and plain not in ("", char) and all(map(_has, plain)):
        return plain
    return char.encode("ascii", "backslashreplace").decode() if ord(char) > 127 else f"\\x{ord(char):02x}"


@lru_cache(maxsize=4096)
def _has(char: str) -> bool:
    """Return whether the font has a printable character: not the picture of one that it lacks, and not an empty one."""
    if not char.isprintable() or char in _SILENT:
        return False
    mask, missing = font(_PROBE).getmask(char), font(_PROBE).getmask(_NO_CHARACTER)
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing)) and (mask.getbbox() is not None or char.isspace())
