"""Texts of picture files changed: what goes, what stays, and that pixels stay byte for byte."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from comfy_runner.collect.exif import PARAMETERS
from comfy_runner.collect.picture_texts import TextChanges, with_texts
from comfy_runner.errors import VerificationError
from tests.running.support import encoded

_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_TEXTS = {"prompt": '{"1": {}}', "workflow": '{"nodes": []}', "comfy_runner": '{"job_id": "lake"}', "note": "secret"}
_KINDS = ["PNG", "JPEG", "WEBP"]
_USER_COMMENT = 0x9286


def _image() -> Image.Image:
    return Image.linear_gradient("L").resize((64, 48)).convert("RGB")


def _see_through(image: Image.Image) -> Image.Image:
    picture = image.copy()
    picture.putalpha(40)
    return picture


def _png(**options: Any) -> bytes:
    chunks = PngInfo()
    for name, text in _TEXTS.items():
        chunks.add_text(name, text)
    chunks.add_itxt("XML:com.adobe.xmp", "<secret/>", zip=True)
    chunks.add(b"comf", b"prompt\0secret", after_idat=True)
    return encoded(_image(), pnginfo=chunks, icc_profile=_PROFILE, dpi=(72, 72), **options)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    for tag, name in zip((0x0110, 0x010F, 0x010E, 0x010D), _TEXTS, strict=True):
        exif[tag] = f"{name}:{_TEXTS[name]}"
    exif[0x0132] = "2026:01:01 00:00:00 secret"
    return exif


def _file(kind: str) -> bytes:
    if kind == "PNG":
        return _png()
    more: dict[str, Any] = {"comment": b"secret"} if kind == "JPEG" else {"quality": 70}
    return encoded(_image(), kind, exif=_exif(), icc_profile=_PROFILE, xmp=b"<secret/>", **more)


def _changed(content: bytes, changes: TextChanges, folder: Path) -> bytes:
    path = folder / "picture"
    path.write_bytes(content)
    chunks, left_out = with_texts(path, changes)
    assert left_out == ()
    return b"".join(chunks)


def _opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def _texts(content: bytes) -> dict[str, str]:
    """Return the texts of a file, as its readers find them."""
    image = _opened(content)
    if image.format == "PNG":
        return {name: str(text) for name, text in image.text.items()}  # type: ignore[attr-defined] # of PNG files
    exif = image.getexif()
    found = dict(exif[tag].split(":", 1) for tag in (0x0110, 0x010F, 0x010E, 0x010D, 0x010C) if tag in exif)
    comment = exif.get_ifd(0x8769).get(_USER_COMMENT, b"")
    assert not comment or comment.startswith(b"UNICODE\0")
    return {**found, **({PARAMETERS: comment[8:].decode("utf-16-be")} if comment else {})}


@pytest.mark.parametrize("kind", _KINDS)
def test_without_metadata_nothing_is_left_but_pixels_and_colours(tmp_path: Path, kind: str) -> None:
    before = _file(kind)
    assert b"secret" in before

    after = _changed(before, TextChanges(keeps=False), tmp_path)

    assert not any(word in after for word in (b"secret", b"prompt", b"nodes", b"job_id", b"Exif", b"EXIF", b"XMP", b"xmp"))
    old, new = _opened(before), _opened(after)
    assert (new.tobytes(), new.size, new.info["icc_profile"]) == (old.tobytes(), old.size, _PROFILE)
    assert not dict(new.getexif())
    assert kind != "PNG" or new.info["dpi"] == old.info["dpi"]


@pytest.mark.parametrize("kind", _KINDS)
def test_a_text_is_added_beside_the_others(tmp_path: Path, kind: str) -> None:
    before = _file(kind)

    after = _changed(before, TextChanges(written={PARAMETERS: "a lake, 5 €\nSteps: 2"}), tmp_path)

    there = {name: text for name, text in _texts(after).items() if name != "XML:com.adobe.xmp"}
    assert there == {**_TEXTS, PARAMETERS: "a lake, 5 €\nSteps: 2"}
    assert _opened(after).tobytes() == _opened(before).tobytes()
    assert _changed(after, TextChanges(written={PARAMETERS: "a lake, 5 €\nSteps: 2"}), tmp_path) == after


@pytest.mark.parametrize("kind", _KINDS)
def test_a_text_takes_the_place_of_the_old_one_where_there_is_one(tmp_path: Path, kind: str) -> None:
    changes = TextChanges(replaced={"prompt": "{}", "new": "never"}, removed=("note",))

    after = _changed(_file(kind), changes, tmp_path)

    expected = {"prompt": "{}", "workflow": _TEXTS["workflow"], "comfy_runner": _TEXTS["comfy_runner"]}
    assert {name: text for name, text in _texts(after).items() if name != "XML:com.adobe.xmp"} == expected
    assert after.count(b"prompt") == 1


@pytest.mark.parametrize("kind", _KINDS)
def test_a_file_that_says_nothing_can_be_made_to_speak_and_to_be_silent_again(tmp_path: Path, kind: str) -> None:
    bare = encoded(_image(), kind)

    told = _changed(bare, TextChanges(written={"prompt": "{}", PARAMETERS: "x"}), tmp_path)
    silent = _changed(told, TextChanges(keeps=False), tmp_path)

    assert _texts(told) == {"prompt": "{}", PARAMETERS: "x"}
    assert _opened(told).tobytes() == _opened(silent).tobytes() == _opened(bare).tobytes()
    assert not _texts(silent)
    assert len(silent) <= len(bare) + 18


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_picture_that_is_turned_stays_so(tmp_path: Path, kind: str) -> None:
    exif = _exif()
    exif[0x0112] = 6

    after = _changed(encoded(_image(), kind, exif=exif), TextChanges(keeps=False), tmp_path)

    assert dict(_opened(after).getexif()) == {0x0112: 6}


@pytest.mark.parametrize(
    "made",
    [
        lambda image: encoded(image.convert("RGBA"), "WEBP", lossless=True),
        lambda image: encoded(_see_through(image.resize((7, 5))), "WEBP", lossless=True, exact=True),
        lambda image: encoded(_see_through(image), "WEBP", quality=50),
        lambda image: encoded(image, "JPEG", progressive=True, quality=95),
        lambda image: encoded(image.convert("CMYK"), "JPEG"),
        lambda image: encoded(image.convert("P"), transparency=3),
        lambda image: encoded(image.convert("I;16")),
    ],
    ids=["opaque", "transparent", "lossy", "progressive", "cmyk", "palette", "16 bits"],
)
def test_pictures_of_all_kinds_keep_their_pixels(tmp_path: Path, made: Callable[[Image.Image], bytes]) -> None:
    before = made(_image())
    old = _opened(before)

    for changes in (TextChanges(written={"prompt": "{}"}), TextChanges(keeps=False)):
        new = _opened(_changed(before, changes, tmp_path))
        assert (new.mode, new.size, new.tobytes()) == (old.mode, old.size, old.tobytes())
        assert new.info.get("transparency") == old.info.get("transparency")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_keep_all_their_frames(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 90, 180)]
    before = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=40, exif=_exif())

    for changes in (TextChanges(written={"prompt": "{}"}), TextChanges(keeps=False)):
        after = Image.open(io.BytesIO(_changed(before, changes, tmp_path)))
        assert after.n_frames == 3  # type: ignore[attr-defined] # of animations
        after.seek(2)
        red = after.convert("RGB").getpixel((3, 3))
        assert isinstance(red, tuple)
        assert abs(red[0] - 180) < 4
    assert b"secret" not in _changed(before, TextChanges(keeps=False), tmp_path)


def test_what_stands_behind_the_end_of_a_picture_goes_with_its_metadata(tmp_path: Path) -> None:
    before = _png() + b"secret" * 300_000

    assert _changed(before, TextChanges(), tmp_path) == before
    assert b"secret" not in _changed(before, TextChanges(keeps=False), tmp_path)


def test_a_png_without_an_end_is_an_error(tmp_path: Path) -> None:
    before = _png()

    with pytest.raises(VerificationError, match="it has no end"):
        _changed(before[:-8], TextChanges(keeps=False), tmp_path)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_file_that_ends_in_between_is_an_error_or_what_it_was(tmp_path: Path, kind: str) -> None:
    before = _file(kind)

    for end in range(2, len(before), 97):
        try:
            _changed(before[:end], TextChanges(keeps=False), tmp_path)
        except VerificationError:
            continue


def test_what_has_no_room_in_a_jpeg_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(_image(), "JPEG"))
    about = '{"job_id": "lake", "recipe": "' + "r" * 70_000 + '"}'

    chunks, left_out = with_texts(path, TextChanges(written={"comfy_runner": about, "prompt": "p" * 65_000, PARAMETERS: "x"}))

    content = b"".join(chunks)
    assert left_out == ("recipe",)
    assert _texts(content) == {"comfy_runner": '{"job_id": "lake"}', "prompt": "p" * 65_000, PARAMETERS: "x"}


def test_a_png_has_its_texts_before_its_pixels_with_checksums(tmp_path: Path) -> None:
    after = _changed(encoded(_image()), TextChanges(written={PARAMETERS: "x"}), tmp_path)

    start = after.index(b"tEXt")
    assert start < after.index(b"IDAT")
    assert after[start : start + 20] == b"tEXtparameters\0x" + zlib.crc32(b"tEXtparameters\0x").to_bytes(4)
