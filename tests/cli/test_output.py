from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.cli.output import clean, note_lines, print_error, print_json, print_line, print_notes, say
from comfy_runner.errors import Note, Problem, RecipeError


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain, ümlaut, 木, 🌲", "plain, ümlaut, 木, 🌲"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a\rb\tc\x07", "a\ufffdb\ufffdc\ufffd"),
        ("\x9b31m", "\ufffd31m"),
        ("right\u202eleft", "right\ufffdleft"),
        ("half \ud83c", "half \ufffd"),
    ],
)
def test_what_could_steer_a_terminal_is_replaced(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text())
def test_cleaned_text_is_printable_and_as_long_as_before(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in clean(text))
    assert len(clean(text)) == len(text)


def test_an_error_is_its_place_and_reason_and_then_the_hint(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(RecipeError("is wrong", where="x.yaml:3: seed", hint="give a number"))

    assert capsys.readouterr() == ("", "error: x.yaml:3: seed: is wrong\nhint: give a number\n")


def test_a_hint_that_serves_several_problems_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(
        RecipeError.of([Problem("one", "", "same"), Problem("two", "", "same"), Problem("three", "", "other"), Problem("four")])
    )

    assert capsys.readouterr().err == "error: one\nerror: two\nhint: same\nerror: three\nhint: other\nerror: four\n"


def test_notes_are_warnings_or_changes(capsys: pytest.CaptureFixture[str]) -> None:
    print_notes([Note("is blurred", "x.yaml:1: upscale.denoise"), Note("becomes 1016", level="changed")])

    assert capsys.readouterr().err == "warning: x.yaml:1: upscale.denoise: is blurred\nnote: becomes 1016\n"


def test_nothing_that_is_said_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;pwned\x07\x9b2J"
    print_error(RecipeError(evil, where=evil, hint=evil))
    print_notes([Note(evil, evil)])
    say(evil)
    print_line(evil)

    found = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b"} & set(found.out + found.err)
    assert (found.out + found.err).count("pwned") == 7


def test_json_that_could_steer_a_terminal_is_escaped_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json('{"a": "\x9b31m\u202e🌲"}')

    assert capsys.readouterr().out == '{"a": "\\u009b31m\\u202e🌲"}\n'


def test_notes_that_are_alike_are_told_once_with_their_places() -> None:
    notes = [Note("x", "a", "changed"), Note("y", "a"), Note("x", "b", "changed"), Note("x", "a"), Note("x", "a"), Note("z")]

    assert [*map(click.unstyle, note_lines(notes))] == ["note: a; b: x", "warning: a: y", "warning: a: x", "warning: z"]


def test_notes_that_differ_in_the_value_given_are_told_once_with_the_values() -> None:
    notes = [
        Note("low (got 1)", "a"),
        Note("odd (got x), so", "a"),
        Note("low (got 2)", "a"),
        Note("low (got 3)", "b"),
        Note("low (got 1)", "a"),
    ]

    said = [click.unstyle(line) for line in note_lines(notes)]

    assert said == ["warning: a: low (got 1, 2)", "warning: a: odd (got x), so", "warning: b: low (got 3)"]


def test_of_many_places_those_are_named_that_there_is_room_for() -> None:
    (line,) = note_lines([Note("x", f"{number}{'a' * 60}", "changed") for number in range(3)])

    assert line == f"note: 0{'a' * 60} and 2 more: x"
