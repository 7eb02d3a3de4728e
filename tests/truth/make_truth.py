"""Makes the truths that the conversion of workflows is measured against: `make truth`, once per machine, some minutes.

What is there already is left as it is, so that it goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests
from filelock import FileLock

from comfy_runner.atomic_files import write_atomically
from comfy_runner.engine.local import LocalOptions, setup, start, stop
from tests.chromium import NoBrowserError, chromium
from tests.truth.edits import Classes
from tests.truth.front_end import FrontEnd
from tests.truth.official_templates import TemplatesMissingError, official_templates, runnable
from tests.truth.truths import is_made, truth_folder, write_truth
from tests.truth.variants import KINDS, Variant, make_variant

_VERSION = "3"  # of what is made; another one makes all anew
_SEED = "truth"


def main() -> None:
    """Make what is missing and say what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", help="a ComfyUI that runs already, with the engine's version (default: one is started)")
    parser.add_argument("--seed", default=_SEED, help="of the variants")
    parser.add_argument("--into", type=Path, help="another folder than that of the cache")
    arguments = parser.parse_args()
    # What a killed process leaves behind under this name, the next session of tests takes away.
    options = LocalOptions(instance=f"test-{os.getpid()}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    setup(options, say=_say)
    folder = arguments.into or truth_folder(options)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock"):
            if not _is_complete(folder):
                _make(options, folder, arguments.server, arguments.seed)
    except (TemplatesMissingError, NoBrowserError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted; the next call goes on from here")
    counts = {kind: len([*(folder / kind).glob("*.api.json")]) for kind in ("plain", "variants")}
    _say(f"{counts['plain']} templates and {counts['variants']} variants with the front end's graphs in {folder}")


def _make(options: LocalOptions, folder: Path, url: str | None, seed: str) -> None:
    templates = official_templates(options.venv, truth_folder(options) / "templates")
    with _server(options, url) as server, chromium() as browser:
        page = FrontEnd(browser, server)
        classes = requests.get(f"{server}/object_info", timeout=60).json()
        write_atomically(folder / "object_info.json", json.dumps(classes).encode("utf-8"))
        known = runnable(templates, classes)
        _plain(folder / "plain", known, page)
        _variants(folder / "variants", known, classes, page, seed)
    write_atomically(folder / "complete", _VERSION.encode("ascii"))


def _plain(folder: Path, templates: Mapping[str, str], page: FrontEnd) -> None:
    for done, (name, text) in enumerate(templates.items(), start=1):
        if not is_made(folder, name):
            write_truth(folder, name, Variant(name, text), page.export(text), "")
            _tell(done, len(templates), "templates")


def _variants(folder: Path, templates: Mapping[str, str], classes: Classes, page: FrontEnd, seed: str) -> None:
    wanted = [(kind, f"{kind}-{number:02}") for kind, count in KINDS.items() for number in range(1, count + 1)]
    for done, (kind, name) in enumerate(wanted, start=1):
        if not is_made(folder, name):
            own = f"{seed}/{name}"
            variant = make_variant(kind, own, templates, classes, page)
            write_truth(folder, name, variant, page.export(variant.asked or variant.workflow), own)
            _tell(done, len(wanted), "variants")


@contextmanager
def _server(options: LocalOptions, url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    try:
        yield start(options, say=_say).url
    finally:
        stop(options)
        shutil.rmtree(options.folder, ignore_errors=True)


def _is_complete(folder: Path) -> bool:
    mark = folder / "complete"
    if mark.exists() and mark.read_text(encoding="ascii") == _VERSION:
        return True
    version = folder / "version"
    if not version.exists() or version.read_text(encoding="ascii") != _VERSION:
        for kind in ("plain", "variants"):
            shutil.rmtree(folder / kind, ignore_errors=True)
        write_atomically(version, _VERSION.encode("ascii"))
    return False


def _tell(done: int, total: int, what: str) -> None:
    if done % 25 == 0 or done == total:
        _say(f"{done} of {total} {what}")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
