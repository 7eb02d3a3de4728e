"""What notebooks show: escaped, self-contained, small, and right for files that cannot be shown."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from comfy_runner import JobResult, JobResults
from comfy_runner.errors import JobFailed
from comfy_runner.notebook_html import escaped, figure, small_picture, table

_HOSTILE = "\"'><script>alert(1)</script>\u202e\ud800"


def _picture(path: Path, width: int = 1500, height: int = 500, mode: str = "RGB") -> Path:
    Image.new(mode, (width, height), 120).save(path)
    return path


def _embedded(text: str) -> list[tuple[int, int]]:
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(data))).size for data in found]


def test_texts_are_escaped_and_cut() -> None:
    assert "<script>" not in escaped(_HOSTILE)
    assert '"' not in escaped(_HOSTILE)
    assert escaped("x" * 400).count("x") == 299
    assert "<b>" not in table(["<b>"], [["<b>", None]])
    escaped(_HOSTILE).encode()


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "RGBA", "P"])
def test_pictures_are_reduced_to_512_pixels_whatever_they_are(tmp_path: Path, mode: str) -> None:
    path = _picture(tmp_path / "x.png", mode=mode)

    assert _embedded(figure(path, "original")) == [(512, 171)]
    small = small_picture(path, long_side=100, format="PNG")
    assert small is not None
    assert Image.open(io.BytesIO(small)).size == (100, 33)


def test_what_cannot_be_shown_is_named(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"no picture")

    for path in (tmp_path / "gone.png", tmp_path / "film.mp4", tmp_path):
        assert small_picture(path) is None
        assert escaped(path) in figure(path, "upscaled")


def test_a_result_is_shown_with_its_pictures_and_what_it_is(tmp_path: Path) -> None:
    files = {"original": (_picture(tmp_path / "a.png", 64, 64),), "upscaled": (_picture(tmp_path / "b.png"),)}
    result = JobResult("lake", "done", files, seconds=1.5, values={"upscale.denoise": 0.5}, seed=7, prompt=_HOSTILE)

    text = result._repr_html_()

    assert _embedded(text) == [(64, 64), (512, 171)]
    assert "upscale.denoise" in text
    assert "<script>" not in text


def test_results_are_a_table_of_at_most_24_rows(tmp_path: Path) -> None:
    picture = _picture(tmp_path / "b.png")
    results = JobResults(
        JobResult(f"lake-{number}", "done", {"upscaled": (picture,)}, values={"seed": number}) for number in range(30)
    )

    text = results._repr_html_()

    assert _embedded(text) == [(160, 53)] * 24
    assert "and 6 more" in text
    assert "30 done" in text


def test_records_are_flat_and_all_have_the_same_columns(tmp_path: Path) -> None:
    files = {"upscaled": (tmp_path / "a.png", tmp_path / "b.png")}
    results = JobResults(
        (
            JobResult("a", "done", files, seconds=2.0, server="one", values={"upscale.denoise": 0.5}, seed=1, prompt="a lake"),
            JobResult("b", "failed", {}, JobFailed("is red", where="b"), values={"upscale.factor": 2}),
        )
    )

    first, second = results.to_records()

    assert list(first) == list(second)
    assert first["upscale.denoise"] == 0.5
    assert first["upscale.factor"] is None
    assert (first["job"], first["seed"], first["prompt"], first["error"]) == ("a", 1, "a lake", "")
    assert (first["file.upscaled"], first["file.upscaled.2"]) == (str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert "is red" in second["error"]
    assert JobResults().to_records() == []
