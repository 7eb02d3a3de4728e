"""Whatever a workflow gives, collected from the real ComfyUI: batches, animations, sounds, films, latents, texts, previews."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfy_runner.engine.local import LocalServer
from tests.real.support import FAST, comfy_runner, pixels, sidecar

_PICTURES: dict[str, Any] = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 3, "color": 0x336699}}
_NOISE = {"class_type": "ImageAddNoise", "inputs": {"image": ["pictures", 0], "seed": 7, "strength": 0.5}}
_LATENT = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 48, "batch_size": 1}}
_SOUND = {"class_type": "EmptyAudio", "inputs": {"duration": 0.5, "sample_rate": 48000, "channels": 2}}
_FILM = {"class_type": "CreateVideo", "inputs": {"images": ["noise", 0], "fps": 8.0}}


@pytest.fixture
def url(comfyui_server: LocalServer) -> str:
    return comfyui_server.url


def _output(class_type: str, role: str | None = "result", **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"role": role} if role else {}}


def _run(url: str, folder: Path, graph: dict[str, Any], *more: str, code: int = 0) -> dict[str, Any]:
    """Render a graph as it is, and return its sidecar."""
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "templates" / "graph.json.j2").write_text(json.dumps(graph), encoding="utf-8")
    (folder / "job.yaml").write_text("template: graph\nseed: 1\n", encoding="utf-8")
    comfy_runner("run", "job.yaml", "--server", url, *more, folder=folder, code=code)
    return sidecar(folder / "runs" / "job" / "job")


def _files(found: dict[str, Any], role: str = "result") -> list[str]:
    return [record["path"] for record in found["files"][role]]


def test_a_batch_of_one_role_is_as_many_pictures(url: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("{extends: quickstart, batch_size: 4}", encoding="utf-8")
    comfy_runner("run", "job.yaml", *FAST, "--server", url, folder=tmp_path)
    found = sidecar(tmp_path / "runs/job/job")

    names = [f"job/upscaled{number}.png" for number in ("", "-2", "-3", "-4")]
    assert _files(found, "upscaled") == names
    pictures = [pixels(tmp_path / "runs/job" / name) for name in names]
    assert {picture.shape for picture in pictures} == {(96, 128, 3)}
    assert {(record["width"], record["height"]) for record in found["files"]["original"]} == {(64, 48)}
    assert all(np.abs(pictures[0] - other).mean() > 1 for other in pictures[1:])
    again = comfy_runner("run", "job.yaml", *FAST, "--server", "http://127.0.0.1:9", folder=tmp_path)
    assert "1 done (1 already)" in again.stderr
    comfy_runner("report", "runs/job", folder=tmp_path)
    assert "upscaled-4.png" in (tmp_path / "runs/job/report.html").read_text(encoding="utf-8")
    numbers = json.loads((tmp_path / "runs/job/metrics.json").read_text(encoding="utf-8"))
    assert [(job["values"]["picture"], job["measures"] is not None) for job in numbers["jobs"]] == [(n, True) for n in (1, 2, 3, 4)]


def test_one_lost_picture_of_a_batch_is_made_again_with_its_role(url: str, tmp_path: Path) -> None:
    graph = {"pictures": _PICTURES, "noise": _NOISE, "save": _output("SaveImage", images=["noise", 0], filename_prefix="x")}
    before = _files(_run(url, tmp_path, graph))
    (tmp_path / "runs/job" / before[1]).unlink()

    assert _files(_run(url, tmp_path, graph)) == before == ["job/result.png", "job/result-2.png", "job/result-3.png"]
    assert all((tmp_path / "runs/job" / name).is_file() for name in before)


@pytest.mark.parametrize(
    ("class_type", "suffix", "inputs"),
    [
        ("SaveAnimatedWEBP", ".webp", {"fps": 6.0, "lossless": True, "quality": 80, "method": "fastest"}),
        ("SaveAnimatedPNG", ".png", {"fps": 6.0, "compress_level": 4}),
    ],
)
def test_an_animation_keeps_its_frames_whatever_the_format(
    url: str, tmp_path: Path, class_type: str, suffix: str, inputs: dict[str, Any]
) -> None:
    save = _output(class_type, images=["noise", 0], filename_prefix="x", **inputs)
    graph = {"pictures": _PICTURES, "noise": _NOISE, "save": save}

    found = _run(url, tmp_path, graph, "--set", "output.format=jpeg")

    (record,) = found["files"]["result"]
    assert (record["path"], record["frames"], record["width"]) == (f"job/result{suffix}", 3, 64)
    with Image.open(tmp_path / "runs/job" / record["path"]) as image:
        assert getattr(image, "n_frames", 1) == 3
    again = comfy_runner("run", "job.yaml", "--server", "http://127.0.0.1:9", "--set", "output.format=jpeg", folder=tmp_path)
    assert "1 done (1 already)" in again.stderr


@pytest.mark.parametrize(
    ("class_type", "suffix", "start", "inputs"),
    [
        ("SaveAudio", ".flac", b"fLaC", {}),
        ("SaveAudioMP3", ".mp3", b"ID3", {"quality": "V0"}),
        ("SaveAudioOpus", ".opus", b"OggS", {"quality": "64k"}),
    ],
)
def test_a_sound_is_collected_with_the_servers_kind_of_file(
    url: str, tmp_path: Path, class_type: str, suffix: str, start: bytes, inputs: dict[str, str]
) -> None:
    found = _run(url, tmp_path, {"sound": _SOUND, "save": _output(class_type, audio=["sound", 0], filename_prefix="x", **inputs)})

    assert _files(found) == [f"job/result{suffix}"]
    assert (tmp_path / "runs/job" / _files(found)[0]).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("class_type", "suffix", "source", "inputs"),
    [
        ("SaveVideo", ".mp4", {"video": ["film", 0]}, {"format": "auto", "codec": "auto"}),
        ("SaveWEBM", ".webm", {"images": ["noise", 0]}, {"codec": "vp9", "fps": 8.0, "crf": 32.0}),
    ],
)
def test_a_film_is_collected_with_the_servers_kind_of_file(
    url: str, tmp_path: Path, class_type: str, suffix: str, source: dict[str, Any], inputs: dict[str, Any]
) -> None:
    save = _output(class_type, filename_prefix="x", **source, **inputs)
    graph = {"pictures": _PICTURES, "noise": _NOISE, "film": _FILM, "save": save}

    found = _run(url, tmp_path, graph)

    (record,) = found["files"]["result"]
    assert record["path"] == f"job/result{suffix}"
    assert record["size_bytes"] == (tmp_path / "runs/job" / record["path"]).stat().st_size > 100


def test_a_latent_is_collected_as_a_file(url: str, tmp_path: Path) -> None:
    found = _run(url, tmp_path, {"latent": _LATENT, "save": _output("SaveLatent", samples=["latent", 0], filename_prefix="x")})

    assert _files(found) == ["job/result.latent"]
    data = (tmp_path / "runs/job/job/result.latent").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert json.loads(data[8 : 8 + length])["latent_tensor"]["shape"] == [1, 4, 6, 8]


def test_a_text_is_collected_fresh_and_from_the_cache(url: str, tmp_path: Path) -> None:
    text = "two\nlines and 🌲"
    source = {"class_type": "PrimitiveStringMultiline", "inputs": {"value": text}}
    graph = {"source": source, "show": _output("PreviewAny", source=["source", 0])}

    for out in ("first", "second"):
        _run(url, tmp_path, graph)
        assert (tmp_path / "runs/job/job/result.txt").read_text(encoding="utf-8") == text, out
        (tmp_path / "runs").rename(tmp_path / out)

    assert set(sidecar(tmp_path / "second/job/job")["cached_nodes"]) == {"source", "show"}


def test_a_preview_is_collected_where_it_has_a_role(url: str, tmp_path: Path) -> None:
    graph = {
        "pictures": _PICTURES,
        "noise": _NOISE,
        "asked": _output("PreviewImage", images=["noise", 0]),
        "unasked": _output("PreviewImage", None, images=["pictures", 0]),
    }

    found = _run(url, tmp_path, graph)

    assert list(found["files"]) == ["result"]
    assert _files(found) == ["job/result.png", "job/result-2.png", "job/result-3.png"]
    assert pixels(tmp_path / "runs/job/job/result.png").shape == (48, 64, 3)


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_picture_in_another_format_has_its_graph_where_comfyui_looks_for_it(url: str, tmp_path: Path, kind: str) -> None:
    comfy_runner("run", "quickstart", "--server", url, *FAST, "--set", f"output.format={kind}", folder=tmp_path)

    job = tmp_path / "runs/quickstart/quickstart"
    found = sidecar(job)
    (name,) = _files(found, "upscaled")
    with Image.open(tmp_path / "runs/quickstart" / name) as image:
        assert image.format == kind.upper()
        exif = image.getexif()
    assert json.loads(exif[0x0110].removeprefix("prompt:")).keys() == found["workflow"].keys()
    assert json.loads(exif[0x010F].removeprefix("comfy_runner:"))["job_id"] == "quickstart"
    comfy_runner("sheet", "runs/quickstart", folder=tmp_path)
    assert pixels(tmp_path / "runs/quickstart/sheet.png").std() > 10


def _sends(batch: int) -> dict[str, Any]:
    pictures = {**_PICTURES, "inputs": {**_PICTURES["inputs"], "batch_size": batch}}
    return {"pictures": pictures, "noise": _NOISE, "send": _output("SaveImageWebsocket", images=["noise", 0])}


def test_pictures_that_come_over_the_websocket_alone_are_collected(url: str, tmp_path: Path) -> None:
    save = _output("SaveImage", "saved", images=["noise", 0], filename_prefix="x")

    found = _run(url, tmp_path, {**_sends(3), "save": save})

    assert _files(found) == ["job/result.png", "job/result-2.png", "job/result-3.png"]
    for sent, saved in zip(_files(found), _files(found, "saved"), strict=True):
        assert np.array_equal(pixels(tmp_path / "runs/job" / sent), pixels(tmp_path / "runs/job" / saved))


def test_without_a_websocket_such_a_job_fails_with_the_reason(url: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/graph.json.j2").write_text(json.dumps(_sends(1)), encoding="utf-8")
    (tmp_path / "job.yaml").write_text("template: graph\nseed: 1\nretry: {server_lost: 1}\n", encoding="utf-8")

    done = comfy_runner("run", "job.yaml", "--server", url, "--no-websocket", folder=tmp_path, code=3)

    assert "the websocket delivered nothing, or not everything, for result" in done.stderr
