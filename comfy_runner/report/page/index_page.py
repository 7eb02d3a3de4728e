"""The gallery of run folders: one HTML file without a script, which leads to their reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comfy_runner._version import __version__
from comfy_runner.byte_sizes import told_size
from comfy_runner.errors import UsageError
from comfy_runner.report.indexed_runs import IndexedRun, read_index
from comfy_runner.report.page.page import PAGE, asset, policy, template
from comfy_runner.report.target import refuse_foreign, url_from, write_target
from comfy_runner.store.states import STATES
from comfy_runner.text_files import local_path, shown
from comfy_runner.wording import counted

INDEX: Final = "index.html"
"""The gallery, in the folder that it is of."""

_OURS = b'<meta name="generator" content="comfy_runner index">'


@dataclass(frozen=True, slots=True)
class RunIndex:
    """A gallery that was written.

    Attributes:
        page: The file.
        runs: What is in it, in its order.
        unreadable: Why other folders could not be looked into.
    """

    page: Path
    runs: tuple[IndexedRun, ...]
    unreadable: Mapping[Path, str]


def write_index(folder: Path | str = "runs", target: Path | str | None = None) -> RunIndex:
    """Write a gallery of all run folders below a folder: thumbnails, sizes, what was swept, links to reports.

    Nothing in the run folders is read but their ledgers, and nothing is changed. Thumbnails are those that reports have made; of a
    run without a report the pictures themselves are shown.

    Args:
        folder: The folder; at most three levels below it are looked at.
        target: The file, which ends in ``.html``; None for ``index.html`` in the folder. It leads to the run folders by their place
            relative to it.

    Raises:
        UsageError: The folder cannot be read, has no run folders, or the file is no gallery of ours and would be lost.
        RunFolderError: The file cannot be written.
    """
    start = local_path(folder)
    place = start / INDEX if target is None else local_path(target)
    _check(place)
    runs, unreadable = read_index(start)
    if not runs and not unreadable:
        raise UsageError("has no run folders below it", where=shown(start), hint="`comfy-runner index DIR` looks three levels deep")
    style = "\n".join(map(asset, ("page.css", "index.css")))
    page = template("index.html.j2").stream(
        title=_safe(start.absolute().name or str(start)),
        policy=policy(style),
        style=style,
        version=__version__,
        totals=_totals(runs),
        runs=[_card(run, start, place.parent) for run in runs],
        unreadable=[(_safe(str(where)), why) for where, why in unreadable.items()],
    )
    write_target(place, lambda file: page.dump(file, "utf-8"), what="the gallery")
    return RunIndex(place, runs, unreadable)


def _check(place: Path) -> None:
    if place.suffix.lower() != ".html" or place.is_dir():
        raise UsageError("must be a file that ends in .html", where=shown(place), hint=f"such as {shown(place.with_name(INDEX))}")
    refuse_foreign(place, _OURS)


def _totals(runs: tuple[IndexedRun, ...]) -> str:
    jobs, pictures, size = (sum(getattr(run, name) for run in runs) for name in ("jobs", "pictures", "size_bytes"))
    told = (counted(len(runs), "run"), counted(jobs, "job"), counted(pictures, "picture"), told_size(size))
    return " · ".join(told)


def _card(run: IndexedRun, start: Path, page_folder: Path) -> dict[str, object]:
    summary = run.summary
    name = summary.folder.relative_to(start).as_posix()
    counts = Counter(summary.counts)
    report = summary.folder / PAGE
    moment = summary.last_activity
    return {
        "name": _safe(start.absolute().name if name == "." else name),
        "url": url_from(page_folder, report if report.is_file() else summary.folder),
        "has_report": report.is_file(),
        "states": [(state, counts[state]) for state in STATES if counts[state]],
        "swept": [_safe(text) for text in run.swept],
        "size": f"{counted(run.pictures, 'picture')}, {told_size(run.size_bytes)}",
        "moment": moment.isoformat(timespec="seconds") if moment else "",
        "when": moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else "",
        "pictures": [url_from(page_folder, path) for path in run.shown],
        "problem": _safe(run.problem),
        "runs_now": summary.holder is not None,
    }


def _safe(text: str) -> str:
    """Return a text that can be written as UTF-8, whatever a file's name was."""
    return text.encode("utf-8", "replace").decode()
