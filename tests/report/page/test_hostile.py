"""Names, values and prompts that look like markup, and files whose names mean something in a URL."""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from comfy_runner.report.measures import Measured
from comfy_runner.report.page.page import write_page
from comfy_runner.report.page.single import write_single
from comfy_runner.report.run_data import read_material
from comfy_runner.store.ledger import FILE, Ledger
from comfy_runner.store.ledger_rows import FileRow, JobUpdate, PlanRow
from comfy_runner.store.states import Change
from tests.report.page.conftest import Opener
from tests.report.page.pages import measures, paint, suggest, wait_for_pictures
from tests.report.support import make_run

pytestmark = pytest.mark.hostile

_HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "\"quotes' &lt;b&gt; &amp;",
    "line\u2028and\u2029ends",
    "\u202egnp.exe\u202c \u05d0\u05d1",
    "\U0001f3de\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "half \ud83d an emoji",
    "{{ 7 * 7 }} {% raw %} ${alert(3)}",
    "<!-- <script> ]]>",
]
_PROMPT = "\n".join(_HOSTILE) + "<b>x</b> & " * 900


@pytest.fixture(scope="module", params=["beside its pictures", "alone"])
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "a #1 100%? 'run' & <b>"
    make_run(folder, {"style": [*_HOSTILE[:-1], "plain"]}, paint, recipe={"prompt": _PROMPT, "negative_prompt": _HOSTILE[0]})
    suggestion = suggest(_HOSTILE[:2], _HOSTILE[1], axis="style")
    material = read_material(folder)
    measured = {entry.job_id: measures() for entry in material.entries}
    measured[material.entries[0].job_id] = Measured(measures=None, problem=_HOSTILE[1])
    if request.param == "alone":
        write_single(folder / "alone.html", material, measured, suggestion, notes=[_HOSTILE[0]], most=10**7)
        return folder / "alone.html"
    return write_page(material, measured, suggestion, notes=[_HOSTILE[0]])


@pytest.fixture
def page(open_page: Opener, hostile: Path) -> Page:
    return open_page(hostile)


def test_hostile_values_are_shown_literally_and_nothing_runs(page: Page) -> None:
    wait_for_pictures(page, ".card img")

    found = page.locator(".card bdi").all_text_contents()

    wanted = [f"style {value}" for value in _HOSTILE[:-1]]
    assert [text.replace("\ufffd", "\ud83d") for text in found[: len(wanted)]] == wanted
    assert page.locator("#grid img[src=x], #grid b, #grid script").count() == 0
    expect(page.locator("#notes li")).to_have_text(_HOSTILE[0])


def test_a_long_hostile_prompt_is_shown_literally(page: Page) -> None:
    page.locator(".card").first.click()

    prompt = page.locator(".prompt").first
    prompt.wait_for()

    text = prompt.text_content() or ""
    assert text.replace("\ufffd", "\ud83d") == _PROMPT
    assert page.locator(".panel b, .panel script, .panel img").count() == 0
    expect(page.locator(".panel")).to_contain_text("Not measured: </script><img src=x onerror=alert(2)>")


def test_hostile_prompts_are_searched_like_others(page: Page) -> None:
    page.get_by_role("searchbox", name="Search").fill("<img onerror=alert(2)> </script>")

    expect(page.locator("#shown")).to_contain_text("9 jobs: 9 pictures")


def test_a_command_with_a_hostile_path_is_quoted(page: Page) -> None:
    page.locator(".card").last.click()

    expect(page.locator(".command code")).to_have_text(
        re.compile(r"^comfy-runner run '/.*'\"'\"'run'\"'\"' & <b>/lake-splain/job.json' --out again$")
    )


def test_what_somebody_puts_into_the_page_neither_runs_nor_asks_a_network(open_page: Opener, hostile: Path, tmp_path: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    added = "<body><script>document.title = 'taken over'</script><img src='http://example.com/x.png' onerror='document.title = 1'>"
    copy = tmp_path / "report.html"
    copy.write_text(text.replace("<body>", added), encoding="utf-8")

    page = open_page(copy, may_complain=True)

    assert page.title().startswith(hostile.parent.name)
    policy = page.locator("meta[http-equiv='Content-Security-Policy']").get_attribute("content") or ""
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


@pytest.fixture(scope="module")
def strangely_named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with names as templates may give them."""
    folder = tmp_path_factory.mktemp("names") / "run"
    names = ["a #b?c=1&d %41 100%.png", "\u202e \u05d0 'q' \"z\" <b>.png", "..\u2028 \U0001f3de +;,=@.png"]
    folder.mkdir()
    with Ledger(folder / FILE) as ledger:
        for number, name in enumerate(names):
            job_id, digest = f"job %2F #{number}", hashlib.sha256(name.encode()).hexdigest()
            row = PlanRow(
                job_id=job_id,
                position=number,
                recipe="r",
                content_hash=digest,
                pixel_hash=digest,
                shares="",
                assignments={"seed": number},
            )
            ledger.write_plan([row], recipes=[f"r{number}"])
            ledger.submit(str(uuid.uuid4()), server="http://127.0.0.1", text="{}", job_ids=[job_id])
            files = []
            for role, picture in paint({"seed": number}).items():
                path = folder / job_id / role / name
                path.parent.mkdir(parents=True)
                assert not isinstance(picture, bytes)
                picture.save(path)
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                files.append(
                    FileRow(role, 0, path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns, sha256)
                )
            ledger.settle(JobUpdate(job_id, Change.DONE, files=files))
    return write_page(read_material(folder), {}, None)


def test_pictures_are_found_whatever_their_names(open_page: Opener, strangely_named: Path) -> None:
    page = open_page(strangely_named)
    cards = page.locator(".card")
    wait_for_pictures(page, ".card img")
    assert cards.count() == 3

    for number in range(3):
        cards.nth(number).click()
        wait_for_pictures(page, ".stage img")
        assert page.locator(".stage img").count() == 2
        page.keyboard.press("Escape")
