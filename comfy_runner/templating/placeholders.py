"""Placeholders: what a template gets instead of a job's values, so that one rendering serves all jobs which differ in them.

A placeholder prints as a token, a number that no text contains, and can be passed along; after the output is read as JSON, values
are put in the places of their tokens. A placeholder shows nothing else: not its type, its truth, its text. Whatever would have to
know it raises `Observed`, and the template is rendered again with that one value given.
Does not decide what is rendered again (`compiled`), and does not know Jinja (`environment`).
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from markupsafe import Markup

REFERENCE, NAMED, PLAIN = range(3)
"""How a value is given to a template: as a placeholder; as itself, but printed as a token where it is printed alone; as itself."""

_PREFIX = str(secrets.randbelow(9 * 10**19) + 10**19)
_TOKEN = re.compile(_PREFIX + r"([01])(\d{6})")
_MOST_VALUES = 10**6
_LARGEST = 1 << 64
_EXACT = frozenset((str, bool, type(None)))

_OPERATORS = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or"
_METHODS = """
    eq ne lt le gt ge hash bool len length_hint iter next reversed contains getitem setitem delitem missing str repr bytes format
    html html_format int float complex index neg pos abs invert round trunc floor ceil call enter exit await aiter anext dir
    sizeof reduce reduce_ex getstate copy deepcopy fspath buffer setattr delattr
"""


class Observed(BaseException):
    """A template looked at what it was not to see.

    It is no `Exception`, because Jinja takes many of those for an answer.

    Attributes:
        needed: How each observed value, by its index, has to be given instead.
    """

    def __init__(self, needed: Mapping[int, int]) -> None:
        super().__init__(needed)
        self.needed = dict(needed)


class Placeholder:
    """An opaque value: one of a job's values, or a piece of output that has tokens in it.

    Args:
        index: Which of the job's values it stands for, in reading order.
        text: The output that it stands for instead; Markup where it is JSON already.
    """

    __slots__ = ("index", "text")

    index: int
    text: str | None

    def __init__(self, index: int, text: str | None = None) -> None:
        _INDEX_OF.__set__(self, index)
        _TEXT_OF.__set__(self, text)


_INDEX_OF: Any = Placeholder.__dict__["index"]
_TEXT_OF: Any = Placeholder.__dict__["text"]


def observed(placeholder: Placeholder) -> Observed:
    """Return the error that says what a placeholder has to be instead."""
    text = _TEXT_OF.__get__(placeholder)
    # Output with the tokens of named values in it is no more what the template would see than output with placeholders.
    return Observed({_INDEX_OF.__get__(placeholder): NAMED} if text is None else plainly(text))


def _observe(self: Placeholder, *_args: Any, **_kwargs: Any) -> NoReturn:
    raise observed(self)


for _name in (*_METHODS.split(), *(prefix + name for name in _OPERATORS.split() for prefix in ("", "r", "i"))):
    setattr(Placeholder, f"__{_name}__", _observe)
Placeholder.__getattribute__ = _observe  # type: ignore[method-assign, assignment] # from here on an instance shows nothing at all


def refuse(values: Iterable[Any]) -> None:
    """Raise `Observed` if one of these values is a placeholder; what is in lists and mappings does not count."""
    for value in values:
        if type(value) is Placeholder:
            raise observed(value)


# Texts and numbers that know which of the job's values they are, under a name that the sandbox keeps from templates.
_NAMED: dict[type, Any] = {kind: type(f"Named{kind.__name__}", (kind,), {"_index": -1}) for kind in (str, int, float)}
_NAMED_KINDS = frozenset(_NAMED.values())


def captured(text: str) -> Any:
    """Return output that a template keeps to use it further: as it is, or opaque where it has tokens."""
    return Placeholder(-1, text) if _PREFIX in text else text


def marked_up(text: Any) -> Any:
    """Return captured output as what needs no encoding any more; takes the place of Jinja's ``Markup``."""
    if type(text) is Placeholder:
        return Placeholder(-1, Markup(_TEXT_OF.__get__(text)))  # noqa: S704 - a template's own output, JSON already
    return Markup(text)  # noqa: S704


def output_of(value: Any) -> str | None:
    """Return the output that a captured placeholder stands for; None for all else."""
    found: str | None = _TEXT_OF.__get__(value) if type(value) is Placeholder else None
    return found


