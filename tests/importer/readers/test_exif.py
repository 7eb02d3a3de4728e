"""EXIF as ComfyUI, A1111 and others write it."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from comfy_runner.importer.readers.embedded import DamagedFile, Embedded
from comfy_runner.importer.readers.exif import read_exif
from tests.importer.readers.support import PARAMETERS, PROMPT, WORKFLOW


def _texts(data: bytes) -> dict[str, str]:
    embedded = Embedded()
    read_exif(data, embedded)
    return embedded.texts


def _entry(tag: int, kind: int, data: bytes, *, order: str = "<") -> bytes:
    """Return EXIF of one entry, which is in the sub-directory where it is a UserComment."""
    mark = b"II" if order == "<" else b"MM"
    is_sub = tag == 0x9286
    first = struct.pack(f"{order}HHHIII", 1, 0x8769, 4, 1, 26, 0) if is_sub else b""
    at = 8 + len(first) + 18
    own = struct.pack(f"{order}HHHIII", 1, tag, kind, len(data), at, 0)
    return b"Exif\0\0" + mark + struct.pack(f"{order}HI", 42, 8) + first + own + data


def test_what_comfyui_writes_is_found_by_the_names_in_it() -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0x010F], exif[0x010E] = f"prompt:{PROMPT}", f"workflow:{WORKFLOW}", 'comfy_runner:{"version": "1"}'

    assert _texts(exif.tobytes()) == {"prompt": PROMPT, "workflow": WORKFLOW, "comfy_runner": '{"version": "1"}'}


def test_other_tags_and_spellings_will_do() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x010E] = f"Workflow: {WORKFLOW}", f"Prompt:{PROMPT}".encode()

    assert _texts(exif.tobytes()) == {"workflow": WORKFLOW, "prompt": PROMPT}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "data",
    [
        b"UNICODE\0" + PARAMETERS.encode("utf-16-be"),
        b"UNICODE\0" + PARAMETERS.encode("utf-16-le"),
        b"UNICODE\0" + PARAMETERS.encode("utf-16"),
        b"ASCII\0\0\0" + PARAMETERS.encode(),
        b"\0" * 8 + PARAMETERS.encode(),
        b"JIS\0\0\0\0\0" + PARAMETERS.encode("iso2022_jp"),
        PARAMETERS.encode() + b"\0",
    ],
)
def test_a_comment_is_read_whatever_its_encoding(data: bytes, order: str) -> None:
    assert _texts(_entry(0x9286, 7, data, order=order)) == {"usercomment": PARAMETERS}


def test_unicode_that_is_ascii_is_read() -> None:
    assert _texts(_entry(0x9286, 7, b"UNICODE\0Steps: 20")) == {"usercomment": "Steps: 20"}


def test_the_comment_of_windows_is_read() -> None:
    assert _texts(_entry(0x9C9C, 1, PARAMETERS.encode("utf-16-le"))) == {"xpcomment": PARAMETERS}


def test_a_text_may_be_latin_1() -> None:
    assert _texts(_entry(0x010E, 2, b"caf\xe9 by the lake\0")) == {"imagedescription": "café by the lake"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "its EXIF has no beginning"),
        (b"Exif\0\0XX*\0\x08\0\0\0", "its EXIF has no beginning"),
        (b"Exif\0\0II*\0", "its EXIF ends in the middle of a directory"),
        (b"Exif\0\0II*\0\x08\0\0\0\1\0", "its EXIF ends in the middle of a directory"),
        (b"Exif\0\0MM\0*\xff\xff\xff\xff", "its EXIF ends in the middle of a directory"),
        (_entry(0x0110, 2, f"prompt:{PROMPT}".encode())[:-1], "its EXIF ends in the middle of a text"),
        (_entry(0x9286, 7, b"UNICODE\0x")[:-1], "its EXIF ends in the middle of a text"),
    ],
)
def test_damage_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedFile, match=reason):
        _texts(data)


def test_what_else_is_cut_off_does_no_harm() -> None:
    assert _texts(_entry(0x927C, 7, b"of a camera")[:-1]) == {}
