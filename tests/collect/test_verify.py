from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from comfy_runner.collect.verify import Verified, comes_from_a_model, verify_picture
from comfy_runner.errors import FlatPicture, VerificationError
from comfy_runner.graph.sizes import Size
from comfy_runner.graph.workflow import parse_workflow
from tests.example_counts import tried

if sys.platform != "win32":
    import resource

_SIZE = Size(24, 16)


def _gradient(mode: str = "RGB") -> Image.Image:
    return Image.linear_gradient("L").resize((_SIZE.width, _SIZE.height)).convert(mode)


def _saved(image: Image.Image, path: Path, kind: str = "PNG") -> Path:
    image.save(path, kind)
    return path


def _bytes(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png_of_nothing(width: int, height: int) -> bytes:
    """Return a PNG that says it has this size and has next to no data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _most_memory() -> int:
    """Return the most bytes that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_every_kind_of_png_is_decoded(tmp_path: Path, mode: str) -> None:
    path = _saved(_gradient(mode), tmp_path / "x.png")

    assert verify_picture(path, expected=_SIZE, may_be_flat=False) == Verified(_SIZE)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_other_kinds_of_pictures_are_decoded(tmp_path: Path, kind: str) -> None:
    path = _saved(_gradient(), tmp_path / "x.bin", kind)

    assert verify_picture(path, expected=None, may_be_flat=False) == Verified(_SIZE)


def test_another_size_is_an_error_with_both_sizes(tmp_path: Path) -> None:
    path = _saved(_gradient(), tmp_path / "x.png")

    with pytest.raises(VerificationError, match=r"x\.png: does not have the planned size, 48x32 pixels \(got 24x16\)"):
        verify_picture(path, expected=Size(48, 32), may_be_flat=False)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_one_flat_colour_is_an_error(tmp_path: Path, mode: str) -> None:
    path = _saved(Image.new(mode, (24, 16)), tmp_path / "x.png")

    with pytest.raises(VerificationError, match="is one flat colour") as caught:
        verify_picture(path, expected=_SIZE, may_be_flat=False)

    assert "VAE" in caught.value.problems[0].hint


def test_one_flat_colour_is_fine_where_no_model_has_painted(tmp_path: Path) -> None:
    path = _saved(Image.new("RGB", (24, 16), "red"), tmp_path / "x.png")

    assert verify_picture(path, expected=_SIZE, may_be_flat=True) == Verified(_SIZE)


def test_a_picture_that_differs_in_one_pixel_is_not_flat(tmp_path: Path) -> None:
    image = Image.new("RGB", (24, 16))
    image.putpixel((23, 15), (0, 0, 1))

    assert verify_picture(_saved(image, tmp_path / "x.png"), expected=_SIZE, may_be_flat=False) == Verified(_SIZE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"\x89PNG\r\n\x1a\n",
        b"<html>please log in</html>",
        b"GIF89a" + bytes(100),
        b"RIFF\0\0\0\0WEBP",
        b"\xff\xd8",
        bytes(1000),
    ],
)
def test_what_is_no_picture_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)

    with pytest.raises(VerificationError, match="is not a whole picture"):
        verify_picture(path, expected=None, may_be_flat=True)


def test_a_file_that_is_not_there_is_no_broken_picture(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify_picture(tmp_path / "x.png", expected=None, may_be_flat=True)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_cut_off_anywhere_in_its_pixels_is_an_error(tmp_path: Path, kind: str) -> None:
    data = _bytes(Image.effect_noise((64, 64), 50).convert("RGB"), kind)
    path = tmp_path / "x.bin"

    for length in range(0, len(data) - 100, 97):
        path.write_bytes(data[:length])
        with pytest.raises(VerificationError, match="is not a whole picture"):
            verify_picture(path, expected=None, may_be_flat=True)


@settings(max_examples=tried(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_picture_with_any_bytes_changed_is_a_size_or_an_error_of_ours(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(_bytes(_gradient()))
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "x.png"
    path.write_bytes(data)

    with contextlib.suppress(VerificationError):
        assert verify_picture(path, expected=_SIZE, may_be_flat=False) == Verified(_SIZE)


def test_a_header_that_claims_a_huge_picture_is_an_error_and_no_warning(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(_png_of_nothing(60_000, 60_000))

    with warnings.catch_warnings(record=True) as leaked, pytest.raises(VerificationError, match="is larger than"):
        verify_picture(path, expected=None, may_be_flat=False)

    assert leaked == []


@pytest.mark.skipif(sys.platform == "win32", reason="memory cannot be limited there")
@pytest.mark.parametrize("expected", [None, _SIZE])
def test_a_huge_picture_that_was_not_planned_takes_no_memory(tmp_path: Path, expected: Size | None) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(_png_of_nothing(60_000, 60_000))
    before = _most_memory()

    with pytest.raises(VerificationError):
        verify_picture(path, expected=expected, may_be_flat=False)

    assert _most_memory() - before < 100_000_000


def test_a_picture_that_is_larger_than_pillow_likes_is_fine_where_it_was_planned(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    size = Size(14_000, 13_000)
    Image.new("1", (size.width, size.height)).save(path)

    assert size.pixels > 2 * (Image.MAX_IMAGE_PIXELS or 0)
    assert verify_picture(path, expected=size, may_be_flat=True) == Verified(size)


def test_pillow_itself_would_have_warned() -> None:
    """The test above means nothing if Pillow's limits are off."""
    code = "import sys, io; from PIL import Image; Image.open(io.BytesIO(sys.stdin.buffer.read()))"

    done = subprocess.run([sys.executable, "-c", code], input=_png_of_nothing(10_000, 10_000), capture_output=True, check=True)

    assert b"DecompressionBombWarning" in done.stderr


def _saving(class_type: str, inputs: dict[str, object]) -> dict[str, object]:
    return {
        "source": {"class_type": class_type, "inputs": inputs},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["source", 0], "filename_prefix": "x"}},
    }


@pytest.mark.parametrize(("class_type", "expected"), [("VAEDecode", True), ("VAEDecodeTiled", True), ("EmptyImage", False)])
def test_a_picture_comes_from_a_model_if_a_latent_was_decoded_on_its_way(class_type: str, expected: bool) -> None:
    workflow = parse_workflow(_saving(class_type, {}))

    assert comes_from_a_model(workflow, "save") is expected


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_is_flat_only_where_all_of_its_frames_are(tmp_path: Path, suffix: str) -> None:
    black, white = (Image.new("RGB", (_SIZE.width, _SIZE.height), colour) for colour in ("black", "white"))
    busy = Image.linear_gradient("L").resize((_SIZE.width, _SIZE.height)).convert("RGB")
    path = tmp_path / f"x{suffix}"

    black.save(path, save_all=True, append_images=[busy, white])
    assert verify_picture(path, expected=_SIZE, may_be_flat=False) == Verified(_SIZE, frames=3)

    black.save(path, save_all=True, append_images=[white])
    with pytest.raises(FlatPicture):
        verify_picture(path, expected=_SIZE, may_be_flat=False)


def test_an_animation_that_was_cut_short_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.webp"
    frames = [Image.effect_noise((_SIZE.width, _SIZE.height), number) for number in (50, 60, 70)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(VerificationError, match="not a whole picture"):
        verify_picture(path, expected=None, may_be_flat=True)
