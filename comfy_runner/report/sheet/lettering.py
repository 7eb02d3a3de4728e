"""Text in pictures: a font that has the characters, text made legible where none has them, and lines that fit their place.

The font that comes with Pillow has ASCII and little more, no accents. So where a text needs more, fonts that systems usually have
are looked for; what is still missing is written without its accent, or as its number in Python's way. Not here: where text stands.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "arial.ttf", "Arial Unicode.ttf"),
    *("NotoSansCJK-Regular.ttc", "msyh.ttc", "meiryo.ttc", "malgun.ttf", "Hiragino Sans GB.ttc", "wqy-microhei.ttc"),
)
"""Fonts of Linux, Windows and macOS, in the order in which they are tried."""

_LONGEST = 600  # characters of a text that are looked at; no place in a picture is so large
_ELLIPSIS = "…"
_NO_CHARACTER = "\ufdd0"  # no font has it, so every font draws for it what it draws for what it lacks
_PROBE = 20
# Joiners and variation selectors change how their neighbours look, and say nothing of themselves.
_SILENT = frozenset("\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f")
_INSTEAD = {
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "\N{MULTIPLICATION SIGN}": "x",
    "·": "-",
    "…": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
}


class Lettering:
    """One font for a whole picture, in all sizes: of those that there are, the first that lacks the fewest of its characters."""

    def __init__(self, texts: Iterable[str] = (), *, fonts: Sequence[str] = SYSTEM_FONTS) -> None:
        """Choose the font for these texts; names in `fonts` that the system does not have are passed over."""
        wanted = {char for text in texts for char in _shortened(text, _LONGEST) if char.isprintable()} - _SILENT
        best: Callable[[int], FreeTypeFont] = _builtin
        lacks = _lacking(best, wanted)
        for name in fonts if lacks else ():
            if not lacks:
                break
            maker = _system(name)
            other = _lacking(maker, wanted) if maker else lacks
            if maker and len(other) < len(lacks):
                best, lacks = maker, other
        self._make = best
        self._sizes: dict[int, FreeTypeFont] = {}
        self._has: dict[str, bool] = dict.fromkeys(wanted - lacks, True)

    def font(self, size: int) -> FreeTypeFont:
        """Return the font in a size in pixels."""
        if size not in self._sizes:
            self._sizes[size] = self._make(size)
        return self._sizes[size]

    def length(self, text: str, size: int) -> float:
        """Return how wide a text is, in pixels."""
        return self.font(size).getlength(text)

    def legible(self, text: str) -> str:
        """Return a text as it can be drawn: on one line, without control characters, every character one that the font has."""
        return "".join(map(self._legible, " ".join(_shortened(text, _LONGEST).split())))

    def lines(self, text: str, size: int, *, width: float, most: int) -> tuple[str, ...]:
        """Return a text in at most so many lines of at most this width, shortened in the middle where that is too few."""
        return fitted(self.legible(text), width, most, lambda part: self.length(part, size))

    def _legible(self, char: str) -> str:
        if char == " " or self._knows(char):
            return char
        if char in _SILENT:
            return ""
        parts = _INSTEAD.get(char) or "".join(
            part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part)
        )
        if char.isprintable() and parts and parts != char and all(map(self._knows, parts)):
            return parts
        # Lone accents too are told by number: put on nothing they would be taken for something else.
        return char.encode("ascii", "backslashreplace").decode() if ord(char) > 127 else f"\\x{ord(char):02x}"

    def _knows(self, char: str) -> bool:
        if char not in self._has:
            self._has[char] = char.isprintable() and char not in _SILENT and not _lacking(self._make, {char})
        return self._has[char]


def fitted(text: str, width: float, most: int, length: Callable[[str], float]) -> tuple[str, ...]:
    """Return a text in at most `most` lines, none of them longer than `width`; what does not fit goes from its middle.

    Args:
        text: One line of text.
        width: The most that `length` may say of a line; at least one character is put in a line, however wide it is.
        most: The most lines.
        length: Measures a text.
    """
    if most < 1 or not text:
        return ()
    whole = _wrapped(text, width, length, most)
    if len(whole) <= most:
        return whole
    # The longest shortened text that fits.
    low, high = 1, len(text) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_wrapped(_shortened(text, middle), width, length, most)) <= most else (low, middle - 1)
    return _wrapped(_shortened(text, low), width, length, most)[:most]


def _wrapped(text: str, width: float, length: Callable[[str], float], most: int) -> tuple[str, ...]:
    """Return the lines of a text, at most one more than `most`."""
    done: list[str] = []
    line = ""
    for word in text.split():
        together = f"{line} {word}" if line else word
        if length(together) <= width:
            line = together
            continue
        if line:
            done.append(line)
        while len(word) > 1 and length(word) > width:
            cut = _cut(word, width, length)
            done.append(word[:cut])
            word = word[cut:]
            if len(done) > most:
                return tuple(done)
        line = word
    return (*done, line) if line else tuple(done)


def _cut(word: str, width: float, length: Callable[[str], float]) -> int:
    """Return how many characters of a word go on a line, if it can be to the end of a part of a file name."""
    low, high = 1, len(word) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(word[:middle]) <= width else (low, middle - 1)
    parts = [at + 1 for at, char in enumerate(word[:low]) if char in "-_./\\,;:"]
    return parts[-1] if parts and parts[-1] * 2 > low else low


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = most // 2
    tail = most - head - 1
    return text[:head] + _ELLIPSIS + (text[-tail:] if tail > 0 else "")


def _builtin(size: int) -> FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, FreeTypeFont):  # pragma: no cover - Pillow's own wheels all have FreeType
        raise RuntimeError("this Pillow was built without FreeType")
    return font


@lru_cache
def _system(name: str) -> Callable[[int], FreeTypeFont] | None:
    """Return what makes a font of the system in a size; None where the system has no such font, or a broken one."""
    try:
        ImageFont.truetype(name, _PROBE)
    except (OSError, ValueError):
        return None
    return lambda size: ImageFont.truetype(name, size)


def _lacking(maker: Callable[[int], FreeTypeFont], chars: Iterable[str]) -> set[str]:
    """Return the characters that a font has not: it draws for them what it draws for none."""
    font = maker(_PROBE)
    blank = font.getmask(_NO_CHARACTER)
    nothing = (blank.size, bytes(blank))
    lacking = set()
    for char in chars:
        mask = font.getmask(char)
        # An empty picture is a blank, or a character that was left empty in the font; both say nothing.
        if (mask.size, bytes(mask)) == nothing or (not mask.getbbox() and not char.isspace()):
            lacking.add(char)
    return lacking
