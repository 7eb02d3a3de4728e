"""Names and messages from elsewhere never reach the terminal raw."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.cli.output import clean, note_lines, print_error, print_json, print_line, print_notes, say
from comfy_runner.errors import ComfyRunnerError, Note, Problem
from tests.hostile.tally import harmless, survives
from tests.hostile.values import TEXTS, many, seeded


@many(300)
@given(st.text(alphabet=st.characters(codec=None), max_size=80))
def test_cleaned_text_cannot_steer_a_terminal(text: str) -> None:
    cleaned = survives("messages", lambda: clean(text))
    assert isinstance(cleaned, str)
    assert harmless(cleaned)
    assert clean(cleaned) == cleaned


def test_errors_and_notes_are_printed_without_control_characters() -> None:
    for seed in range(400):
        with seeded(seed) as dice:
            what, where, hint, more = dice.choices(TEXTS, k=4)

            @click.command()
            def command(what: str = what, where: str = where, hint: str = hint, more: str = more) -> None:
                print_error(ComfyRunnerError.of([Problem(what, where, hint), Problem(more)]))
                print_notes([Note(what, where)])
                say(what)
                print_line(where)
                print_json(hint)

            result = survives("messages", lambda: CliRunner().invoke(command, catch_exceptions=False, color=False))
            assert not isinstance(result, ComfyRunnerError)
            assert harmless(result.output)


@pytest.mark.parametrize("text", TEXTS)
def test_a_nasty_note_is_one_harmless_text(text: str) -> None:
    assert harmless(str(survives("messages", lambda: click.unstyle(*note_lines([Note(text, text)])))))
