"""What is read of picture files of all kinds, and which are refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from comfy_runner.errors import VerificationError
from comfy_runner.report.read_pictures import read_rgb


def _ramp(mode: str = "RGB") -> Image.Image:
    return Image.linear_gradient("L").resize((24, 16)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, mode: str, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    image = _ramp(mode)
    (image if kind == "png" else image.convert("RGB")).save(path)

    found = read_rgb(path)

    assert (found.mode, found.size) == ("RGB", (24, 16))


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path: Path) -> None:
    image = Image.new("I;16", (4, 4), 0x8080)
    image.save(tmp_path / "a.png")

    assert read_rgb(tmp_path / "a.png").getpixel((0, 0)) == (128, 128, 128)


def test_what_is_transparent_lies_over_grey(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")

    assert read_rgb(tmp_path / "a.png").getpixel((0, 0)) == (128, 128, 128)


def test_a_transparent_palette_gives_no_warning(tmp_path: Path) -> None:
    _ramp("P").save(tmp_path / "a.png", transparency=bytes(range(256)))

    assert read_rgb(tmp_path / "a.png").mode == "RGB"


def test_a_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    _ramp("CMYK").save(tmp_path / "a.jpg")

    assert read_rgb(tmp_path / "a.jpg").mode == "RGB"


def test_a_picture_that_ends_early_is_refused(tmp_path: Path) -> None:
    _ramp().resize((200, 200)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()

    for cut in (0, 10, 40, len(data) // 2, len(data) - 30):
        (tmp_path / "b.png").write_bytes(data[:cut])
        with pytest.raises(VerificationError, match="not a whole picture"):
            read_rgb(tmp_path / "b.png")


@pytest.mark.parametrize("data", [b"", b"<html>", b"GIF89a" + bytes(100), b"\x89PNG" + bytes(100), b"\xff\xd8" + bytes(50)])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)

    with pytest.raises(VerificationError, match="not a whole picture"):
        read_rgb(tmp_path / "a.png")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError):
        read_rgb(tmp_path / "a.png")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )

    with pytest.raises(VerificationError, match="larger than 67108864 pixels"):
        read_rgb(tmp_path / "a.png")
