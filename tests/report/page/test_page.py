"""The page as a file: what is in it and in what form, without a browser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.report.measures import Measured, Measures
from comfy_runner.report.page import page as page_module
from comfy_runner.report.page.page import for_html, packed, write_page
from comfy_runner.report.run_data import read_material
from comfy_runner.store.local import LocalStore
from tests.report.page.pages import measures, paint
from tests.report.support import make_run

_ASSETS = Path(page_module.__file__).parent / "assets"


def _data(path: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found
    data = json.loads(found[1])
    assert isinstance(data, dict)
    return data


def _details(path: Path) -> list[dict[str, Any]]:
    found = re.search(r'id="details">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found
    return [json.loads(line) for line in gzip.decompress(base64.b64decode(found[1])).splitlines()]


@pytest.mark.parametrize("text", ["</script>", "<!--", "&amp;", "\u2028\u2029", "\ud83d", "\U0001f3de", "\0"])
def test_any_text_is_data_in_a_script_element(text: str) -> None:
    written = for_html({"text": text})

    assert written.isascii()
    assert not set("<>&") & set(written)
    assert json.loads(written) == {"text": text}


def test_numbers_that_json_has_not_become_null() -> None:
    assert for_html([float("nan"), float("inf"), -float("inf"), 1.5]) == "[null,null,null,1.5]"


def test_what_is_packed_is_the_same_bytes_each_time() -> None:
    lines = [{"a": "\ud83d"}, {"b": 1}]

    assert packed(lines) == packed(iter(lines))
    assert [json.loads(line) for line in gzip.decompress(base64.b64decode(packed(lines))).splitlines()] == lines


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("job/upscaled.png", "job/upscaled.png"),
        ("a #b/c?d=1&e.png", "a%20%23b/c%3Fd%3D1%26e.png"),
        ("100%/%41.png", "100%25/%2541.png"),
        ("\u202e/\U0001f3de'\".png", "%E2%80%AE/%F0%9F%8F%9E%27%22.png"),
        ("", ""),
    ],
)
def test_every_part_of_a_path_is_encoded(path: str, expected: str) -> None:
    assert LocalStore(Path()).url(path) == expected


def test_the_policy_allows_the_scripts_and_the_style_of_the_page_and_no_others(sweep: Path) -> None:
    text = sweep.read_text(encoding="utf-8")
    policy = re.search(r'Policy" content="([^"]*)"', text)
    assert policy
    allowed = set(re.findall(r"sha256-([^&']*)", policy[1]))

    parts = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", text, re.DOTALL)

    assert {base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts} == allowed
    assert len(parts) == 4


def test_the_page_names_no_address_but_those_in_comments_of_others(sweep: Path) -> None:
    own = [path for path in _ASSETS.iterdir() if path.is_file()]

    assert [path.name for path in own if re.search(r"https?://|innerHTML|eval\(", path.read_text(encoding="utf-8"))] == []
    assert not re.search(
        r"<(?:link|script|img)[^>]*(?:src|href)=\"(?!data:,)", sweep.read_text(encoding="utf-8").partition("<script>")[0]
    )


def test_every_asset_is_used() -> None:
    styles, scripts = page_module._STYLES + page_module._LIVE_STYLES, page_module._SCRIPTS + page_module._LIVE_SCRIPTS
    of_index = {"index.html.j2", "index.css"}
    named = {*styles, *page_module._VENDOR, "page.html.j2", *(f"{name}.js" for name in scripts), *of_index}
    there = {path.relative_to(_ASSETS).as_posix() for path in _ASSETS.rglob("*") if path.is_file()}

    assert {name for name in there - named if not name.endswith((".LICENSE", "README.md"))} == set()


def test_what_others_wrote_is_listed_with_its_sum_and_licence() -> None:
    vendor = _ASSETS / "vendor"
    readme = (vendor / "README.md").read_text(encoding="utf-8")

    for path in vendor.glob("*.*s"):
        assert f"`{path.name}`" in readme
        assert hashlib.sha256(path.read_bytes()).hexdigest() in readme
        assert (vendor / f"{path.name.split('.')[0]}.LICENSE").read_text(encoding="utf-8").count(
            "Permission is hereby granted"
        ) == 1


def test_no_part_of_the_page_ends_its_script_early() -> None:
    assert [
        path.name for path in _ASSETS.rglob("*.js") if re.search(r"</script|<!--", path.read_text(encoding="utf-8"), re.IGNORECASE)
    ] == []


def test_the_details_of_a_job_come_from_its_sidecar(sweep: Path) -> None:
    first = _details(sweep)[0]

    assert first["prompt"] == "a quiet shore"
    assert first["cached"] == ["checkpoint", "first_pass"]
    assert json.loads(first["workflow"])["second_pass"]["class_type"] == "KSampler"
    assert set(first["signatures"]) == {"lake-seuler-s1-d03/original.png", "lake-seuler-s1-d03/upscaled.png"}


def test_large_seeds_keep_all_their_digits(tmp_path: Path) -> None:
    make_run(tmp_path / "run", {"seed": [2**64 - 1, 5]}, paint)

    path = write_page(read_material(tmp_path / "run"), {}, None)

    assert [line["seed"] for line in _details(path)] == ["18446744073709551615", "5"]
    assert _data(path)["axes"][0]["values"] == ["5", "18446744073709551615"]


def test_a_damaged_or_missing_sidecar_costs_only_its_details(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2, 3]}, paint)
    (run / "lake-s1" / "job.json").write_bytes(b"{")
    (run / "lake-s2" / "job.json").unlink()

    lines = _details(write_page(read_material(run), {}, None))

    assert lines[0]["problem"].endswith("job.json: is damaged")
    assert lines[1]["problem"] == "there is no job.json"
    assert lines[2]["problem"] == ""


def test_metrics_of_the_users_own_are_columns(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)
    own = measures().measures
    assert own
    fields = {name: getattr(own, name) for name in Measures.__slots__} | {"extra": {"sky <blue>": 0.123456}}

    data = _data(write_page(read_material(run), {"lake-s1": Measured(measures=Measures(**fields))}, None))

    assert data["metrics"][-1]["name"] == "sky <blue>"
    assert data["jobs"][0]["numbers"][-1] == 0.1235
    assert data["jobs"][1]["numbers"] is None


def test_an_older_page_is_replaced_as_a_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)
    (run / "report.html").write_text("old")

    path = write_page(read_material(run), {}, None)

    assert path == run / "report.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not list(run.glob(".report*"))


def test_a_folder_that_cannot_be_written_is_told_with_its_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": [1, 2]}, paint)
    material = read_material(run)
    (run / "report_files").write_bytes(b"in the way")

    with pytest.raises(RunFolderError, match="report_files"):
        write_page(material, {}, None)
