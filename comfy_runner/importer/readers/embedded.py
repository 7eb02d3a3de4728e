"""The texts that a file has beside its picture, gathered within limits, whatever becomes of the file later on.

A reader gets an open file and an `Embedded` to put into what it finds. Where the file is damaged it raises `DamagedFile`; what was
found until then stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Final

MOST_TEXT: Final = 64 << 20
"""Most bytes of text that are taken from a file, all together."""

MOST_PARTS: Final = 1 << 18
"""Most parts (chunks, boxes, elements) that a file is walked through."""

COMMENTS: Final = ("usercomment", "comment", "description", "imagedescription", "xpcomment")
"""Names of texts that may be anything: first those that say the most."""

OTHERS: Final = {
    "sui_image_params": "SwarmUI",
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "fooocus_scheme": "Fooocus",
    "software": "",
}
"""Names of texts by which other programs are known. What ``software`` is has to be read."""

_WANTED = frozenset({"prompt", "workflow", "parameters", "comfy_runner", *COMMENTS, *OTHERS})


class DamagedFile(ValueError):
    """A file is not what it says it is, or ends too early. The text is the reason, as a message says it."""


@dataclass(slots=True)
class Embedded:
    """What was found in a file so far.

    Attributes:
        texts: By name, in lower case: ``prompt``, ``workflow``, ``parameters``, ``comfy_runner``, the names of comments, and those
            of other programs. Of two texts with one name the later one counts, as in ComfyUI's page.
        size: Width and height of the picture in pixels; None where it is not known.
        damage: What is wrong with the file, as a message says it: ``is damaged: …``; empty where nothing is.
        room: How many bytes of text may still come.
    """

    texts: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    damage: str = ""
    room: int = MOST_TEXT

    def add(self, name: str, text: bytes | str) -> None:
        """Put in a text, if its name is one that matters.

        Args:
            name: As the file has it.
            text: As bytes it is UTF-8, or Latin-1 where it is not UTF-8.

        Raises:
            DamagedFile: There is more text than any workflow has.
        """
        if not is_wanted(name):
            return
        self.room -= len(text)
        if self.room < 0:
            raise DamagedFile(f"it has more than {MOST_TEXT >> 20} MiB of text")
        found = decoded(text) if isinstance(text, bytes) else text
        if found := found.strip("\0 \t\r\n\ufeff"):
            self.texts[_key(name)] = found

    def measure(self, width: int, height: int) -> None:
        """Put in the size of the picture, in pixels; the first one that makes sense counts."""
        if self.size is None and width > 0 and height > 0:
            self.size = width, height


def is_wanted(name: str) -> bool:
    """Return whether a text with such a name can say how a picture was made."""
    return _key(name) in _WANTED


def _key(name: str) -> str:
    return name.strip("\0 ").lower().replace(" ", "")


def decoded(data: bytes) -> str:
    """Return bytes as text: UTF-8, which most programs write whatever the standard says, or else Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def length_of(file: BinaryIO) -> int:
    """Return how many bytes a file has; the place in it stays."""
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end


def taken(file: BinaryIO, count: int, *, what: str, most: int = MOST_TEXT) -> bytes:
    """Return the next bytes of a file.

    Args:
        file: The file.
        count: How many.
        what: What they are, for messages.
        most: How many are acceptable.

    Raises:
        DamagedFile: They are too many, or the file ends before.
    """
    if count > most:
        raise DamagedFile(f"{what} claims to have {count} bytes")
    data = file.read(count)
    if len(data) < count:
        raise DamagedFile(f"it ends in the middle of {what}")
    return data


@contextmanager
def noting_damage(embedded: Embedded) -> Iterator[None]:
    """Note what is wrong with a file rather than to raise it."""
    try:
        yield
    except DamagedFile as error:
        embedded.damage = f"is damaged: {error}"
