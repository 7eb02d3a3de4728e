"""The manual as a whole: pages that are named exist, all of them are listed, messages that it explains are the program's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import FILES, PACKAGE

_ROOT = Path(__file__).parents[1]
_DOCS = _ROOT / "docs"
_PAGES = {path.name for path in _DOCS.glob("*.md")}
_SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in FILES)


def test_every_page_that_the_program_names_exists() -> None:
    texts = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.yaml")}
    named = {page for text in (_SOURCE, *texts.values()) for page in re.findall(r"docs/([\w-]+\.md)", text)}

    assert len(named) > 15
    assert named - _PAGES == set()


def test_every_page_is_in_the_index_and_in_the_navigation() -> None:
    index = set(re.findall(r"\]\(([\w-]+\.md)\)", (_DOCS / "index.md").read_text(encoding="utf-8")))
    navigation = set(re.findall(r"^ +- ([\w-]+\.md)$", (_ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE))

    assert index | {"index.md"} == _PAGES
    assert navigation == _PAGES


def test_messages_that_are_explained_are_those_of_the_program() -> None:
    page = (_DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    # What stands in the source between two values of an f-string is a piece of the message.
    known = re.sub(r"\{[^{}]*\}", "…", _SOURCE)
    lacking = [message for message in messages if not all(piece.strip() in known for piece in message.split("…"))]

    assert len(messages) > 20
    assert lacking == []


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_asks_no_network(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=_ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    assert {page.replace(".md", ".html") for page in _PAGES} <= set(built)
    loaded = {
        page: found
        for page, text in built.items()
        if (
            found := re.findall(
                r"<(?:script|img|link rel=\"(?:stylesheet|preconnect)\")[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*", text
            )
        )
    }
    assert loaded == {}
