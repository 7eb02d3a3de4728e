"""What a server sends as a picture: it is verified or refused, and a small planned picture never costs much memory."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from comfy_runner.collect.verify import Verified, verify_picture
from comfy_runner.errors import ComfyRunnerError, VerificationError
from comfy_runner.graph.sizes import Size
from tests.hostile.tally import survives
from tests.hostile.values import mangled, seeded

_SIZE = Size(64, 48)
_MIB = 1024 * 1024
_KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "SGI", "DDS", "JPEG2000")


def chunk(name: bytes, data: bytes, *, length: int | None = None) -> bytes:
    return struct.pack(">I", len(data) if length is None else length) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, *before: bytes, depth: int = 8, colour: int = 2, interlace: int = 0, data: bytes | None = None
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    pixels = zlib.compress(b"\0" * 1000) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@cache
def zeros(mebibytes: int) -> bytes:
    """Return so much of nothing, compressed to about a thousandth."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(_MIB)) for _ in range(mebibytes)), packer.flush()])


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0" * 6 + b";"


def webp(width: int, height: int) -> bytes:
    body = (
        b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def animated(frames: int) -> bytes:
    control = struct.pack(">IIIIIHHBB", 0, 64, 48, 0, 0, 1, 1, 0, 0)
    frame = chunk(b"fcTL", control) + chunk(b"fdAT", b"\0\0\0\1" + zlib.compress(b"\0" * 1000))
    return png(64, 48, chunk(b"acTL", struct.pack(">II", frames, 0)), *([frame] * min(frames, 20_000)))


@cache
def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "60000 x 60000": lambda: png(60_000, 60_000),
    "60000 x 60000, all there": lambda: png(60_000, 60_000, data=zeros(120)),
    "as large as can be said": lambda: png(2**31 - 1, 2**31 - 1),
    "larger than can be said": lambda: png(2**32 - 1, 2**32 - 1),
    "no width": lambda: png(0, 48),
    "no height": lambda: png(64, 0),
    "one line": lambda: png(2**31 - 1, 1),
    "60000 x 60000, interlaced": lambda: png(60_000, 60_000, interlace=1),
    "60000 x 60000, 16 bits": lambda: png(60_000, 60_000, depth=16, colour=6),
    "more data than pixels": lambda: png(64, 48, data=zeros(120)),
    "a second header": lambda: png(64, 48, chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))),
    "a text bomb": lambda: png(64, 48, chunk(b"zTXt", b"x\0\0" + zeros(120))),
    "many text bombs": lambda: png(64, 48, chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(900_000))) * 300),
    "an international text bomb": lambda: png(64, 48, chunk(b"iTXt", b"x\0\1\0\0\0" + zeros(120))),
    "a colour profile bomb": lambda: png(64, 48, chunk(b"iCCP", b"x\0\0" + zeros(120))),
    "a plain text of 50 MiB": lambda: png(64, 48, chunk(b"tEXt", b"x\0" + bytes(50 * _MIB))),
    "many small chunks": lambda: png(64, 48, chunk(b"tEXt", b"x\0y") * 200_000),
    "many private chunks": lambda: png(64, 48, chunk(b"prVt", b"y") * 200_000),
    "many palettes": lambda: png(64, 48, chunk(b"PLTE", bytes(768)) * 20_000),
    "an endless chunk": lambda: png(64, 48, chunk(b"tEXt", b"x", length=2**31 - 1)),
    "a chunk of negative length": lambda: png(64, 48, chunk(b"tEXt", b"x", length=2**32 - 1)),
    "4 billion frames": lambda: animated(2**32 - 1),
    "20000 frames": lambda: animated(20_000),
    "no pixels": lambda: png(64, 48, data=b""),
    "garbage for pixels": lambda: png(64, 48, data=b"\xff" * 1000),
    "only a signature": lambda: b"\x89PNG\r\n\x1a\n",
    "only the end": lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
    "a large webp": lambda: webp(2**24, 2**24),
    "a large webp of 16383": lambda: webp(16383, 16383),
    "a large gif": lambda: gif(65535, 65535),
    "a large bmp": lambda: b"BM" + struct.pack("<IHHIIiiHHIIIIII", 0, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "a large jpeg": lambda: b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3\1\x11\0\2\x11\1\3\x11\1\xff\xd9",
    "many jpeg markers": lambda: b"\xff\xd8" + b"\xff\xe1\0\x08Exif\0\0" * 100_000,
    "many jpeg colour profiles": lambda: b"\xff\xd8" + (b"\xff\xe2\xff\xffICC_PROFILE\0\1\xff" + bytes(65519)) * 300,
    "html": lambda: b"<html>" + b"x" * 1000,
    "json": lambda: b'{"error": 1}',
    "nothing": lambda: b"",
    "zeros": lambda: bytes(10 * _MIB),
    "a postscript program": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60000 60000\n(/etc/passwd) (r) file\n",
    "an svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="1e9"><image href="file:///etc/passwd"/></svg>',
    "an elf": lambda: b"\x7fELF" + bytes(1000),
    "a zip": lambda: b"PK\3\4" + bytes(1000),
}  # fmt: skip

_CHILD = """
import resource, sys, tempfile, warnings
from pathlib import Path
from tests.hostile.test_pictures import BOMBS, tried
path = Path(sys.argv[1])
Path(path).write_bytes(BOMBS["nothing"]())
tried(path, planned=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for file in sorted(path.parent.glob("*.bomb")):
    tried(file, planned=True)
    tried(file, planned=False)
unit = 1 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


def tried(path: Path, *, planned: bool) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return verify_picture(path, expected=_SIZE if planned else None, may_be_flat=False)
        except VerificationError as error:
            return error


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("expected", [_SIZE, None])
def test_a_bomb_is_no_picture(tmp_path: Path, name: str, expected: Size | None) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(BOMBS[name]())
    found = survives("pictures", lambda: verify_picture(path, expected=expected, may_be_flat=False))
    assert isinstance(found, VerificationError)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell how much memory a process had")
def test_no_bomb_takes_much_memory(tmp_path: Path) -> None:
    for number, make in enumerate(BOMBS.values()):
        (tmp_path / f"{number}.bomb").write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path / "x.png")], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100 * _MIB


@pytest.mark.parametrize("kind", _KINDS)
def test_a_mangled_picture_is_verified_or_refused(tmp_path: Path, kind: str) -> None:
    data = b""
    with contextlib.suppress(OSError, KeyError):  # not every Pillow knows every kind
        data = picture(kind)
    path = tmp_path / "x.png"
    for seed in range(60):
        with seeded((kind, seed)) as dice:
            path.write_bytes(mangled(dice, data) if seed else data)
            found = survives(
                "pictures", lambda: verify_picture(path, expected=_SIZE if dice.random() < 0.5 else None, may_be_flat=True)
            )
            assert isinstance(found, (Verified, ComfyRunnerError))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_picture_is_refused(tmp_path: Path, kind: str) -> None:
    data = picture(kind)
    path = tmp_path / "x.png"
    for length in range(0, len(data) - 20, max(1, len(data) // 80)):
        path.write_bytes(data[:length])
        found = survives("pictures", lambda: verify_picture(path, expected=_SIZE, may_be_flat=True))
        assert isinstance(found, VerificationError)
