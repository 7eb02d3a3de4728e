"""The Jinja in which templates run: it prints JSON, reaches no Python, and no text can break out of its place.

Every ``{{ expression }}`` prints exactly one JSON value. Placeholders get through where a value is only printed or passed along,
and raise `Observed` elsewhere. What a template prints or keeps has at most 16 Mi characters; a template that runs without end is
the user's own, and ended with Ctrl-C.
Does not know which values a template sees, and what its output means.
"""

from __future__ import annotations

import functools
import json
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, cast

import jinja2
from jinja2 import filters, nodes, runtime, sandbox
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.loaders import split_template_path
from jinja2.runtime import Context
from markupsafe import Markup

from comfy_runner.errors import TemplateError
from comfy_runner.templating.kept_comments import line_of_opening, with_kept_comments
from comfy_runner.templating.placeholders import Placeholder, captured, marked_up, output_of, refuse, token_of
from comfy_runner.text_files import is_file, read, shown

MOST_OUTPUT = 1 << 24
"""Characters that a template prints, or keeps of what it has printed, at most; a value that is merely printed counts as a few."""

KEEP_BRACES = "write {% raw %} before and {% endraw %} after a text that must keep its {{, {% or {#"
"""The way out for a text that Jinja takes for its own."""

_MOST_BITS = 3322  # of a number of 1000 digits
_MOST_REPEATED = 1 << 20
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+(?=>)")
_NO_VALUE = re.compile(r"'dict object' has no attribute '(.*)'")
_REPLACED = "Macro, joined_plain as str_join, joined_text as markup_join, marked_up as Markup"
# None of these prints text as it is, which would let a recipe's text end a JSON string, or makes another job each time.
_FILTERS = (
    "abs attr batch capitalize count d default dictsort filesizeformat first float format groupby int items join last length "
    "list lower map max min reject rejectattr replace reverse round select selectattr slice sort string sum title tojson trim "
    "truncate unique upper urlencode wordcount"
)
# These make a text of whatever they are given; so do `join`, `~` and `%`.
_MAKE_TEXT = frozenset(("capitalize", "lower", "replace", "string", "title", "trim", "truncate", "upper", "urlencode", "wordcount"))
_TEXT = (
    "capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle "
    "isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split splitlines "
    "startswith strip swapcase title upper"
)
_WITH_TEXT = (str, int, float, type(None), range, jinja2.Undefined)
_METHODS: tuple[tuple[type | tuple[type, ...], frozenset[str]], ...] = (
    (str, frozenset(_TEXT.split())),
    (dict, frozenset(("copy", "get", "items", "keys", "values"))),
    ((list, tuple, range), frozenset(("count", "index"))),
    ((int, float), frozenset(("bit_length", "is_integer"))),
    (type, frozenset()),
)


class TooMuch(Exception):
    """A template wants more than it may have."""


class NoText(Exception):
    """A template makes a text of what has none but a description of where it lies in memory, which is another one each time."""


def environment(search: Sequence[Path]) -> Environment:
    """Return an environment in which templates of these folders are rendered, one after the other."""
    return Environment(
        loader=_loader(search),
        undefined=jinja2.StrictUndefined,
        # Without autoescape the output of a macro, already JSON, would be encoded a second time.
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printed,
    )


