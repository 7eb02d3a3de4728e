"""Baselines of anybody's repository: whatever they say, nothing outside is read or written, and there is one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.baseline.folder import read_baseline
from comfy_runner.baseline.update import update_baseline
from comfy_runner.errors import ComfyRunnerError, InputError
from comfy_runner.report.failed_checks import remembered
from tests.baseline.support import compare, messages, painted, repaint, run_of, snapshot
from tests.hostile.test_pictures import BOMBS
from tests.hostile.values import TEXTS, seeded

_PATHS = [
    "../x.webp",
    "/etc/passwd",
    "pictures/../../x.webp",
    "pictures//x",
    "pictures\\..\\x",
    "C:/x.webp",
    "x.webp",
    "pictures/a\0b",
]


def _base(folder: Path) -> Path:
    update_baseline(run_of(folder / "run", {"seed": [1]}), folder / "base")
    return folder / "base"


def _edited(base: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = base / "baseline.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    change(told)
    path.write_text(json.dumps(told), encoding="utf-8")


@pytest.mark.parametrize("path", _PATHS)
def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    base = _base(tmp_path)
    _edited(base, lambda told: told["jobs"]["lake-s1"]["pictures"][0].update(path=path))

    with pytest.raises(InputError, match=r"is damaged \(jobs\.lake-s1\.pictures\.0\.path: "):
        read_baseline(base)


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "/x", "a\\b", "a:b"])
def test_no_job_leads_out(tmp_path: Path, job_id: str) -> None:
    base = _base(tmp_path)
    _edited(base, lambda told: told["jobs"].update({job_id: told["jobs"]["lake-s1"]}))

    with pytest.raises(InputError, match="is not a job id"):
        read_baseline(base)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format": 1}',
        b'{"format": "1", "jobs": {}}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"format": 1e999}',
    ],
)
def test_what_is_no_baseline_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "baseline.json").write_bytes(content)

    with pytest.raises(InputError, match=r"baseline\.json: is damaged"):
        read_baseline(tmp_path)


def test_a_newer_one_is_said_to_be_newer(tmp_path: Path) -> None:
    (tmp_path / "baseline.json").write_text('{"format": 2, "jobs": [], "more": 1}', encoding="utf-8")

    with pytest.raises(InputError, match=r"was written by a newer comfy_runner \(format 2\)"):
        read_baseline(tmp_path)


def test_a_link_to_a_picture_elsewhere_is_not_followed(tmp_path: Path) -> None:
    base, secret = _base(tmp_path), tmp_path / "secret.webp"
    picture = base / "pictures" / "lake-s1" / "upscaled.webp"
    picture.rename(secret)
    picture.symlink_to(secret)
    run = tmp_path / "run"
    repaint(run, "lake-s1", "upscaled", painted(run, "lake-s1"))

    (message,) = messages(compare(run, base))

    assert "is not a plain file" in message
    assert not (run / "comparison_files/lake-s1/upscaled.expected.png").exists()


@pytest.mark.parametrize(
    "name", ["60000 x 60000, all there", "as large as can be said", "a text bomb", "4 billion frames", "no pixels", "nothing"]
)
def test_a_picture_that_would_fill_the_memory_is_a_failure(tmp_path: Path, name: str) -> None:
    base, run = _base(tmp_path), tmp_path / "run"
    (base / "pictures" / "lake-s1" / "upscaled.webp").write_bytes(BOMBS[name]())
    repaint(run, "lake-s1", "upscaled", painted(run, "lake-s1"))

    (message,) = messages(compare(run, base))

    assert message.startswith("cannot be compared: ")


def _told(base: Path, run: Path) -> str:
    """Return what is said of a run beside a baseline, or why the latter cannot be used."""
    try:
        return "; ".join(messages(compare(run, base)))
    except ComfyRunnerError as error:
        return str(error)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_texts_of_any_kind_are_told_on_one_line_or_refused(tmp_path: Path, text: str) -> None:
    base, run = _base(tmp_path), tmp_path / "run"

    def write(told: dict[str, Any]) -> None:
        job = told["jobs"]["lake-s1"]
        job |= {"recipe": {"prompt": {text: [text]}}, "content_hash": text}
        job["pictures"][0]["pixels"] = "0" * 64

    _edited(base, write)

    said = _told(base, run)

    assert "baseline.json" in said
    assert said.isprintable()


def test_any_change_of_bytes_is_read_or_refused(tmp_path: Path) -> None:
    base, run = _base(tmp_path), tmp_path / "run"
    whole = (base / "baseline.json").read_bytes()
    with seeded("baseline") as chance:
        for _ in range(100):
            content = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                content[chance.randrange(len(content))] = chance.randrange(256)
            (base / "baseline.json").write_bytes(content)
            _told(base, run)


def test_an_update_of_a_hostile_baseline_removes_nothing_outside(tmp_path: Path) -> None:
    base = _base(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.webp").write_bytes(b"theirs")
    (base / "pictures" / "link").symlink_to(tmp_path / "elsewhere")
    _edited(
        base,
        lambda told: told["jobs"].update(
            gone={
                **told["jobs"]["lake-s1"],
                "pictures": [{**told["jobs"]["lake-s1"]["pictures"][0], "path": "pictures/link/x.webp"}],
            }
        ),
    )
    before = snapshot(tmp_path / "elsewhere")

    update_baseline(tmp_path / "run", base, prune=True)

    assert snapshot(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "lake-s1/upscaled.png", "javascript:alert(1)"])
def test_the_page_shows_no_picture_from_elsewhere(tmp_path: Path, path: str) -> None:
    (tmp_path / "report_files").mkdir()
    shown = {"role": "x", "number": 1, "message": "", "actual": path, "expected": "", "difference": ""}
    told = {"lake": {"finished": "", "what": [], "differences": [shown]}}
    (tmp_path / "report_files" / "checked.json").write_text(json.dumps(told), encoding="utf-8")

    assert remembered(tmp_path) == {}
