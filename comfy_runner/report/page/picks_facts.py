"""What the page knows of a person's picks: what ``picks.json`` says already, and what it takes to write down more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from comfy_runner.errors import InputError
from comfy_runner.report.measures import Measured
from comfy_runner.report.page.thumbnails import Thumbnail
from comfy_runner.report.picks import read_picks
from comfy_runner.report.run_data import ORIGINAL, UPSCALED, Entry, Material
from comfy_runner.store.ledger_rows import FileRow
from comfy_runner.text_files import place


def picks_facts(material: Material) -> dict[str, object]:
    """Return what was said of the run, why that cannot be read, and what the browser is to keep it under.

    Args:
        material: The run.
    """
    saved, problem = None, ""
    try:
        saved = read_picks(material.store)
    except InputError as error:
        problem = str(error)
    # Two folders may hold runs of one recipe, whose jobs are called alike.
    run = hashlib.sha256(place(material.folder.absolute()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return {"run": run, "saved": None if saved is None else saved.model_dump(mode="json"), "problem": problem}


def judged_picture(entry: Entry) -> FileRow | None:
    """Return the picture of an entry that is judged: the upscaled one, else the first; None where there is none."""
    return entry.picture(UPSCALED) or next((rows[0] for rows in entry.pictures.values()), None)


def originals_of(material: Material, measured: Mapping[str, Measured], thumbnails: Mapping[str, Thumbnail]) -> dict[str, int]:
    """Return a number for the original of each entry that has one and an upscaled picture, equal where the originals are the same.

    Args:
        material: The run.
        measured: What was measured, by the entries' names.
        thumbnails: What is shown of each picture, by its path in the run folder.
    """
    numbers: dict[str, int] = {}
    found: dict[str, int] = {}
    for entry in material.entries:
        source = entry.picture(ORIGINAL)
        if source is None or entry.picture(UPSCALED) is None:
            continue
        known = measured.get(entry.name)
        # Files of the same pixels may differ in what they say of themselves; how they look in each cell of a grid does not.
        pixels = (known.original if known else "") or thumbnails[source.path].signature or source.sha256
        found[entry.name] = numbers.setdefault(pixels, len(numbers))
    return found
