"""Pictures that mean harm, taken apart for their texts: they are put together again or refused, and keep their pixels."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from comfy_runner.collect.picture_texts import TextChanges, with_texts
from comfy_runner.collect.verify import Verified, verify_picture
from tests.hostile.tally import survives
from tests.hostile.test_pictures import chunk, png
from tests.hostile.values import mangled, seeded
from tests.running.support import encoded

_CHANGES = [
    TextChanges(keeps=False),
    TextChanges(written={"prompt": "{}"}, replaced={"comfy_runner": "{}"}, removed=("parameters",)),
]


def _changed(path: Path, changes: TextChanges) -> bytes:
    return b"".join(with_texts(path, changes)[0])


def _pixels(content: bytes) -> bytes:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image.tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_mangled_picture_is_changed_or_refused(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0x010F] = "prompt:{}", "comfy_runner:{}"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0x"
    data = encoded(Image.linear_gradient("L").resize((64, 48)).convert("RGB"), kind, exif=exif)
    path, made = tmp_path / "x.png", tmp_path / "made.png"
    for seed in range(80):
        with seeded(("texts", kind, seed)) as dice:
            path.write_bytes(mangled(dice, data) if seed else data)
            for changes in _CHANGES:
                found = survives("picture texts", partial(_changed, path, changes))
                whole = survives("picture texts", lambda: verify_picture(path, expected=None, may_be_flat=True))
                if isinstance(found, bytes) and isinstance(whole, Verified):
                    made.write_bytes(found)
                    verify_picture(made, expected=whole.size, may_be_flat=True)
                    assert _pixels(found) == _pixels(path.read_bytes())


@pytest.mark.parametrize(
    "before",
    [
        chunk(b"tEXt", b"x" * 100, length=2**31 - 1),
        chunk(b"tEXt", b""),
        chunk(b"iTXt", b"prompt"),
        chunk(b"zTXt", b"prompt\0\0no zlib"),
        chunk(b"tEXt", b"prompt\0x") * 2000,
    ],
    ids=["endless", "empty", "cut off", "no zlib", "many"],
)
def test_texts_that_are_none_go_like_all_others(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(8, 8, before))

    silent, told = (survives("picture texts", partial(_changed, path, changes)) for changes in _CHANGES)

    assert isinstance(silent, bytes) is isinstance(told, bytes)
    if isinstance(silent, bytes) and isinstance(told, bytes):
        assert silent == png(8, 8)
        assert told.count(b"prompt") == told.count(b"tEXtprompt\0{}") == 1
