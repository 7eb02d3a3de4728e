"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import InputError, Problem, RecipeError
from comfy_runner.recipe.job import Job, job
from comfy_runner.recipe.load import from_mapping


def faults(call: Callable[[], object], *, error: type[InputError] = RecipeError) -> list[Problem]:
    """Return the problems of the error that a call must raise."""
    with pytest.raises(error) as caught:
        call()
    return list(caught.value.problems)


def fault(call: Callable[[], object], *, error: type[InputError] = RecipeError) -> Problem:
    """Return the only problem of the error that a call must raise."""
    found = faults(call, error=error)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


def written(folder: Path, name: str, text: str) -> Path:
    """Return a new file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def made(**values: Any) -> Job:
    """Return the job of a recipe with these fields and, if none is given, a fixed seed."""
    return job(from_mapping({"seed": 1, **values}))


def told(the_job: Job, level: str) -> list[str]:
    """Return the job's notes of one level."""
    return [note.what for note in the_job.notes if note.level == level]