class Environment(sandbox.ImmutableSandboxedEnvironment):
    """A sandbox through which placeholders pass unseen; for one rendering at a time."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.globals.pop("lipsum")
        self.filters = {name: _guarded(cast(Callable[..., Any], self.filters[name]), name) for name in _FILTERS.split()}
        self.filters |= {"d": _default, "default": _default, "join": _join, "tojson": _tojson}
        self.tests = {name: _guarded(cast(Callable[..., Any], function)) for name, function in self.tests.items()}
        self.tests |= {"defined": lambda value: not _is_undefined(value), "undefined": _is_undefined}

    def text_of(self, name: str, values: dict[str, Any]) -> str:
        """Return what a template prints.

        Raises:
            Exception: Whatever an expression in a template can raise.
            Observed: It looks at a placeholder.
        """
        if self.cache is not None:
            self.cache.clear()  # a template that was imported has variables
        text: Any = self.get_template(name).render(values)
        return output_of(text) or text

    @staticmethod
    def concat(pieces: Iterable[str]) -> Any:
        """Return the pieces of a template's output as one, opaque if there are tokens in it.

        Raises:
            TooMuch: They are too long.
        """
        kept: list[str] = []
        length = 0
        for made in pieces:
            # What is called with a block is put out as it is.
            piece: Any = output_of(made) or made
            length += len(piece)
            if length > MOST_OUTPUT:
                raise TooMuch(f"prints more than the {MOST_OUTPUT} characters that a template may")
            kept.append(piece)
        return captured("".join(kept))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute ``left operator right``."""
        refuse((left, right))
        if operator in ("*", "**"):
            _refuse_large(operator, left, right)
        if operator == "%" and isinstance(left, str):
            _refuse_textless((right,))
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may have this attribute: of Python's own types only methods that change nothing."""
        for kind, allowed in _METHODS:
            if isinstance(obj, kind):
                return attr in allowed
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Leave ``str.format`` to `is_safe_attribute`: a width such as ``{:>999999999}`` is an attack of its own."""
        del value
        return None

    def preprocess(self, source: str, name: str | None = None, filename: str | None = None) -> str:
        """Return a template as it is compiled: texts with ``{#`` and ``#}`` in them are kept."""
        kept = with_kept_comments(source, self.lex(source, name, filename)) if "{#" in source else source
        return super().preprocess(kept, name, filename)

    def compile(self, source: Any, name: Any = None, filename: Any = None, *args: Any, **options: Any) -> Any:
        """Compile a template, or return what came of the same text before; all environments compile alike."""
        if not isinstance(source, str) or args or options:
            return super().compile(source, name, filename, *args, **options)
        return _compiled(source, name, filename)

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        # Templates get these as globals of their code, where they would otherwise have Jinja's.
        return f"{super()._generate(source, *args, **options)}\nfrom {__name__} import {_REPLACED}\n"


@lru_cache(maxsize=256)
def _compiled(source: str, name: str | None, filename: str | None) -> CodeType:
    return sandbox.ImmutableSandboxedEnvironment.compile(environment([]), source, name, filename)


class _Template(jinja2.Template):
    """A template whose import is no text."""

    def make_module(self, *args: Any, **options: Any) -> TemplateModule:
        made = super().make_module(*args, **options)
        made._body_stream = []
        return made


Environment.template_class = _Template


class Macro(runtime.Macro):
    """A macro whose output may have tokens in it."""

    def _invoke(self, arguments: list[Any], autoescape: bool) -> str:
        made: str = self._func(*arguments)
        return marked_up(made) if autoescape else made


def _loader(search: Sequence[Path]) -> jinja2.BaseLoader:
    """Return what reads templates of these folders, once, with the same limits as all files that people write."""

    @functools.cache
    def found(template: str) -> tuple[str, str, Callable[[], bool]] | None:
        steps = split_template_path(template)
        path = next((path for folder in search if is_file(path := folder.joinpath(*steps))), None)
        return None if path is None else (read(path, error=TemplateError), str(path), lambda: True)

    return jinja2.FunctionLoader(found)


@lru_cache(maxsize=256)
def _guarded(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """Return a filter, of a name, or test that takes no placeholder; those within a list look after themselves."""
    makes_text = name in _MAKE_TEXT

    @functools.wraps(function)  # with the marks by which Jinja knows what to call it with
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refuse(args)
        refuse(kwargs.values())
        if makes_text:
            # Jinja gives some of them what surrounds them.
            _refuse_textless(each for each in args if not isinstance(each, (jinja2.Environment, nodes.EvalContext)))
        return function(*args, **kwargs)

    return guarded


def _is_undefined(value: Any) -> bool:
    return type(value) is not Placeholder and isinstance(value, jinja2.Undefined)


# What asks for the context is not computed while a template is compiled, when constants would be escaped as HTML.


@jinja2.pass_context
def _default(_context: Context, value: Any, default_value: Any = "", boolean: Any = False) -> Any:
    refuse((boolean, value) if type(boolean) is Placeholder or boolean else ())
    return value if type(value) is Placeholder else filters.do_default(value, default_value, boolean)


@jinja2.pass_eval_context
def _join(eval_context: nodes.EvalContext, value: Any, d: Any = "", attribute: Any = None) -> Any:
    refuse((value, d, attribute))
    found = list(value)
    if attribute is None:
        _refuse_textless(found)
    return filters.do_join(eval_context, found, d, attribute)


def joined_text(values: Iterable[Any]) -> Any:
    """Return what ``~`` makes of values."""
    found = list(values)
    _refuse_textless(found)
    return runtime.markup_join(found)


def joined_plain(values: Iterable[Any]) -> str:
    """Return what ``~`` makes of values where a template has turned escaping off."""
    found = list(values)
    _refuse_textless(found)
    return runtime.str_join(found)


def _refuse_textless(values: Iterable[Any]) -> None:
    """Raise `NoText` for what is no value, such as a generator or a function, also within lists."""
    for value in values:
        if type(value) is Placeholder:  # it looks after itself
            continue
        if isinstance(value, (dict, list, tuple)):
            _refuse_textless([*value.keys(), *value.values()] if isinstance(value, dict) else value)
        elif not isinstance(value, _WITH_TEXT):
            kind = "a sequence that is not made yet" if isinstance(value, Iterable) else "a function or an object"
            raise NoText(f"makes a text of {kind} (got {type(value).__name__}), which would be another one at each rendering")


@jinja2.pass_context
def _tojson(_context: Context, value: Any) -> Any:
    return marked_up(captured(_to_json(value)))


@jinja2.pass_context
def _printed(_context: Context, value: Any) -> Markup:
    """Return what an expression prints: its value as JSON, or the token of one of the job's values."""
    output = output_of(value)
    if isinstance(output, Markup):
        return output
    if type(value) is not Placeholder and isinstance(value, Markup):  # what a macro has printed
        return value
    return Markup(token_of(value, alone=True) or _to_json(value))  # noqa: S704 - what printing the value has to give


def _other(value: Any) -> Any:
    """Return what `json` does not know as what it does."""
    if type(value) is Placeholder:
        return int(token_of(value, alone=False) or "")
    if isinstance(value, jinja2.Undefined):
        str(value)  # a StrictUndefined raises, naming itself
    raise TypeError(f"{type(value).__name__} is not JSON value")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_other).encode


def _to_json(value: Any) -> str:
    # json asks what it is before it asks `_other`
    return token_of(value, alone=False) or "" if type(value) is Placeholder else _encode(value)


def _refuse_large(operator: str, left: Any, right: Any) -> None:
    """Raise `TooMuch` for a product or a power that is too large to be meant."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() + right.bit_length() if operator == "*" else left.bit_length() * max(0, right)
        if bits > _MOST_BITS:
            raise TooMuch("makes a number of more than 1000 digits")
        return
    count, repeated = (left, right) if isinstance(left, int) else (right, left)
    if isinstance(count, int) and isinstance(repeated, (str, list, tuple)) and count * len(repeated) > _MOST_REPEATED:
        raise TooMuch(f"repeats a text or a list to more than {_MOST_REPEATED} items")


def failure(error: Exception, path: Path) -> TemplateError:
    """Return the error of ours for whatever a template, found at a path, has raised; it names the innermost line."""
    if isinstance(error, TemplateError):  # an imported file cannot be read
        return error
    if isinstance(error, jinja2.TemplateSyntaxError):  # in an imported file, too
        file = Path(error.filename or path)
        line = line_of_opening(error.source or "", error.lineno)
        return TemplateError(said(error), where=f"{shown(file if file.is_file() else path)}:{line}", hint=KEEP_BRACES)
    where = _place(error, path)
    if isinstance(error, jinja2.TemplateNotFound):
        hint = "imported files are looked for beside the template, then in the template folders"
        return TemplateError(f"imports a file that does not exist (got {error.message})", where=where, hint=hint)
    if isinstance(error, TooMuch):
        return TemplateError(str(error), where=where, hint="docs/templates.md lists the limits")
    if isinstance(error, NoText):
        hint = "write `| list` after a filter such as map, select or reject, and `()` after a function"
        return TemplateError(str(error), where=where, hint=hint)
    if isinstance(error, RecursionError):
        return TemplateError("is nested too deeply, or calls itself endlessly", where=where)
    if isinstance(error, SecurityError):
        return TemplateError(f"forbidden in a template: {said(error)}", where=where)
    if isinstance(error, jinja2.UndefinedError):
        hint = f"docs/templates.md lists what a template sees; parameters are written params.NAME; {KEEP_BRACES}"
        return TemplateError(_NO_VALUE.sub(r"there is no value called \1", said(error)), where=where, hint=hint)
    return TemplateError(f"{said(error)} ({type(error).__name__})", where=where)


def said(error: Exception | str) -> str:
    """Return another library's message in our style, without the addresses of objects, which differ each time."""
    text = _ADDRESS.sub("", str(error.message if isinstance(error, jinja2.TemplateError) else error)).rstrip(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _place(error: Exception, path: Path) -> str:
    """Return the innermost line of a template that an error comes from; Jinja puts its templates into the traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.endswith(".py") and Path(frame.filename).is_file():
            return f"{shown(Path(frame.filename))}:{frame.lineno}"
    return shown(path)
