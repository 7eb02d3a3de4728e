"""Writing ``picks.json`` of a run: what somebody says now is added to what was said before, and nothing of either is lost.

Whoever writes it (a page that is served, ``comfy-runner picks --import``) sends all that it knows, which may be out of date:
of one picture, what was said last counts, and pairs are kept side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Final

from comfy_runner.report.picked import judged_files
from comfy_runner.report.picks import FILE, FORMAT, Pick, PickedPair, Picks, parse_picks, read_picks
from comfy_runner.report.run_data import Material
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.local import write_spool
from comfy_runner.store.lock import brief_lock

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_LEFT_OUT: Final = {"sha256", "at", "left_sha256", "right_sha256"}  # where they are not known


@dataclass(frozen=True, slots=True)
class SavedPicks:
    """What became of saving picks.

    Attributes:
        picks: All that the file says now.
        unknown: Names in what was sent that are no pictures of the run; nothing was taken over of them.
    """

    picks: Picks
    unknown: tuple[str, ...] = ()


def save_picks(material: Material, content: bytes, *, where: str = FILE) -> SavedPicks:
    """Add what somebody says to the ``picks.json`` of a run, and return all that it says then.

    It may be called by several threads and processes at a time: each adds to what the others have written.

    Args:
        material: The run; its pictures are those that something can be said of.
        content: What is said, as the bytes of such a file. It may come from anywhere, so all of it is checked.
        where: What messages call it.

    Raises:
        InputError: It is not as docs/choosing.md has it: every place, up to twenty. Or so is the file that is there.
        RunFolderError: The run folder cannot be written.
    """
    said = parse_picks(content, where=where)
    with brief_lock(material.folder):
        before = read_picks(material.store) or Picks(format=FORMAT)
        taken, unknown = _known(said, material, before)
        merged = merge_picks(before, taken)
        _write(material.store, merged, before)
    return SavedPicks(merged, unknown)


def add_picks(folder: Path, store: ArtifactStore, others: Iterable[Picks]) -> Picks:
    """Add what is said in other run folders of the same plan to the ``picks.json`` of a run, and return all that it says then.

    Args:
        folder: The run folder, or its local part.
        store: Where its files are.
        others: What the others say. Where it is not known what was said last, that of the run itself counts.

    Raises:
        InputError: Something in the file that is there is wrong.
        RunFolderError: The run folder cannot be written.
    """
    with brief_lock(folder):
        before = read_picks(store) or Picks(format=FORMAT)
        merged = merge_picks(reduce(merge_picks, others, Picks(format=FORMAT)), before)
        _write(store, merged, before)
    return merged


def _write(store: ArtifactStore, picks: Picks, before: Picks) -> None:
    if picks != before:
        store.put([write_spool(store, FILE, [dumped_picks(picks)])])


def merge_picks(before: Picks, said: Picks) -> Picks:
    """Return two files as one.

    Of a picture, what was said last counts, and ``said`` where that is not known. Pairs of both are kept, each once; of two of the
    same pictures and the same moment, that of ``said`` counts, for somebody has corrected himself.
    """
    picks = dict(before.picks)
    for name, pick in said.picks.items():
        if name not in picks or _moment(pick) >= _moment(picks[name]):
            picks[name] = pick
    pairs = {_identity(pair): pair for pair in said.pairs}
    kept = [pairs.pop(_identity(pair), pair) for pair in before.pairs]
    return Picks(format=FORMAT, picks=picks, pairs=(*kept, *pairs.values()))


def dumped_picks(picks: Picks) -> bytes:
    """Return the bytes of the file."""
    told = picks.model_dump(mode="json")
    for one in (*told["picks"].values(), *told["pairs"]):
        for name in _LEFT_OUT & one.keys():
            if one[name] is None:
                del one[name]
    return (json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")


def _known(said: Picks, material: Material, before: Picks) -> tuple[Picks, tuple[str, ...]]:
    """Return what is said of pictures of a run, by what these are called there, and the names of all others."""
    names = {entry.name for entry in material.entries} | before.picks.keys()
    files = judged_files(material)
    unknown: dict[str, None] = {}

    def called(name: str, sha256: str | None) -> str | None:
        if name in names:
            return name
        # On a page of several runs, the name of the run stands before it, which tells less than the picture itself.
        inner = name.partition("/")[2]
        if sha256 is not None and inner in files and files[inner].sha256 == sha256:
            return inner
        unknown[name] = None
        return None

    picks: dict[str, Pick] = {}
    # Two runs may have the very same picture: what was said last counts.
    for name, pick in sorted(said.picks.items(), key=lambda item: _moment(item[1])):
        if (found := called(name, pick.sha256)) is not None:
            picks[found] = pick
    pairs = []
    for pair in said.pairs:
        left, right = called(pair.left, pair.left_sha256), called(pair.right, pair.right_sha256)
        if left is not None and right is not None:
            pairs.append(pair.model_copy(update={"left": left, "right": right}))
    return Picks(format=FORMAT, picks=picks, pairs=tuple(pairs)), tuple(unknown)


def _moment(one: Pick | PickedPair) -> datetime:
    if one.at is None:
        return _NEVER
    return one.at if one.at.tzinfo is not None else one.at.replace(tzinfo=UTC)


def _identity(pair: PickedPair) -> tuple[object, ...]:
    # Without a moment, two answers to the same question are two opinions only if they differ.
    return (pair.left, pair.right, pair.better if pair.at is None else _moment(pair))
