from __future__ import annotations

import inspect
import re

import pytest

from comfy_runner import errors
from comfy_runner.errors import ComfyRunnerError, Note, Problem, RecipeError, ServerRefused


def test_a_problem_is_shown_as_place_and_reason() -> None:
    assert str(Problem("must be at most 1", "x.yaml:8: upscale.denoise", "hint")) == "x.yaml:8: upscale.denoise: must be at most 1"
    assert str(Problem("must be at most 1")) == "must be at most 1"


def test_a_note_is_shown_as_place_and_reason() -> None:
    assert str(Note("becomes 1016", "x.yaml:3: size.width")) == "x.yaml:3: size.width: becomes 1016"
    assert (str(Note("becomes 1016")), Note("x").level) == ("becomes 1016", "warning")


def test_an_error_of_one_reason_has_one_problem() -> None:
    error = RecipeError("is wrong", where="x.yaml", hint="put it right")

    assert error.problems == (Problem("is wrong", "x.yaml", "put it right"),)
    assert str(error) == "x.yaml: is wrong"


def test_an_error_of_several_problems_shows_them_all_a_line_each() -> None:
    problems = (Problem("one", "a"), Problem("two", "b"))

    error = RecipeError.of(iter(problems))

    assert type(error) is RecipeError
    assert error.problems == problems
    assert str(error) == "a: one\nb: two"


def test_an_error_cannot_be_without_a_problem() -> None:
    with pytest.raises(IndexError):
        RecipeError.of([])


def test_errors_made_of_problems_keep_what_their_class_has() -> None:
    assert ServerRefused.of([Problem("x")]).status == 0


def test_every_error_is_in_the_tree_that_the_docstring_draws() -> None:
    drawn = re.findall(r"─ (\w+) +(\d+) ", inspect.getdoc(errors) or "")

    assert drawn == [(kind.__name__, str(kind.exit_code)) for kind in _kinds() if kind is not ComfyRunnerError]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in _kinds()]

    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and " " not in code for code in codes)


def _kinds() -> list[type[ComfyRunnerError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ComfyRunnerError)]
