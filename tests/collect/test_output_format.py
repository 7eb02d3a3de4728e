"""``output.format``: pictures written as JPEG or WebP, with what their PNG says of itself, and what a run folder makes of it."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comfy_runner.collect.reencode import Encoding, convert
from comfy_runner.errors import VerificationError
from tests.running.support import files_in, notes_of, posted, rendered, sidecar_in, small, states
from tests.standin import StandIn, Trouble

_MAKE, _MODEL = 0x010F, 0x0110


def _picture(path: Path, image: Image.Image | None = None, **more: Any) -> Path:
    picture = image or Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    chunks = PngInfo()
    for name, text in more.pop("texts", {}).items():
        chunks.add_text(name, text)
    picture.save(path, "PNG", pnginfo=chunks, **more)
    return path


def _converted(source: Path, suffix: str, encoding: Encoding | None = None) -> tuple[Image.Image, tuple[str, ...]]:
    content, left_out = convert(source, suffix, encoding or Encoding())
    image = Image.open(io.BytesIO(content))
    image.load()
    return image, left_out


@pytest.mark.parametrize(("kind", "suffix", "name"), [("jpeg", ".jpg", "JPEG"), ("webp", ".webp", "WEBP")])
def test_pictures_are_written_in_the_format_of_the_recipe(
    server: StandIn, tmp_path: Path, kind: str, suffix: str, name: str
) -> None:
    (result,) = rendered(server, tmp_path, small(output={"format": kind, "quality": 80}))

    assert result.state == "done"
    assert files_in(tmp_path) == ["lake/job.json", f"lake/original{suffix}", f"lake/upscaled{suffix}"]
    with Image.open(tmp_path / f"lake/upscaled{suffix}") as image:
        assert (image.format, image.size) == (name, (128, 128))
        exif = image.getexif()
    kept = dict(text.split(":", 1) for text in (exif[_MODEL], exif[_MAKE]))
    assert json.loads(kept["prompt"]) == posted(server)[0]
    assert json.loads(kept["comfy_runner"])["job_id"] == "lake"


def test_the_record_is_of_the_file_that_is_there(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(output={"format": "webp"}))

    (record,) = sidecar_in(tmp_path)["files"]["upscaled"]
    data = (tmp_path / record["path"]).read_bytes()
    assert (record["sha256"], record["size_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (record["width"], record["height"]) == (128, 128)
    assert record["server_name"].endswith(".png")


def test_a_lossless_webp_has_the_very_same_pixels(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "png")
    rendered(server, tmp_path / "webp", small(output={"format": "webp", "lossless": True}))

    with Image.open(tmp_path / "png/lake/upscaled.png") as first, Image.open(tmp_path / "webp/lake/upscaled.webp") as second:
        assert first.convert("RGB").tobytes() == second.convert("RGB").tobytes()


def test_without_a_format_the_bytes_are_the_servers_own(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)

    record = sidecar_in(tmp_path)["files"]["upscaled"][0]
    assert (tmp_path / record["path"]).read_bytes() == (server.state.files / "output" / record["server_name"]).read_bytes()


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_finished_run_is_finished_in_its_format(server: StandIn, tmp_path: Path, kind: str) -> None:
    recipe = small(output={"format": kind})
    rendered(server, tmp_path, recipe)
    before = len(posted(server))

    assert states(rendered(server, tmp_path, recipe)) == {"lake": "done"}
    assert len(posted(server)) == before


def test_a_picture_of_one_colour_is_found_before_it_is_reencoded(server: StandIn, tmp_path: Path) -> None:
    server.state.troubles.append(Trouble("flat", class_type="VAEDecode", until_free=False))

    (result,) = rendered(server, tmp_path, small(output={"format": "jpeg"}, retry={"flat_picture": 0}))

    assert result.state == "partial"


def test_jobs_of_several_formats_do_not_share_pictures(server: StandIn, tmp_path: Path) -> None:
    recipes = [small(name="first"), small(name="second", output={"format": "jpeg"})]

    assert set(states(rendered(server, tmp_path, *recipes)).values()) == {"done"}
    assert "second/upscaled.jpg" in files_in(tmp_path)


def test_jobs_of_one_format_share_pictures(server: StandIn, tmp_path: Path) -> None:
    recipes = [small(name=name, output={"format": "jpeg"}) for name in ("first", "second")]

    rendered(server, tmp_path, *recipes)

    assert len(posted(server)) == 1
    assert sidecar_in(tmp_path, "second")["shares"] == "first"
    with Image.open(tmp_path / "first/upscaled.jpg") as first, Image.open(tmp_path / "second/upscaled.jpg") as second:
        assert first.tobytes() == second.tobytes()


# Metadata


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_the_workflow_stands_where_comfyui_looks_for_it(tmp_path: Path, suffix: str) -> None:
    texts = {"prompt": '{"1": {}}', "comfy_runner": '{"job_id": "x"}', "workflow": '{"nodes": []}', "note": "5 €"}

    image, left_out = _converted(_picture(tmp_path / "x.png", texts=texts), suffix)

    exif = image.getexif()
    assert left_out == ()
    assert (exif[_MAKE], exif[_MODEL]) == ('workflow:{"nodes": []}', 'prompt:{"1": {}}')
    assert exif[_MAKE - 1] == 'comfy_runner:{"job_id": "x"}'
    assert exif[_MAKE - 2].encode("latin-1").decode() == "note:5 €"


def test_what_has_no_room_in_a_jpeg_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    texts = {"prompt": "p" * 40_000, "workflow": "w" * 40_000, "comfy_runner": "{}"}

    image, left_out = _converted(_picture(tmp_path / "x.png", texts=texts), ".jpg")

    assert left_out == ("workflow",)
    assert image.getexif()[_MODEL] == "prompt:" + "p" * 40_000
    assert _converted(tmp_path / "x.png", ".webp")[1] == ()


def test_as_much_as_a_jpeg_can_hold_is_held(tmp_path: Path) -> None:
    for size in range(65_400, 65_560):
        image, left_out = _converted(_picture(tmp_path / "x.png", texts={"prompt": "p" * size}), ".jpg")
        assert (_MODEL in image.getexif()) is not bool(left_out)


def test_a_graph_that_has_no_room_is_a_note_in_the_sidecar(server: StandIn, tmp_path: Path) -> None:
    (result,) = rendered(server, tmp_path, small(prompt="x" * 70_000, output={"format": "jpeg"}))

    assert result.state == "done"
    assert "lake/original.jpg has no room for recipe, prompt, which this file contains" in sidecar_in(tmp_path)["notes"]


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_colour_profile_is_kept(tmp_path: Path, suffix: str) -> None:
    image, _ = _converted(_picture(tmp_path / "x.png", icc_profile=b"a profile"), suffix)

    assert image.info["icc_profile"] == b"a profile"


# Pixels


def test_what_is_transparent_is_white_in_a_jpeg_and_stays_so_in_a_webp(tmp_path: Path) -> None:
    source = _picture(tmp_path / "x.png", Image.new("RGBA", (32, 32), (200, 0, 0, 0)))

    assert _converted(source, ".jpg")[0].getpixel((3, 3)) == (255, 255, 255)
    assert _converted(source, ".webp", Encoding(lossless=True))[0].getpixel((3, 3)) == (200, 0, 0, 0)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_picture_of_any_mode_keeps_its_brightness(tmp_path: Path, mode: str, suffix: str) -> None:
    grey = Image.linear_gradient("L").resize((64, 64))
    image = (
        Image.frombytes("I;16", (64, 64), bytes(b for v in grey.tobytes() for b in (v, v)))
        if mode == "I;16"
        else grey.convert(mode)
    )

    found = _converted(_picture(tmp_path / "x.png", image), suffix)[0].convert("L")

    expected = grey.convert("1").convert("L") if mode == "1" else grey
    assert abs(sum(found.tobytes()) - sum(expected.tobytes())) / 64**2 < 2


def test_a_picture_that_a_format_cannot_hold_is_an_error(tmp_path: Path) -> None:
    source = _picture(tmp_path / "x.png", Image.new("L", (16384, 1)))

    with pytest.raises(VerificationError, match=r"cannot be written as \.webp"):
        _converted(source, ".webp")


# Changing the format


def test_finished_pictures_are_written_in_a_new_format_without_a_server(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    before, old = (tmp_path / "lake/upscaled.png").read_bytes(), sidecar_in(tmp_path)
    asked = len(server.state.asked)

    (result,) = rendered(server, tmp_path, small(output={"format": "webp", "lossless": True}))

    assert (result.state, len(server.state.asked)) == ("done", asked)
    assert result.files["upscaled"] == (tmp_path / "lake/upscaled.webp",)
    (kept,) = (tmp_path / "superseded").rglob("upscaled.png")
    assert kept.read_bytes() == before
    assert not (tmp_path / "lake/upscaled.png").exists()
    with Image.open(kept) as first, Image.open(tmp_path / "lake/upscaled.webp") as second:
        assert first.convert("RGB").tobytes() == second.convert("RGB").tobytes()
    new = sidecar_in(tmp_path)
    assert new["recipe"]["output"] == {"format": "webp", "lossless": True}
    assert {key: new[key] for key in ("prompt_id", "workflow", "seconds")} == {
        key: old[key] for key in ("prompt_id", "workflow", "seconds")
    }


def test_a_picture_that_was_changed_is_not_written_anew_but_made_again(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    _picture(tmp_path / "lake/upscaled.png")
    before = len(posted(server))

    assert states(rendered(server, tmp_path, small(output={"format": "webp"}))) == {"lake": "done"}

    assert len(posted(server)) == before + 1


@pytest.mark.parametrize("output", [{"format": "jpeg"}, {}])
def test_what_has_lost_something_is_made_again_for_another_format(server: StandIn, tmp_path: Path, output: dict[str, Any]) -> None:
    rendered(server, tmp_path, small(output={"format": "webp"}))
    before = (tmp_path / "lake/upscaled.webp").read_bytes()

    notes = notes_of(server, tmp_path, small(output=output))

    kind = output.get("format", "png")
    assert f"is rendered again: output.format is {kind} now" in [note.what for note in notes]
    (kept,) = (tmp_path / "superseded").rglob("upscaled.webp")
    assert kept.read_bytes() == before


def test_a_changed_quality_leaves_what_is_finished_as_it_is(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(output={"format": "webp"}))
    before = (tmp_path / "lake/upscaled.webp").read_bytes()

    rendered(server, tmp_path, small(output={"format": "webp", "quality": 20}))

    assert len(posted(server)) == 1
    assert (tmp_path / "lake/upscaled.webp").read_bytes() == before


def test_something_that_lies_where_a_new_picture_goes_is_put_away(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    (tmp_path / "lake/upscaled.webp").write_bytes(b"mine")

    rendered(server, tmp_path, small(output={"format": "webp"}))

    assert [path.read_bytes() for path in (tmp_path / "superseded").rglob("upscaled.webp")] == [b"mine"]
