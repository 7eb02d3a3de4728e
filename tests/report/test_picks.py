"""``picks.json``: what is documented is read, and everything else is refused with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from comfy_runner.errors import InputError
from comfy_runner.report.picks import FILE, json_schema, parse_picks, read_picks
from comfy_runner.store.local import LocalStore

_DOCUMENT = Path(__file__).parents[2] / "docs" / "choosing.md"


def _example() -> str:
    """Return the example of docs/choosing.md."""
    found = re.search(r"```json\n(\{.*?\n\})\n```", _DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found is not None
    return found[1]


def _refused(value: object) -> list[str]:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(InputError) as caught:
        parse_picks(content, where=FILE)
    return [f"{problem}; {problem.hint}" if problem.hint else str(problem) for problem in caught.value.problems]


def test_the_example_of_the_documentation_is_read_and_fits_the_schema() -> None:
    picks = parse_picks(_example().encode(), where=FILE)

    assert picks.picks["lake-s1-d055"].grade == 5
    assert picks.picks["lake-s1-d080"].grade == 0
    assert {pair.better for pair in picks.pairs} == {"left", "right", "same"}
    Draft202012Validator.check_schema(json_schema())
    assert Draft202012Validator(json_schema()).is_valid(json.loads(_example()))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "picks.json: should be an object (got a list)"),
        ({}, "picks.json: format: is missing"),
        ({"format": 2}, "picks.json: was written by a newer program (format 2); upgrade comfy_runner"),
        ({"format": "1"}, 'picks.json: format: should be 1 (got "1")'),
        ({"format": 1, "pick": {}}, "picks.json: pick: there is no such key; did you mean picks?"),
        ({"format": 1, "picks": {"a": {"stars": 6}}}, "picks.json: picks.a.stars: should be less than or equal to 5 (got 6)"),
        ({"format": 1, "picks": {"a": {"stars": 4.0}}}, "picks.json: picks.a.stars: should be a valid integer (got 4.0)"),
        ({"format": 1, "picks": {"a": {"star": 4}}}, "picks.json: picks.a.star: there is no such key; did you mean stars?"),
        ({"format": 1, "picks": {"a": {"rejected": "no"}}}, 'picks.json: picks.a.rejected: should be a valid boolean (got "no")'),
        (
            {"format": 1, "pairs": [{"left": "a", "right": "b", "better": "both"}]},
            "picks.json: pairs.0.better: should be 'left', 'right' or 'same' (got \"both\")",
        ),
        ({"format": 1, "pairs": [{"left": "a", "better": "left"}]}, "picks.json: pairs.0.right: is missing"),
        ({"format": 1, "pairs": [{"left": "", "right": "b", "better": "same"}]}, "picks.json: pairs.0.left: "),
        ({"format": 1, "pairs": [{"left": "a", "right": "b", "better": "same", "at": "noon"}]}, "picks.json: pairs.0.at: "),
        (b'{"format": 1, "picks": {"a": {}, "a": {}}}', 'picks.json: a name is twice in one object (got "a")'),
        (b'{"format": NaN}', "picks.json: is not JSON: NaN is not a number in JSON"),
        (b'{"format": 1', "picks.json: is not JSON: Expecting ',' delimiter: line 1 column 13"),
        (b'{"format": 1, "picks": {"\xff": {}}}', "picks.json: is not JSON: "),
        (b"[" * 100_000, "picks.json: is nested too deep"),
        (b"", "picks.json: is not JSON: "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(value: object, problem: str) -> None:
    assert _refused(value)[0].startswith(problem)


def test_everything_that_is_wrong_is_told_up_to_some_twenty_places() -> None:
    assert len(_refused({"format": 1, "picks": {"a": {"stars": 9}, "b": {"stars": -1, "x": 1}}})) == 3
    assert len(_refused({"format": 1, "picks": {str(number): {"stars": 9} for number in range(1000)}})) == 20


def test_names_that_mean_harm_are_told_on_one_line() -> None:
    name = "a\n\x1b[2Jerror: fake" + "x" * 5000

    (told,) = _refused({"format": 1, "picks": {name: {"stars": 9}}})
    assert told.isprintable()
    assert len(told) < 500


def test_a_run_without_the_file_has_no_picks_and_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    assert read_picks(LocalStore(tmp_path)) is None
    (tmp_path / FILE).mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_picks(LocalStore(tmp_path))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / FILE).open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(InputError, match="at most 16 MiB"):
        read_picks(LocalStore(tmp_path))


@pytest.mark.parametrize(
    ("pick", "grade"),
    [({}, None), ({"stars": 3}, 3), ({"stars": 3, "rejected": True}, 0), ({"note": "?"}, None), ({"rejected": True}, 0)],
)
def test_a_rejected_picture_is_worse_than_one_star(pick: dict[str, Any], grade: int | None) -> None:
    picks = parse_picks(json.dumps({"format": 1, "picks": {"a": pick}}).encode(), where=FILE)

    assert picks.picks["a"].grade == grade
