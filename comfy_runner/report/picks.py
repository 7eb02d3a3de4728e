"""What a person says of a run's pictures: ``picks.json`` in its folder, with stars, rejected pictures and pairs compared blind.

docs/choosing.md describes the file, and ``comfy-runner schema picks`` prints its JSON Schema. Any program may have written it, so
all that it says is checked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from comfy_runner.errors import InputError, Problem
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.text_files import on_one_line, reason_of
from comfy_runner.wording import MIB, did_you_mean
from comfy_runner.yaml_loader import got

FILE: Final = "picks.json"
"""Its name, in the run folder."""

FORMAT: Final = 1

MOST_BYTES: Final = 16 * MIB
"""Largest file; a picture with a note has some 300 bytes, a pair as many."""

_MOST_PROBLEMS: Final = 20
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class Pick(BaseModel):
    """What is said of one picture.

    Attributes:
        stars: How good it is, from 1 to 5; None where that is not said.
        rejected: Whether it is not to be used, whatever its stars.
        note: Anything; it is kept, and means nothing to the program.
        sha256: Of the picture that was judged, hex: one that was rendered again afterwards is another. None where that is not said.
        at: When it was judged.
    """

    model_config = _STRICT

    stars: int | None = Field(default=None, ge=1, le=5, description="How good the picture is, from 1 to 5.")
    rejected: bool = Field(default=False, description="Whether it must not be used.")
    note: str = Field(default="", max_length=10_000, description="Anything.")
    sha256: _Sha256 | None = Field(default=None, description="Of the file that was judged.")
    at: datetime | None = Field(default=None, description="When it was judged.")

    @property
    def grade(self) -> int | None:
        """Return its stars, 0 where it is rejected; None where nothing is said of how good it is."""
        return 0 if self.rejected else self.stars


class PickedPair(BaseModel):
    """Two upscaled pictures of the same original that were held beside each other.

    Attributes:
        left: The name of one: its job, or ``job/output``, as in ``metrics.json``.
        right: That of the other.
        better: Which of the two is better.
        at: When it was judged.
        left_sha256: Of the file on the left, as `Pick.sha256`.
        right_sha256: Of that on the right.
    """

    model_config = _STRICT

    left: str = Field(min_length=1, max_length=1000, description="A job, or job/output, as metrics.json calls it.")
    right: str = Field(min_length=1, max_length=1000, description="Another one of the same original.")
    better: Literal["left", "right", "same"] = Field(description="Which of the two is better.")
    at: datetime | None = Field(default=None, description="When it was judged.")
    left_sha256: _Sha256 | None = Field(default=None, description="Of the file on the left.")
    right_sha256: _Sha256 | None = Field(default=None, description="Of the file on the right.")


class Picks(BaseModel):
    """All that is said of a run's pictures.

    Attributes:
        format: 1.
        picks: What is said of single pictures, by name: the job, or ``job/output``, as in ``metrics.json``.
        pairs: What is said of two.
    """

    model_config = _STRICT

    format: Literal[1] = Field(description="Of this file.")
    picks: dict[str, Pick] = Field(default={}, description="By job, or job/output, as metrics.json calls it.")
    pairs: tuple[PickedPair, ...] = ()


def read_picks(store: ArtifactStore) -> Picks | None:
    """Return what a person has said of a run's pictures; None where there is no such file.

    Args:
        store: Where the run's files are.

    Raises:
        InputError: It cannot be read, or something in it is wrong: every place, up to twenty.
    """
    where = store.location(FILE)
    try:
        with store.open(FILE) as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({reason_of(error)})", where=where) from None
    return parse_picks(content, where=where)


def parse_picks(content: bytes, *, where: str) -> Picks:
    """Return what such a file says.

    Args:
        content: The file's bytes.
        where: What messages call it.

    Raises:
        InputError: Something in it is wrong.
    """
    if len(content) > MOST_BYTES:
        raise InputError(f"must be at most {MOST_BYTES // MIB} MiB", where=where)
    _refuse_twice(content, where)
    try:
        return Picks.model_validate_json(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        number = next((each["input"] for each in found if each["loc"] == ("format",)), None)
        if isinstance(number, int) and number > FORMAT:
            what = f"was written by a newer program (format {number})"
            raise InputError(what, where=where, hint="upgrade comfy_runner") from None
        raise InputError.of(_problem(dict(each), where) for each in found[:_MOST_PROBLEMS]) from None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Picks.model_json_schema(),
        "title": "comfy_runner picks",
    }


def _refuse_twice(content: bytes, where: str) -> None:
    """Refuse a name that an object has twice: one of the two would be lost."""

    def once(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
            raise InputError(f"a name is twice in one object (got {got(twice)})", where=where)
        return found

    try:
        json.loads(content, object_pairs_hook=once, parse_constant=_no_number)
    except RecursionError:
        raise InputError("is nested too deep", where=where) from None
    except ValueError as error:
        raise InputError(f"is not JSON: {on_one_line(str(error))}", where=where) from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number in JSON")


def _problem(detail: Mapping[str, Any], where: str) -> Problem:
    place = tuple(detail["loc"])
    at = f"{where}: {on_one_line('.'.join(map(str, place)), longest=200)}" if place else where
    if detail["type"] == "extra_forbidden":
        return Problem("there is no such key", at, did_you_mean(str(place[-1]), _keys(place)))
    if detail["type"] == "missing":
        return Problem("is missing", at)
    what = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return Problem(f"{what[:1].lower()}{what[1:]} (got {got(detail['input'])})", at)


def _keys(place: Sequence[str | int]) -> Sequence[str]:
    model = Picks if len(place) == 1 else Pick if place[0] == "picks" else PickedPair
    return list(model.model_fields)
