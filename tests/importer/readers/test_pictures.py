"""JPEG, WebP, AVIF and GIF: those that Pillow writes, those that we write ourselves, and what is wrong with them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from comfy_runner.collect.reencode import Encoding, convert
from comfy_runner.importer.read import read_file
from comfy_runner.importer.readers.embedded import DamagedFile
from tests.importer.readers.support import GRAPH, PARAMETERS, PROMPT, UI, WORKFLOW, embedded_in

_NEEDS_AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0110], exif[0x010F] = f"prompt:{PROMPT}", f"workflow:{WORKFLOW}"
    return exif


def _saved(kind: str, *, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, "red").save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"icc_profile": bytes(200_000)}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"save_all": True, "append_images": [Image.new("RGB", (64, 48), "blue")]}),
        pytest.param("AVIF", {}, marks=_NEEDS_AVIF),
    ],
)
def test_exif_is_found_in_each_kind(kind: str, options: dict[str, Any]) -> None:
    embedded = embedded_in(_saved(kind, exif=_exif(), **options))

    assert embedded.texts == {"prompt": PROMPT, "workflow": WORKFLOW}
    assert embedded.size == (64, 48)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"mode": "RGBA"}])
@pytest.mark.parametrize("size", [(1, 1), (1000, 3), (4097, 2)])
def test_the_size_of_a_webp_is_that_of_its_picture(size: tuple[int, int], options: dict[str, Any]) -> None:
    assert embedded_in(_saved("WEBP", size=size, **options)).size == size


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_a_comment_is_found(kind: str) -> None:
    embedded = embedded_in(_saved(kind, comment=PARAMETERS.encode()))

    assert (embedded.texts, embedded.size) == ({"comment": PARAMETERS}, (64, 48))


def test_exif_over_several_segments_is_one() -> None:
    data = _saved("JPEG")
    exif = _exif().tobytes().removeprefix(b"Exif\0\0")
    halves = [exif[:100], exif[100:]]
    segments = [b"\xff\xe1" + (len(half) + 8).to_bytes(2, "big") + b"Exif\0\0" + half for half in halves]

    assert embedded_in(data[:2] + b"".join(segments) + data[2:]).texts == {"prompt": PROMPT, "workflow": WORKFLOW}


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_what_we_write_ourselves_is_read(tmp_path: Path, suffix: str) -> None:
    info = PngInfo()
    info.add_text("workflow", WORKFLOW)
    info.add_text("prompt", PROMPT)
    info.add_text("comfy_runner", '{"job_id": "lake"}')
    Image.new("RGB", (64, 48)).save(tmp_path / "x.png", pnginfo=info)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(convert(tmp_path / "x.png", suffix, Encoding())[0])

    found = read_file(path)

    assert (found.graph, found.ui, found.about, found.size) == (GRAPH, UI, {"job_id": "lake"}, (64, 48))
    assert found.notes == ()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a1111_parameters_are_read_from_a_comment(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + PARAMETERS.encode("utf-16-be")
    path = tmp_path / "x"
    path.write_bytes(_saved(kind, exif=exif))

    assert read_file(path).parameters == PARAMETERS


def test_a_graph_with_more_beside_it_is_read_from_a_comment(tmp_path: Path) -> None:
    exif = Image.Exif()
    told = {**GRAPH, "extra": {"airs": []}, "extraMetadata": "{}"}
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + json.dumps(told).encode("utf-16-le")
    path = tmp_path / "x"
    path.write_bytes(_saved("JPEG", exif=exif))

    assert read_file(path).graph == GRAPH


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_saved("JPEG", exif=_exif())[:200], "it ends in the middle of its header"),
        (b"\xff\xd8\xff\xe1\0\2hello", "its header stops being that of a JPEG"),
        (_saved("WEBP")[:-10], "it ends in the middle of a part of"),
        (_saved("GIF")[:9], "it cannot be read"),
        (_saved("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0"), "its EXIF ends in the middle of a directory"),
        pytest.param(_saved("AVIF")[:100] if features.check("avif") else b"", "it cannot be read", marks=_NEEDS_AVIF),
    ],
)
def test_damage_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedFile, match=reason):
        embedded_in(data)
