r"""The grammar of a prompt that is filled in: ``{name}``, ``{red|blue}``, ``__file__``, and ``\{`` for a brace itself.

Alternatives and their escapes are those of ComfyUI's own page (``processDynamicPrompt`` of its front end): they may lie within each
other, may be empty, and a backslash before ``{``, ``}`` or ``|`` takes the sign as it is. Whatever else stands in a prompt, such as
``(words:1.2)``, ``\(`` or a line break, is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""What the name of a variable looks like."""

MOST_DEPTH = 20
"""How deep alternatives may lie within each other."""

MOST_CHOICES = 200
"""Most alternatives, wildcards and names beside them in one prompt."""

_SIGNS = re.compile(r"\\[{}|]|[{}|]")
_SIGNS_AND_FILES = re.compile(r"\\[{}|_]|[{}|]|__(?! )((?:[^\W_]|[./ -]|_(?!_)){1,200}?)(?<! )__")
_COUNTS = re.compile(r"\s*(?:[0-9-]{1,9}\$\$|[0-9.]{1,9}::)")
BRACE = r"write \{ and \} for braces themselves"


class PromptFault(ValueError):
    """What is wrong with a prompt.

    Attributes:
        what: The sentence.
        hint: The way out; empty if there is none to tell.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


@dataclass(frozen=True, slots=True)
class Variable:
    """``{name}``, which a variable's value takes the place of."""

    name: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """``__name__``, which a line of a file takes the place of."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """``{red|blue}``, which one of its options takes the place of."""

    options: tuple[Parts, ...]


Parts = tuple[str | Variable | Wildcard | Choice, ...]
"""A prompt, taken apart: texts, and what something else takes the place of."""

Options = Callable[[Choice | Wildcard], Sequence[Parts]]
"""Returns what can take the place of alternatives or a wildcard: one at least."""


def parse(text: str, *, alternatives: bool, wildcards: bool = False) -> Parts:
    r"""Take a prompt apart.

    Args:
        text: The prompt.
        alternatives: Whether ``{a|b}`` is a choice; otherwise it is an error, and ``|`` is a sign like any other.
        wildcards: Whether ``__name__`` is the name of a file; otherwise it is text.

    Raises:
        PromptFault: A brace has no partner, or what is in braces is neither a name nor alternatives.
    """
    signs = _SIGNS_AND_FILES if wildcards else _SIGNS
    # For each brace that is open: its options so far, the last of which goes on.
    open_options: list[list[list[str | Variable | Wildcard | Choice]]] = [[[]]]
    starts: list[int] = []
    at = choices = 0
    for found in signs.finditer(text):
        here = open_options[-1]
        here[-1].append(text[at : found.start()])
        at, sign = found.end(), found[0]
        choices += alternatives and (sign == "{" or sign.startswith("__"))
        if choices > MOST_CHOICES:
            raise PromptFault(f"has more than {MOST_CHOICES} names, alternatives and wildcards", "use fewer")
        if sign.startswith("\\"):
            here[-1].append(sign if sign == r"\|" and not alternatives else sign[1])
        elif sign.startswith("__"):
            here[-1].append(Wildcard(found[1]))
        elif sign == "{":
            if len(starts) >= MOST_DEPTH:
                raise PromptFault(f"has more than {MOST_DEPTH} nested braces", BRACE)
            starts.append(found.start())
            open_options.append([[]])
        elif sign == "}":
            if not starts:
                raise PromptFault(f"has a }} without its {{ {_near(text, found.start())}", BRACE)
            inside = text[starts.pop() + 1 : found.start()]
            open_options.pop()
            open_options[-1][-1].append(_braced(inside, tuple(_joined(option) for option in here), alternatives))
        elif starts and alternatives:
            here.append([])
        else:
            here[-1].append("|")
    if starts:
        raise PromptFault(f"has a {{ without its }} {_near(text, starts[0])}", BRACE)
    return _joined([*open_options[0][0], text[at:]])


def _near(text: str, at: int) -> str:
    return f"(near {text[max(at - 10, 0) : at + 20].strip()!r})"


def _braced(inside: str, options: tuple[Parts, ...], alternatives: bool) -> Variable | Choice:
    if len(options) == 1 and NAME.fullmatch(inside):
        return Variable(inside)
    shown = inside if len(inside) <= 40 else f"{inside[:37]}..."
    if not alternatives:
        way = "give `alternatives: combine` or `alternatives: random` to have one of them chosen, or " if "|" in inside else ""
        raise PromptFault(f"{{{shown}}} is not the name of a variable", f"{way}{BRACE}")
    if len(options) == 1:
        raise PromptFault(f"{{{shown}}} is neither the name of a variable nor alternatives, which | separates", BRACE)
    if _COUNTS.match(inside):
        raise PromptFault(f"{{{shown}}} gives a weight or a count, which alternatives do not support", "write an option twice")
    return Choice(options)


def _joined(parts: Sequence[str | Variable | Wildcard | Choice]) -> Parts:
    """Return parts of which no two texts follow one another, and none is empty."""
    found: list[str | Variable | Wildcard | Choice] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    return tuple(found)


def walk(parts: Parts) -> Iterator[Variable | Wildcard | Choice]:
    """Yield everything in a prompt that something else takes the place of, also within alternatives."""
    for part in parts:
        if not isinstance(part, str):
            yield part
        if isinstance(part, Choice):
            for option in part.options:
                yield from walk(option)


def filled(parts: Parts, values: Mapping[str, str], choose: Callable[[Choice | Wildcard], Parts]) -> str:
    """Return the text that a prompt amounts to.

    Args:
        parts: The prompt.
        values: The variables; every name in it is among them.
        choose: Returns what takes the place of alternatives or a wildcard; asked in the order in which they stand in the text.
    """
    return "".join(
        part if isinstance(part, str) else values[part.name] if isinstance(part, Variable) else filled(choose(part), values, choose)
        for part in parts
    )


def combinations(parts: Parts, options: Options) -> Iterator[Parts]:
    """Yield every combination: the prompt without alternatives and wildcards, the last of which changes fastest."""
    for at, part in enumerate(parts):
        if isinstance(part, Choice | Wildcard):
            for option in options(part):
                for chosen in combinations(option, options):
                    for rest in combinations(parts[at + 1 :], options):
                        yield _joined((*parts[:at], *chosen, *rest))
            return
    yield parts


def written(parts: Parts, *, wildcards: bool) -> str:
    """Return a combination as text again, of which `parse` makes the same."""
    signs = r"[{}|]|_(?=_)" if wildcards else r"[{}|]"

    def text(part: str) -> str:
        if not any(sign in part for sign in ("{", "}", "|", "__")):
            return part
        return re.sub(signs, lambda found: f"\\{found[0]}", part)

    return "".join(
        text(part) if isinstance(part, str) else f"{{{part.name}}}" for part in parts if isinstance(part, str | Variable)
    )
