"""What pictures say of themselves as EXIF, for JPEG and WebP files: texts by name, as a PNG has them in its text chunks.

They stand where ComfyUI puts them in WebP files (``SaveAnimatedWEBP`` in its ``comfy_extras/nodes_images.py``): ``prompt:{…}``
in tag 0x0110, ``workflow:{…}`` in 0x010F, further ones in descending tags. A1111's text, ``parameters``, is the user comment, as it
is in A1111's own files. Does not read or write files (`reencode`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from PIL import Image

from comfy_runner.store.about import NAME, without_recipe

PARAMETERS: Final = "parameters"
"""What A1111's text is called in the text chunk of a PNG."""

MOST_IN_JPEG: Final = 65533 - 2
"""Longest EXIF of a JPEG, in bytes: what a segment has room for, without its own length."""

_PROMPT, _OTHERS = 0x0110, (0x010F, 0x010E, 0x010D, 0x010C, 0x010B)  # below them there are tags that take no text
_TAGS = (_PROMPT, *_OTHERS)
_FIRST = ("workflow", NAME)
_NEEDED_MOST = (PARAMETERS, NAME, "prompt")
_EXIF_FOLDER, _USER_COMMENT = 0x8769, 0x9286
_UNICODE = b"UNICODE\0"


def write_texts(exif: Image.Exif, texts: Mapping[str, str], *, most: int | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Put texts into EXIF, and return it as a file has it, with the names of what has no room in it.

    Args:
        exif: What is in it already, which stays but for texts of the same names; it is changed.
        texts: The texts by name, such as ``prompt``.
        most: How many bytes the EXIF may have; None for any number.

    Returns:
        The EXIF, beginning with ``Exif``, empty for none; and what is not in it: names of texts, ``recipe`` where a picture only
        says which job it is of, ``exif`` where there was too much before.
    """
    left_out: list[str] = []

    def fits(tag: int, name: str, text: str) -> bool:
        _put(exif, tag, name, text)
        return most is None or len(exif.tobytes()) <= most

    for tag, name, text in _tags(exif, texts):
        forms = () if tag is None else ((name, text), *_shorter(name, text))
        found = next((left for left, form in forms if tag is not None and fits(tag, name, form)), None)
        if found is None and tag is not None:
            _take(exif, tag)
        if found != name:
            left_out.append(found or name)
    if not len(exif) and PARAMETERS not in {*texts}.difference(left_out):
        return b"", tuple(left_out)
    found_bytes = exif.tobytes()
    return (found_bytes, tuple(left_out)) if most is None or len(found_bytes) <= most else (b"", ("exif", *left_out))


def remove_texts(exif: Image.Exif, names: Iterable[str]) -> None:
    """Take texts out of EXIF by their names; those that are not there are no error."""
    for name in names_in(exif).intersection(names):
        for tag in (_USER_COMMENT,) if name == PARAMETERS else [tag for tag in _TAGS if _name_at(exif, tag) == name]:
            _take(exif, tag)


def names_in(exif: Image.Exif) -> set[str]:
    """Return the names of the texts that EXIF has."""
    # Pillow makes the folder where it is asked for one that is not there.
    has_comment = _EXIF_FOLDER in exif and _USER_COMMENT in exif.get_ifd(_EXIF_FOLDER)
    return {_name_at(exif, tag) for tag in _TAGS if exif.get(tag)} | ({PARAMETERS} if has_comment else set())


def _tags(exif: Image.Exif, texts: Mapping[str, str]) -> Iterator[tuple[int | None, str, str]]:
    """Yield the tag of each text, those first of which the room is most needed; None where there is no tag for it."""
    given = {_name_at(exif, tag): tag for tag in _TAGS if exif.get(tag)}
    tags = {PARAMETERS: _USER_COMMENT, "prompt": _PROMPT, **{name: tag for name, tag in given.items() if name in texts}}
    free = iter([tag for tag in _OTHERS if tag not in given.values()])
    others = [*(name for name in _FIRST if name in texts), *(name for name in texts if name not in _FIRST)]
    tags |= dict(zip([name for name in others if name not in tags], free, strict=False))
    order = {name: number for number, name in enumerate(_NEEDED_MOST)}
    for name in sorted(texts, key=lambda name: order.get(name, len(order))):
        yield tags.get(name), name, texts[name]


def _shorter(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield what a text may be instead where it has no room, with the name of what is left out."""
    if name == NAME:
        with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
            yield "recipe", json.dumps(without_recipe(json.loads(text)))


def _name_at(exif: Image.Exif, tag: int) -> str:
    return str(exif.get(tag, "")).partition(":")[0]


def _put(exif: Image.Exif, tag: int, name: str, text: str) -> None:
    if tag == _USER_COMMENT:
        exif.get_ifd(_EXIF_FOLDER)[tag] = _UNICODE + text.encode("utf-16-be", "replace")
    else:
        # ComfyUI writes ASCII alone, other programs anything; what reads EXIF takes it for UTF-8 if for anything.
        exif[tag] = f"{name}:{text}".encode("utf-8", "replace")


def _take(exif: Image.Exif, tag: int) -> None:
    folder = exif.get_ifd(_EXIF_FOLDER) if tag == _USER_COMMENT else exif
    if tag in folder:
        del folder[tag]
