"""The Jinja in which templates run: it prints JSON, reaches no Python, and every step of it is charged for.

Charged is each step of a loop, each call, each operator, each filter with what goes in and what comes out, each piece of output;
`budget` says how much. Holes get through where a value is only printed or passed along, and raise `Observed` elsewhere.
Not here: which values a template sees, and what its output means.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import jinja2
from jinja2 import nodes, sandbox
from jinja2.loaders import split_template_path
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from comfy_runner.errors import TemplateError
from comfy_runner.templating.budget import EACH, JOINED, METER, SEALED, Budget, refuse, refuse_alone, to_json
from comfy_runner.templating.placeholders import Hole, Marks, output_of, text_of
from comfy_runner.text_files import is_file, read

_LOAD = 10_000
# None of these prints text as it is, which would let a recipe's text end a JSON string, makes another job each time, or makes
# something large out of a number.
_FILTERS = (
    "abs attr batch capitalize count d default dictsort filesizeformat first float format groupby int items join last length "
    "list lower map max min reject rejectattr replace reverse round select selectattr slice sort string sum title tojson trim "
    "truncate unique upper urlencode wordcount"
)
_TEXT = (
    "capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle "
    "isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split splitlines "
    "startswith strip swapcase title upper"
)
# These only move the items of what they are given, or ask of what kind it is: an item may be a hole.
_BLIND = (
    "batch count first items last length list reverse slice boolean callable false float integer iterable mapping none number "
    "sequence string true"
)
_OF_HOLES = frozenset(("d", "default", METER, EACH, JOINED, SEALED, "tojson", "defined", "undefined"))
_METHODS: tuple[tuple[type | tuple[type, ...], frozenset[str]], ...] = (
    (str, frozenset(_TEXT.split())),
    (dict, frozenset(("copy", "get", "items", "keys", "values"))),
    ((list, tuple, range), frozenset(("count", "index"))),
    ((int, float), frozenset(("bit_length", "is_integer"))),
    (type, frozenset()),
)


def environment(search: Sequence[Path]) -> Environment:
    """Return an environment in which templates of these folders are rendered, one after the other."""
    made = Environment(
        loader=_Loader(search),
        undefined=jinja2.StrictUndefined,
        # Without autoescape the output of a macro, already JSON, would be encoded a second time.
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.finalize = _printer(made)
    return made


class Environment(sandbox.ImmutableSandboxedEnvironment):
    """A sandbox with a budget that belongs to one rendering at a time; files are read and compiled once."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.marks = Marks("")
        self.budget = Budget(self.marks)
        self._compiled: dict[tuple[str, str | None, str | None], types.CodeType] = {}
        self.globals.pop("lipsum")
        filters = {name: self.filters[name] for name in _FILTERS.split()} | self.budget.filters()
        self.filters = {name: self._guarded(name, function) for name, function in filters.items()}
        self.tests = {name: self._guarded(name, cast(Callable[..., Any], function)) for name, function in self.tests.items()}
        self.tests["defined"] = lambda value: not _is_undefined(value)
        self.tests["undefined"] = _is_undefined

    def begin(self, marks: Marks) -> None:
        """Begin a rendering: with a budget of its own, and nothing left of the one before.

        Args:
            marks: How values that know their leaf, and holes, are marked where they are printed.
        """
        self.marks = marks
        self.budget.renew(marks)
        if self.cache is not None:
            self.cache.clear()  # a template that was imported has variables

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja
        """Call a macro, a method or a global."""
        if isinstance(__obj, types.BuiltinMethodType):
            args = tuple(__self.budget.charge_method(__obj.__self__, __obj.__name__, args))
        return __self.budget.output(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute ``left operator right``."""
        self.budget.charge_operator(operator, left, right)
        made = super().call_binop(context, operator, left, right)
        if isinstance(made, str):
            self.marks.refuse(made)
        return made

    def call_filter(self, name: str, value: Any, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """Apply the filter that ``map`` names to one item."""
        self.budget.charge(value, args, kwargs)
        return self.budget.metered(super().call_filter(name, value, args, kwargs, *rest, **options))

    def call_test(self, name: str, value: Any, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """Apply the test that ``select`` or ``reject`` names to one item."""
        self.budget.charge(value, args, kwargs)
        return super().call_test(name, value, args, kwargs, *rest, **options)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may have this attribute: of Python's own types only methods that make nothing large."""
        for kind, allowed in _METHODS:
            if isinstance(obj, kind):
                return attr in allowed
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Leave ``str.format`` to `is_safe_attribute`: a width such as ``{:>999999999}`` is an attack of its own."""
        del value
        return None

    def get_template(self, *args: Any, **options: Any) -> jinja2.Template:
        """Load a template that is imported or included."""
        self.budget.spend(_LOAD)
        return super().get_template(*args, **options)

    def select_template(self, *args: Any, **options: Any) -> jinja2.Template:
        """Load the first of some templates that is there."""
        self.budget.spend(_LOAD)
        return super().select_template(*args, **options)

    def compile(self, source: Any, name: Any = None, filename: Any = None, *args: Any, **options: Any) -> Any:
        """Compile a template, or return what came of it before."""
        key = (source, name, filename)
        if key not in self._compiled:
            self._compiled[key] = super().compile(source, name, filename, *args, **options)
        return self._compiled[key]

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a filter or test that takes no hole; its output where it is that of a block, neither."""
        if name in _OF_HOLES:
            return function
        look = refuse_alone if name in _BLIND.split() else refuse

        @functools.wraps(function)  # with the marks by which Jinja knows what to call it with
        def guarded(*args: Any, **kwargs: Any) -> Any:
            given = (*args, *kwargs.values())
            look(given)
            for value in given:
                if isinstance(value, str):
                    self.marks.refuse(value)
            return function(*args, **kwargs)

        return guarded

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        return super()._generate(_Metering(self).visit(source), *args, **options)


class _Loader(jinja2.FileSystemLoader):
    """Reads templates with the same limits as all files that people write."""

    def __init__(self, search: Sequence[Path]) -> None:
        super().__init__(search, encoding="utf-8-sig")
        self._texts: dict[str, tuple[str, str]] = {}

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        del environment
        if template not in self._texts:
            self._texts[template] = self._found(template)
        return *self._texts[template], lambda: True

    def _found(self, template: str) -> tuple[str, str]:
        steps = split_template_path(template)
        for folder in self.searchpath:
            path = Path(folder, *steps)
            if is_file(path):
                return read(path, error=TemplateError), str(path)
        raise jinja2.TemplateNotFound(template)


class _Metering(NodeTransformer):
    """Puts the meter into a parsed template, wherever the environment is not asked anyway."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:  # noqa: N802 - as Jinja calls it
        # As an expression it goes through the printer, which charges for it.
        return self._like(node, nodes.MarkSafe(self._like(node, nodes.Const(node.data))))

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.iter = self._applied(EACH, node.iter)
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._applied(SEALED, node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        sealed = node.call
        if isinstance(sealed, nodes.Filter) and isinstance(sealed.node, nodes.Call):
            node.call = sealed.node  # what it makes is printed at once
        return node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node | list[nodes.Node]:  # noqa: N802
        self.generic_visit(node)
        loaded: nodes.Expr
        if isinstance(node.target, nodes.Name):
            loaded = self._like(node, nodes.Name(node.target.name, "load"))
        elif isinstance(node.target, nodes.NSRef):
            loaded = self._like(node, nodes.Getattr(nodes.Name(node.target.name, "load"), node.target.attr, "load"))
        else:  # several names take a text apart
            node.filter = cast(nodes.Filter, self._applied(METER, cast(nodes.Expr, node.filter)))
            return node
        sealed = nodes.Assign(node.target, self._applied(SEALED, loaded))
        sealed.set_lineno(node.lineno)
        sealed.set_environment(self._environment)
        return [node, sealed]

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._applied(JOINED, self._through(self._like(node, nodes.List(node.nodes))))

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = self._through(node.expr)
        for operand in node.ops:
            operand.expr = self._through(operand.expr)
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self._visit_applied(node)
        # {% filter %} and {% set %} need the filter itself; what they take and make is output, and charged there.
        return node if _is_of_a_block(node) else self._through(node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self._visit_applied(node)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._through(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._through(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._through(node) if node.ctx == "load" else node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._through(node) if isinstance(node.arg, nodes.Slice) else node

    def _visit_applied(self, node: nodes.Filter | nodes.Test) -> None:
        self.generic_visit(node)
        if node.node is not None and not isinstance(node.node, nodes.Filter):
            node.node = self._through(node.node)
        node.args = [self._through(arg) for arg in node.args]
        for pair in node.kwargs:
            pair.value = self._through(pair.value)

    def _through(self, node: nodes.Expr) -> nodes.Expr:
        return node if isinstance(node, nodes.Const) else self._applied(METER, node)

    def _applied(self, name: str, node: nodes.Node) -> nodes.Expr:
        return self._like(node, nodes.Filter(node, name, [], [], None, None))

    def _like(self, node: nodes.Node, made: nodes.Expr) -> nodes.Expr:
        made.set_lineno(node.lineno)
        made.set_environment(self._environment)
        return made


def _is_of_a_block(node: nodes.Filter) -> bool:
    inner: nodes.Expr | None = node
    while isinstance(inner, nodes.Filter):
        inner = inner.node
    return inner is None


def _is_undefined(value: Any) -> bool:
    return type(value) is not Hole and isinstance(value, jinja2.Undefined)


def _printer(made: Environment) -> Callable[[Any, Any], Markup]:
    """Return what turns each printed value into JSON, marked where it is a leaf of the job's values."""

    # With the context asked for, Jinja does not fold constants, which it would escape as HTML before they get here.
    @jinja2.pass_context
    def printed(_context: Context, value: Any) -> Markup:
        made.budget.charge(value)
        if type(value) is Hole:
            if text_of(value) is not None:
                return output_of(value)
            return Markup(to_json(made.marks.hole(value, alone=True), made.marks))  # noqa: S704
        if isinstance(value, Markup):  # what a macro has printed, or the template's own text
            return value
        text = to_json(value, made.marks)
        leaf = getattr(value, "_leaf", None) if made.marks.key else None
        return Markup(text if leaf is None else made.marks.tag(leaf, text))  # noqa: S704

    return printed