def token_of(value: Any, *, alone: bool) -> str | None:
    """Return the token that a value prints as: a placeholder's, or that of a value that knows which it is; None for all else.

    Args:
        value: The value.
        alone: Whether it is printed by itself; what is within a printed list or object has no place that could be told.

    Raises:
        Observed: It is output that would be encoded a second time.
    """
    if type(value) is not Placeholder:
        return f"{_PREFIX}1{value._index:06d}" if type(value) in _NAMED_KINDS else None
    if _TEXT_OF.__get__(value) is not None:
        raise observed(value)
    return f"{_PREFIX}{int(alone)}{_INDEX_OF.__get__(value):06d}"


def read_token(text: str) -> tuple[int, bool] | None:
    """Return which value a number of the output stands for, and whether it was printed alone; None for a mere number.

    Raises:
        Observed: A token is only a part of the number.
    """
    if _PREFIX not in text:
        return None
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise Observed(plainly(text))
    return int(found[2]), found[1] == "1"


def plainly(text: str) -> dict[int, int]:
    """Return the values whose tokens are in a text, as those that have to be given plainly."""
    return {int(found[2]): PLAIN for found in _TOKEN.finditer(text)}


def plainly_at(text: str, position: int) -> dict[int, int]:
    """Return the same for the tokens that touch a place in a text."""
    found = _TOKEN.finditer(text, max(0, position - 64), position + 64)
    return {int(each[2]): PLAIN for each in found if each.start() - 1 <= position <= each.end()}


def take_apart(values: Mapping[str, Any]) -> tuple[tuple[Any, ...] | None, list[Any]]:
    """Return the form of a job's values, and the scalars in reading order.

    The form is the keys, the lengths and the types: jobs of one form differ in nothing but scalars. It is None where there is
    anything that JSON would not write and read back as it is; then two values of one form might differ unseen.
    """
    form: list[Any] = []
    found: list[Any] = []
    plain = _walk(dict(values), form, found)
    return tuple(form) if plain and len(found) <= _MOST_VALUES else None, found


def _walk(value: Any, form: list[Any], found: list[Any]) -> bool:
    if type(value) is dict:
        form.append(tuple(value))
        items: Iterable[Any] = value.values()
    else:
        form.append(len(value))
        items = value
    plain = True
    for item in items:
        kind = type(item)
        if kind is dict or kind is list:
            plain &= _walk(item, form, found)
            continue
        form.append(kind)
        found.append(item)
        if kind is int:
            plain &= -_LARGEST <= item <= _LARGEST
        elif kind is float:
            plain &= math.isfinite(item)
        else:
            plain &= kind in _EXACT
    return plain


def has_plain_keys(value: Any) -> bool:
    """Return whether all keys are texts, so that two forms are equal only where they look equal."""
    if type(value) is dict:
        return all(type(key) is str and has_plain_keys(item) for key, item in value.items())
    return type(value) is not list or all(map(has_plain_keys, value))


def fields_of(values: Mapping[str, Any]) -> list[str]:
    """Return the dotted field of each scalar of a job's values, in reading order: ``loras.1.name``."""
    found: list[str] = []
    _put_together(values, "", lambda _value, field: found.append(field))
    return found


def given(values: Mapping[str, Any], levels: Sequence[int]) -> Any:
    """Return a job's values as a template gets them: each scalar at its level.

    True, false and null cannot know which they are, and are plain where they are no placeholders.
    """
    each = enumerate(levels)

    def leaf(value: Any, _field: str) -> Any:
        index, level = next(each)
        if level == REFERENCE:
            return Placeholder(index)
        named = _NAMED.get(type(value)) if level == NAMED else None
        if named is None:
            return value
        made = named(value)
        made._index = index
        return made

    return _put_together(values, "", leaf)


def _put_together(value: Any, field: str, leaf: Callable[[Any, str], Any]) -> Any:
    if type(value) is dict:
        return {key: _put_together(item, f"{field}.{key}" if field else str(key), leaf) for key, item in value.items()}
    if type(value) is list:
        return [_put_together(item, f"{field}.{index}", leaf) for index, item in enumerate(value)]
    return leaf(value, field)


def tells_its_field(value: Any) -> bool:
    """Return whether a value that is printed alone tells its field, however it is given: a text or a number."""
    return type(value) in _NAMED


def same_only(value: Any) -> Any:
    """Return what two scalars of one type share exactly where they are written alike: -0.0 is not 0.0."""
    return repr(value) if type(value) is float else value
