"""``output.metadata``: what collected pictures say of themselves, job by job, and what a run folder makes of a change."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfy_runner.atomic_files import open_beside
from tests.collect.test_websocket_pictures import _recipe as streaming
from tests.running.support import files_in, notes_of, picture, pixels, posted, rendered, sidecar_in, small, states, sweep
from tests.standin import StandIn

_BOTH = ["comfyui", "a1111"]
_KINDS: list[Any] = [None, "none", ["a1111"], _BOTH]
_NAMES = ["comfyui", "none", "a1111", "both"]
_STEPS = "Steps: 2, Sampler: DPM++ 2M SDE, Schedule type: Karras, CFG scale: 5, Seed: 1, Size: 64x64, Model: tiny-random-sd15"
_HIRES = "Denoising strength: 0.55, Hires upscale: 2, Hires steps: 2, Hires upscaler: Latent (nearest-exact)"
_TEXT = f"a lake\n{_STEPS}, {_HIRES}, Version: ComfyUI"


def _with(metadata: Any, **output: Any) -> dict[str, Any]:
    return small(output={**output, **({} if metadata is None else {"metadata": metadata})})


def _told(content: bytes) -> dict[str, str]:
    """Return the texts of a picture by name, as its readers find them."""
    image = Image.open(io.BytesIO(content))
    if image.format == "PNG":
        image.load()
        return {name: str(text) for name, text in image.text.items()}  # type: ignore[attr-defined] # of PNG files
    exif = image.getexif()
    found = dict(exif[tag].split(":", 1) for tag in (0x0110, 0x010F) if tag in exif)
    comment = exif.get_ifd(0x8769).get(0x9286)
    return {**found, **({"parameters": comment.removeprefix(b"UNICODE\0").decode("utf-16-be")} if comment else {})}


def _about(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_told(content)["comfy_runner"])
    return found


def _names(metadata: Any) -> set[str]:
    kinds = ["comfyui"] if metadata is None else metadata
    return ({"prompt", "comfy_runner"} if "comfyui" in kinds else set()) | ({"parameters"} if "a1111" in kinds else set())


# What is written


@pytest.mark.parametrize("metadata", _KINDS, ids=_NAMES)
@pytest.mark.parametrize(("kind", "suffix"), [("png", ".png"), ("jpeg", ".jpg"), ("webp", ".webp")])
def test_pictures_say_what_the_recipe_wants(server: StandIn, tmp_path: Path, metadata: Any, kind: str, suffix: str) -> None:
    (result,) = rendered(server, tmp_path, _with(metadata, format=kind))

    assert result.state == "done"
    for role in ("original", "upscaled"):
        content = (tmp_path / f"lake/{role}{suffix}").read_bytes()
        told = _told(content)
        assert told.keys() == _names(metadata)
        assert ("prompt" in told) is (b"class_type" in content)
        if "prompt" in told:
            assert json.loads(told["prompt"]) == posted(server)[0]
            assert _about(content)["recipe"] == sidecar_in(tmp_path)["recipe"]
        if "parameters" in told:
            hires = f", {_HIRES}" if role == "upscaled" else ""
            assert told["parameters"] == f"a lake\n{_STEPS}{hires}, Version: ComfyUI"
    before = len(server.state.asked)
    assert states(rendered(server, tmp_path, _with(metadata, format=kind))) == {"lake": "done"}
    assert len(server.state.asked) == before


@pytest.mark.parametrize("metadata", _KINDS[1:], ids=_NAMES[1:])
def test_pixels_are_the_servers_own(server: StandIn, tmp_path: Path, metadata: Any) -> None:
    rendered(server, tmp_path, _with(metadata))

    record = sidecar_in(tmp_path)["files"]["upscaled"][0]
    with Image.open(server.state.files / "output" / record["server_name"]) as image:
        assert pixels(tmp_path) == image.convert("RGB").tobytes()
    assert record["size_bytes"] == len(picture(tmp_path))


def test_a_prompt_with_everything_in_it_is_as_it_was_typed(server: StandIn, tmp_path: Path) -> None:
    prompt = 'a "lake", (fog:1.2) \\(ink\\), 5 €\nBREAK 猫'

    rendered(server, tmp_path, _with(_BOTH) | {"prompt": prompt, "negative_prompt": "a, b:\nc"})

    assert _told(picture(tmp_path))["parameters"] == f"{prompt}\nNegative prompt: a, b:\nc\n{_TEXT.partition(chr(10))[2]}"


def test_of_what_is_no_picture_a_note_says_that_it_is_as_it_was(server: StandIn, tmp_path: Path) -> None:
    inputs = {"images": ["picture", 0], "told": "film.mp4", "key": "video", "kind": "output"}
    graph = {
        "picture": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 1}},
        "film": {"class_type": "SaveFilm", "inputs": inputs, "_meta": {"role": "film"}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["picture", 0], "filename_prefix": "x"}},
    }
    (tmp_path / "film.json.j2").write_text(json.dumps(graph), encoding="utf-8")
    recipe = {"name": "lake", "template": str(tmp_path / "film.json.j2"), "seed": 1, "output": {"metadata": "none"}}

    (result,) = rendered(server, tmp_path / "run", recipe)

    assert result.state == "done"
    said = "lake/film.mp4 stays as written by the server: output.metadata is for PNG, JPEG and WebP"
    assert said in sidecar_in(tmp_path / "run")["notes"]
    rendered(server, tmp_path / "run", {**recipe, "output": {}})
    assert len(posted(server)) == 1


def test_pictures_that_nothing_is_sampled_for_have_no_text_of_a1111(server: StandIn, tmp_path: Path) -> None:
    graph = {
        "picture": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 1}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["picture", 0], "filename_prefix": "x"}},
    }
    (tmp_path / "plain.json.j2").write_text(json.dumps(graph), encoding="utf-8")

    rendered(
        server,
        tmp_path / "run",
        {"name": "lake", "template": str(tmp_path / "plain.json.j2"), "seed": 1, "output": {"metadata": "a1111"}},
    )

    (name,) = (name for name in files_in(tmp_path / "run") if name.endswith(".png"))
    assert _told((tmp_path / "run" / name).read_bytes()) == {}


# Whose a picture is


def test_every_picture_of_a_merged_graph_is_about_its_own_job(server: StandIn, tmp_path: Path) -> None:
    server.state.cache = "none"

    rendered(server, tmp_path, sweep({"upscale.denoise": [0.4, 0.6]}))

    assert len(posted(server)) == 1
    for job_id, denoise in (("lake-d040", 0.4), ("lake-d060", 0.6)):
        for role in ("original", "upscaled"):
            content = picture(tmp_path, job_id, role)
            about, found = _about(content), sidecar_in(tmp_path, job_id)
            assert (about["job_id"], about["content_hash"]) == (job_id, found["content_hash"])
            assert (about["recipe"], about["recipe"]["upscale"]["denoise"]) == (found["recipe"], denoise)
            assert json.loads(_told(content)["prompt"]) == found["workflow"]
    assert pixels(tmp_path, "lake-d040", "original") == pixels(tmp_path, "lake-d060", "original")


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_shared_picture_is_about_its_own_job(server: StandIn, tmp_path: Path, kind: str) -> None:
    output = {"metadata": _BOTH, "format": kind, **({"lossless": True} if kind == "webp" else {})}

    rendered(server, tmp_path, sweep({"upscale.denoise": [0.48, 0.5]}, sampler={"steps": 10}, output=output))

    assert len(posted(server)) == 1
    for job_id, denoise in (("lake-d048", "0.48"), ("lake-d050", "0.5")):
        told = _told((tmp_path / f"{job_id}/upscaled.{kind}").read_bytes())
        assert json.loads(told["comfy_runner"])["recipe"]["upscale"]["denoise"] == float(denoise)
        assert json.loads(told["prompt"])["second_pass"]["inputs"]["denoise"] == float(denoise)
        assert f"Denoising strength: {denoise}," in told["parameters"]


def test_a_picture_that_came_over_the_websocket_says_whose_it_is(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "run", streaming(tmp_path))

    content = (tmp_path / "run/lake/sent.png").read_bytes()
    assert _about(content)["job_id"] == "lake"
    assert json.loads(_told(content)["prompt"]) == posted(server)[0]


def test_a_recipe_without_metadata_is_told_to_no_server(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _with("none"))

    (told,) = (asked.body["extra_data"]["extra_pnginfo"] for asked in server.state.requests("POST", "/prompt"))
    assert told["comfy_runner"].keys() == {"version", "job_id", "content_hash"}


# A change of what is wanted


@pytest.mark.parametrize("after", _KINDS, ids=_NAMES)
@pytest.mark.parametrize("before", _KINDS, ids=_NAMES)
def test_finished_pictures_get_other_metadata_without_a_server(server: StandIn, tmp_path: Path, before: Any, after: Any) -> None:
    rendered(server, tmp_path, _with(before))
    old, asked = picture(tmp_path), len(server.state.asked)

    (result,) = rendered(server, tmp_path, _with(after))

    assert (result.state, len(server.state.asked)) == ("done", asked)
    told = _told(picture(tmp_path))
    assert told.keys() == _names(after)
    if "prompt" in told:
        assert json.loads(told["prompt"]) == posted(server)[0]
        assert json.loads(told["comfy_runner"])["content_hash"] == sidecar_in(tmp_path)["content_hash"]
    assert sidecar_in(tmp_path)["recipe"]["output"].get("metadata") == after
    kept = [path.read_bytes() for path in (tmp_path / "superseded").rglob("upscaled.png")]
    assert kept == ([] if before == after else [old])
    with Image.open(io.BytesIO(old)) as image:
        assert pixels(tmp_path) == image.convert("RGB").tobytes()
    assert states(rendered(server, tmp_path, _with(after))) == {"lake": "done"}
    assert len(server.state.asked) == asked


def test_metadata_and_format_change_together(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)

    rendered(server, tmp_path, _with("none", format="webp", lossless=True))
    rendered(server, tmp_path, _with(["a1111"], format="webp", lossless=True))

    assert len(posted(server)) == 1
    assert _told((tmp_path / "lake/upscaled.webp").read_bytes()) == {"parameters": _TEXT}
    assert "lake/upscaled.png" not in files_in(tmp_path)


@pytest.mark.parametrize("left", ["both pictures", "one picture"])
def test_a_change_that_was_killed_before_it_was_recorded_is_made_again(server: StandIn, tmp_path: Path, left: str) -> None:
    run, before = tmp_path / "run", tmp_path / "before"
    rendered(server, run)
    shutil.copytree(run, before)
    rendered(server, run, _with("none"))
    for name in ("lake/job.json", "ledger.sqlite", *(["lake/original.png"] if left == "one picture" else [])):
        shutil.copy2(before / name, run / name)
    file, half = open_beside(run / "lake/upscaled.png")
    file.close()

    assert states(rendered(server, run, _with("none"))) == {"lake": "done"}

    assert len(posted(server)) == 1
    assert not half.exists()
    assert [_told(picture(run, role=role)) for role in ("original", "upscaled")] == [{}, {}]
    assert picture(before) in [path.read_bytes() for path in (run / "superseded").rglob("upscaled.png")]


@pytest.mark.parametrize("output", [{"metadata": "none"}, {"format": "webp", "lossless": True}])
def test_what_an_earlier_run_had_not_to_do_is_written_anew_later(server: StandIn, tmp_path: Path, output: dict[str, Any]) -> None:
    axes = {"upscale.denoise": [0.4, 0.6]}
    rendered(server, tmp_path, sweep(axes))
    rendered(server, tmp_path, sweep(axes, output=output), only=["*d040"])

    assert set(states(rendered(server, tmp_path, sweep(axes, output=output))).values()) == {"done"}

    assert len(posted(server)) == 2


def test_a_picture_that_was_changed_by_hand_is_made_again(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    (tmp_path / "lake/upscaled.png").write_bytes(picture(tmp_path) + b"mine")

    notes = notes_of(server, tmp_path, _with("none"))

    assert "is rendered again: output.metadata is none now" in [note.what for note in notes]
    assert len(posted(server)) == 2
    assert _told(picture(tmp_path)) == {}


def test_a_ledger_that_was_made_anew_costs_no_picture(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, _with("none"))
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()

    rendered(server, tmp_path, _with("none"))
    rendered(server, tmp_path, _with(["a1111"]))

    assert len(posted(server)) == 1
    assert _told(picture(tmp_path)) == {"parameters": _TEXT}


def test_what_is_missing_of_a_partial_job_is_made_with_the_metadata_that_is_wanted_now(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path)
    (tmp_path / "lake/upscaled.png").unlink()

    assert states(rendered(server, tmp_path, _with("none"))) == {"lake": "done"}

    assert [_told(picture(tmp_path, role=role)) for role in ("original", "upscaled")] == [{}, {}]


def test_jobs_of_other_metadata_are_no_copies_of_each_other(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path, small(name="first"), _with("none") | {"name": "second"})

    assert _told(picture(tmp_path, "first")).keys() == _names(None)
    assert _told(picture(tmp_path, "second")) == {}
