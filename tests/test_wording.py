from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfy_runner.wording import counted, did_you_mean, nearest
from tests.sources import FILES, PACKAGE, nodes

_PLURAL = re.compile(
    r" (more |weighted |model )?(jobs|nodes|files|pictures|recipes|values|prompts|servers|outputs|inputs|rows|columns|cells|lines"
    r"|graphs|groups|times|models|names|options|changes|problems|warnings|places|passes|loads|steps|fields|axes|links|requests)\b"
)


def test_the_nearest_names_come_best_first() -> None:
    assert nearest("denoize", ["denoise", "seed", "denoised"]) == ["denoise", "denoised"]


def test_letter_case_does_not_count_and_names_keep_theirs() -> None:
    assert nearest("EULER", ["Euler", "heun"]) == ["Euler"]


def test_there_are_at_most_as_many_as_asked_for() -> None:
    assert nearest("a1", ["a2", "a3", "a4", "a5"], most=2) == nearest("a1", ["a2", "a3", "a4", "a5"])[:2]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("seeed", ["seed", "size"], "did you mean seed?"),
        ("samplr", ["sampler", "samplers"], "did you mean sampler or samplers?"),
        ("xyz", ["seed", "size"], "known are seed, size"),
        ("xyz", [], ""),
        ("xyz", [str(number) for number in range(14)], "known are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more"),
    ],
)
def test_a_hint_names_what_is_near_or_else_what_there_is(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint


def test_names_may_come_from_a_generator() -> None:
    assert did_you_mean("seeed", (name for name in ["seed"])) == "did you mean seed?"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((0, "job"), "0 jobs"),
        ((1, "job"), "1 job"),
        ((2, "first pass", "first passes"), "2 first passes"),
        ((1, "job has", "jobs have"), "1 job has"),
    ],
)
def test_a_number_has_its_noun_in_the_singular_or_the_plural(args: tuple[int, str], text: str) -> None:
    assert counted(*args) == text


def _values(path: Path) -> Iterator[tuple[ast.expr, str]]:
    """Yield the values of the f-strings of a module, with the text that follows each; numbers with a format are no counts."""
    for node in nodes(path):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                if isinstance(value, ast.FormattedValue) and value.format_spec is None and isinstance(text, ast.Constant):
                    yield value.value, str(text.value)


def _is_constant(value: ast.expr) -> bool:
    return isinstance(value, ast.Name | ast.Attribute) and ast.unparse(value).rpartition(".")[2].isupper()


def test_no_sentence_has_a_plural_whatever_the_number_is() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{value.lineno}: {ast.unparse(value)}{text}"
        for path in FILES
        for value, text in _values(path)
        if _PLURAL.match(text) and not _is_constant(value)
    ]

    assert wrong == []


# What no native editor lets stand; docs/style.md says how it is written instead.
_BANNED = re.compile(
    r"held against|\bhold(?:s|ing)? [\w' ]{1,40} against|recipes? (?:is|are) right|series alone|(?:of|in) the baseline alone"
    r"|\bhow (?:they|servers|jobs) (?:all )?stand\b|rather than to |\bone a line\b|\banew\b|says nothing without|for want of"
    r"|has not got on|(?<!there )\bis no (?:file|picture|name|place|list|pick|letter|whole|kind|way)\b"
    r"|, for (?:it|they|that|there|its|nothing|nobody) (?:is|are|has|have|may|would|does|do)\b|no name and no meaning"
    r"|(?:does|did|will) not suffice|\btakes? (?:no )?part\b|\botherwise than\b|\bexclude each other\b|cannot be listened on"
    r"|\bof (?:those|one|what) that was killed|goes on where it was|\blies (?:at|on|beside|below|outside)\b|is called so\b"
    r"|\b(?:is|are) there (?:already|twice)\b|\bin the place of\b(?! a picture)|\bnot there any more\b|\btells of (?:no|it|a)\b",
    flags=re.IGNORECASE,
)


def _said(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module with their lines: all but docstrings, which of commands are their help."""
    docstrings = {
        id(node.body[0].value)
        for node in nodes(path)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes(path):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (id(node) not in docstrings or path.parent.name == "cli")
        ):
            yield node.lineno, node.value


def test_nothing_that_people_read_has_a_banned_phrase() -> None:
    root = PACKAGE.parent
    pages = [*root.glob("*.md"), *(root / "docs").glob("*.md"), *PACKAGE.rglob("*.yaml")]
    texts = [(path, number, line) for path in pages for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)]
    texts += [(path, number, text) for path in FILES for number, text in _said(path)]
    wrong = [
        f"{path.relative_to(root)}:{number}: {found[0]}"
        for path, number, text in texts
        if path.name not in ("CHANGELOG.md", "style.md") and (found := _BANNED.search(" ".join(text.split())))
    ]

    assert wrong == []
