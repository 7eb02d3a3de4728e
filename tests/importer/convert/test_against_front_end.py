"""Conversion compared with ComfyUI's own front end in a real browser: on the official templates, and on variants of them.

What the front end made of them lies in the cache folder (`make truth`); some of it is made again in each run.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser

from comfy_runner.engine.local import InstalledEngine, LocalOptions, LocalServer
from comfy_runner.graph.object_info import ObjectInfo
from tests.truth.front_end import FrontEnd
from tests.truth.official_templates import TemplatesMissingError, official_templates, runnable
from tests.truth.truths import Truth, truth_folder, truths
from tests.truth.variants import KINDS
from tests.truth.verdicts import Verdict, verdict

_LEAST_RIGHT = 0.97
_SAMPLE = 20
# The page fails at a few: at a primitive within a subgraph, for one.
_LEAST_VARIANTS = 0.95 * sum(KINDS.values())

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def folder(local_engine: InstalledEngine, local_options: LocalOptions) -> Path:
    """Where the truths of this machine are, or would be."""
    assert local_engine.managed
    return truth_folder(local_options)


@pytest.fixture(scope="module")
def info_of_truths(folder: Path) -> ObjectInfo:
    """What the server said whose page the truths are from."""
    if not (folder / "complete").exists():
        pytest.skip("no graphs of ComfyUI's front end are in the cache: `make truth` makes them")
    return ObjectInfo(json.loads((folder / "object_info.json").read_text(encoding="utf-8")), source=str(folder))


def test_official_templates_are_converted_as_the_front_end_does(
    folder: Path, info_of_truths: ObjectInfo, record_property: Record
) -> None:
    verdicts = [verdict(truth, info_of_truths) for truth in truths(folder / "plain")]

    _counted(record_property, "official templates", verdicts)
    assert len(verdicts) >= 100
    _are_right(verdicts)


def test_variants_are_converted_as_the_front_end_does(folder: Path, info_of_truths: ObjectInfo, record_property: Record) -> None:
    verdicts = [verdict(truth, info_of_truths) for truth in truths(folder / "variants")]

    _counted(record_property, "variants of them", verdicts)
    assert len(verdicts) >= _LEAST_VARIANTS
    _are_right(verdicts)


@pytest.mark.browser
def test_a_sample_is_converted_as_the_front_end_does_today(
    folder: Path, comfyui_server: LocalServer, local_options: LocalOptions, browser: Browser, record_property: Record
) -> None:
    seed = os.environ.get("TRUTH_SEED") or str(random.SystemRandom().randrange(10**6))
    classes = requests.get(f"{comfyui_server.url}/object_info", timeout=60).json()
    known = [*truths(folder / "plain"), *truths(folder / "variants")]
    if not known:
        known = _templates(local_options, folder, classes)
    page = FrontEnd(browser, comfyui_server.url)
    verdicts = []
    for truth in random.Random(seed).sample(known, _SAMPLE):  # noqa: S311
        export = page.export(truth.asked)
        assert export.graph is not None, f"{truth.name}: {export.error}"
        today = Truth(truth.name, truth.workflow, truth.asked, json.loads(export.graph))
        verdicts.append(verdict(today, ObjectInfo(classes, source=comfyui_server.url)))
    page.close()

    _counted(record_property, f"of them again, TRUTH_SEED={seed}", verdicts)
    assert [str(one) for one in verdicts if one.result == "wrong"] == []
    assert [one for one in verdicts if one.result == "right"]


def _templates(options: LocalOptions, folder: Path, classes: Iterable[str]) -> list[Truth]:
    """Return the templates, whose graphs are not known."""
    try:
        found = runnable(official_templates(options.venv, folder / "templates"), frozenset(classes))
    except TemplatesMissingError as error:
        pytest.skip(str(error))
    return [Truth(name, text, text, {}) for name, text in found.items()]


def _counted(record_property: Record, what: str, verdicts: list[Verdict]) -> None:
    counts = Counter(one.result for one in verdicts)
    shown = ", ".join(f"{counts[result]} {result}" for result in ("right", "refused", "wrong"))
    record_property("counted", f"{len(verdicts):6} {what}: {shown}")


def _are_right(verdicts: list[Verdict]) -> None:
    assert [str(one) for one in verdicts if one.result == "wrong"] == []
    others = [str(one) for one in verdicts if one.result == "refused"]
    assert len(others) <= (1 - _LEAST_RIGHT) * len(verdicts), others
