"""The Jinja in which templates run: it prints JSON, reaches no Python, and every step of it is charged for.

Charged is each step of a loop, each call, each operator, each filter with what goes in and what comes out, each piece of output;
`budget` says how much. Not here: which values a template sees, and what its output means.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes, sandbox
from jinja2.loaders import split_template_path
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from comfy_runner.errors import TemplateError
from comfy_runner.textfile import is_file, read
from comfy_runner.workflow.budget import EACH, JOINED, METER, Budget, to_json

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
_METHODS: tuple[tuple[type | tuple[type, ...], frozenset[str]], ...] = (
    (str, frozenset(_TEXT.split())),
    (dict, frozenset(("copy", "get", "items", "keys", "values"))),
    ((list, tuple, range), frozenset(("count", "index"))),
    ((int, float), frozenset(("bit_length", "is_integer"))),
    (type, frozenset()),
)


def environment(search: Sequence[Path], *, source_key: str = "") -> Environment:
    """Return an environment for one rendering.

    Args:
        search: The folders of templates.
        source_key: Under which a value that knows its recipe field prints as ``{key: [field, value]}``; empty for plain values.
    """
    made = Environment(
        loader=_Loader(search),
        undefined=jinja2.StrictUndefined,
        # Without autoescape the output of a macro, already JSON, would be encoded a second time.
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.finalize = _printer(made, source_key)
    return made


class Environment(sandbox.ImmutableSandboxedEnvironment):
    """A sandbox with a budget that belongs to one rendering."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.budget = Budget()
        self.globals.pop("lipsum")
        self.filters = {name: self.filters[name] for name in _FILTERS.split()} | self.budget.filters()

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in Jinja
        """Call a macro, a method or a global."""
        if isinstance(__obj, types.BuiltinMethodType):
            args = tuple(__self.budget.charge_method(__obj.__self__, __obj.__name__, args))
        return __self.budget.metered(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute ``left operator right``."""
        self.budget.charge_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)

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

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        return super()._generate(_Metering(self).visit(source), *args, **options)


class _Loader(jinja2.FileSystemLoader):
    """Reads templates with the same limits as all files that people write."""

    def __init__(self, search: Sequence[Path]) -> None:
        super().__init__(search, encoding="utf-8-sig")

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        del environment
        steps = split_template_path(template)
        for folder in self.searchpath:
            path = Path(folder, *steps)
            if is_file(path):
                return read(path, error=TemplateError), str(path), lambda: True
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


def _printer(made: Environment, source_key: str) -> Callable[[Any, Any], Markup]:
    """Return what turns each printed value into JSON; a tagged one, if there is a key, into ``{key: [source, value]}``."""

    # With the context asked for, Jinja does not fold constants, which it would escape as HTML before they get here.
    @jinja2.pass_context
    def printed(_context: Context, value: Any) -> Markup:
        made.budget.charge(value)
        if isinstance(value, Markup):  # what a macro has printed, or the template's own text
            return value
        text = to_json(value)
        source = getattr(value, "_source", None) if source_key else None
        return Markup(f"{{{json.dumps(source_key)}: [{json.dumps(source)}, {text}]}}" if source else text)  # noqa: S704

    return printed
