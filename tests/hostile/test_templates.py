"""Templates and their headers: they reach no Python and break nothing, and what they print stays small, whatever is in them."""

from __future__ import annotations

import _thread
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import ComfyRunnerError, TemplateError
from comfy_runner.graph.filled import Filled
from comfy_runner.templating.lookup import find_template
from tests.graph.support import render, values
from tests.hostile.tally import survives
from tests.hostile.values import TEXTS, deep, mangled, many, seeded, spoiled

_GRAPH = '{"save": {"class_type": "SaveText", "inputs": {"value": %s, "filename_prefix": "x"}}}'
_LONG = "z" * 9999

BOMBS = (
    # arithmetic and repetition
    "{{ 10 ** (10 ** 9) }}",
    "{{ 2 ** 2 ** 9 ** 9 }}",
    "{{ 'x' * 10**9 }}",
    "{{ 10**9 * 'x' }}",
    "{{ [0] * 10**9 }}",
    "{% set ns = namespace(a=2) %}{% for i in range(99) %}{% set ns.a = ns.a * ns.a %}{% endfor %}{{ ns.a }}",
    "{% set ns = namespace(a=1) %}{% for i in range(60) %}{% set ns.a = dict(x=ns.a, y=ns.a) %}{% endfor %}{{ ns.a == ns.a }}",
    "{% for i in range(99999) %}{% set y = ('x' * 99999)[1:] %}{% endfor %}1",
    # loops and recursion
    "{{ range(10**12) }}",
    "{{ range(99999) | list == range(99999) | list }}",
    "{% for i in [1, 1] recursive %}{{ loop([i, i]) }}{% endfor %}",
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% block a %}{{ self.a() }}{% endblock %}",
    "{% include 'mine.json.j2' %}",
    "{% include ['no', 'mine.json.j2'] %}",
    "{% import 'mine.json.j2' as x %}",
    "{% from 'mine.json.j2' import y %}",
    "{% extends 'mine.json.j2' %}",
    "{% for i in range(99999) %}{% include 'other' %}{% endfor %}",
    "{% include '/etc/passwd' %}",
    "{% include '../../../etc/passwd' %}",
    "{% include 'x\\0y' %}",
    "{% include 'x' * 5000 %}",
    "{% include '/dev/zero' %}",
    # output that is kept
    "{% set x %}{% for i in range(99999) %}" + _LONG + "{% endfor %}{% endset %}{{ x }}",
    "{% filter upper %}{% for i in range(99999) %}" + _LONG + "{% endfor %}{% endfilter %}",
    # filters and methods
    "{{ 'x' | center(10**9) }}",
    "{{ 'x' | indent(10**9, true) }}",
    "{{ 'x y' | wordwrap(1, wrapstring='x' * 10**9) }}",
    "{{ [1] | map('batch', 10**9, 0) | list }}",
    "{{ 1.5 | round(10**9) }}",
    "{{ [1] | tojson(indent=10**9) }}",
    "{{ ('f' * 99999) | int(base=16) }}",
    "{{ '{:999999999}'.format(1) }}",
    "{{ '{:{}}'.format(1, 999999999) }}",
    "{{ 'x'.center(10**9) }}",
    "{{ 'x'.ljust(10**9) }}",
    "{{ 'x'.rjust(10**9) }}",
    "{{ 'x'.zfill(10**9) }}",
    "{{ '\t'.expandtabs(10**9) }}",
    "{{ 'x'.translate({120: 'y' * 10**9}) }}",
    "{{ (1).to_bytes(10**9, 'big') }}",
    "{{ lipsum(10**9) }}",
    "{{ cycler(*range(99999)) }}",
    "{{ dict.fromkeys(range(99999)) }}",
)
ESCAPES = (
    "''.__class__.__mro__[1].__subclasses__()",
    "''['__class__']",
    "'' | attr('__class__')",
    "'' | attr('__cl' ~ 'ass__')",
    "[''] | map(attribute='__class__') | list",
    "[''] | map('attr', '__class__') | list",
    "['x'] | groupby('__class__')",
    "['x'] | sort(attribute='__class__.__mro__')",
    "['x'] | selectattr('__class__', 'defined') | list",
    "'{0.__class__}'.format(1)",
    "'{0.__class__}'.format_map({'0': 1})",
    "'%s' | attr('format')",
    "('{0.__class__}' | string).format(1)",
    "['{0.__class__}'] | map('format', 1) | list",
    "self.__init__.__globals__",
    "self._TemplateReference__context",
    "cycler.__init__.__globals__.os.popen('id').read()",
    "joiner.__init__.__globals__",
    "namespace.__init__",
    "range.__self__",
    "dict.__mro__",
    "(1).__class__",
    "prompt._source",
    "prompt.__class__",
    "prompt.__dict__",
    "loop._iterable",
    "x.__class__",
    "none.__class__",
    "caller.__globals__",
    "[].append(1)",
    "[].extend([1])",
    "{}.update({1: 2})",
    "{}.setdefault(1, 2)",
    "sampler.pop('name')",
    "sampler.clear()",
    "params.__setitem__('a', 1)",
    "(range(3) | map('string')).gi_frame",
    "(range(3) | map('string')).gi_frame.f_builtins",
    "(range(3) | select).gi_code",
    "namespace(a=1).__class__",
    "'x' | safe",
    "'x' | pprint",
    "[1, 2] | random",
    "'x' | urlize",
    "'x' | e",
    "'x' | the_meter",
    "open('/etc/passwd')",
    "import('os')",
    "config",
    "request",
    "environment",
    "context",
    "get_flashed_messages.__globals__",
    "1e999",
    "1e308 * 10",
    "1 // 0",
    "1 % 0",
    "0 ** -1",
    "'a' is divisibleby 0",
    "'a' < 1",
    "[] | first",
    "[] | max",
    "{1: 2} | dictsort(by='x')",
    "[1, 'a'] | sort",
    "x.y.z",
    "x()",
    "(",
    "}}",
    "{{",
    "'",
    "1 if",
    "'\\x1b[2J' ~ 1",
    "'\\0'",
    "'\\ud800'",
    "[[], {}] | unique | list",
    "{[]: 1}",
    "{1: 1, '1': 2}",
)
NESTED = (
    "(%s)",
    "[%s]",
    "-%s",
    "not %s",
    "{'a': %s}",
    "%s + 1",
    "%s ~ 1",
    "%s | abs",
    "%s.a",
    "%s[0]",
    "%s if 1 else 1",
    "%s and 1",
    "%s == 1",
    "f(%s)",
)


def use(folder: Path, text: str) -> Filled:
    (folder / "mine.json.j2").write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    (folder / "other").write_text("1", encoding="utf-8")
    made = render(find_template("mine", [folder]), values(params={"a": [1], "b": "x"}), folders=[])
    assert json.loads(made.workflow.to_json())
    return made


_CHILD = """
import resource, sys, tempfile
from pathlib import Path
from comfy_runner.errors import ComfyRunnerError
from tests.hostile.test_templates import BOMBS, _GRAPH, use
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number, bomb in enumerate(BOMBS):
    with tempfile.TemporaryDirectory() as folder:
        try:
            use(Path(folder), _GRAPH % bomb)
        except ComfyRunnerError:
            pass
unit = 1 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell how much memory a process had")
def test_no_template_takes_much_memory() -> None:
    done = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200 * 1024 * 1024


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_ends_in_an_error_or_a_small_workflow(tmp_path: Path, bomb: str) -> None:
    found = survives("template sources", lambda: use(tmp_path, _GRAPH % bomb))
    assert isinstance(found, ComfyRunnerError) or len(found.workflow.to_json()) < 100_000


@pytest.mark.parametrize(
    "endless",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}1",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(90) }}",
    ],
)
def test_a_template_that_does_not_end_is_ended_by_ctrl_c(tmp_path: Path, endless: str) -> None:
    timer = threading.Timer(1, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            use(tmp_path, _GRAPH % endless)
    finally:
        timer.cancel()


@pytest.mark.parametrize("expression", ESCAPES)
def test_an_expression_reaches_nothing_of_python(tmp_path: Path, expression: str) -> None:
    for text in (
        "{{ %s }}",
        "{%% set x = %s %%}{{ x }}",
        "{%% if %s %%}1{%% else %%}2{%% endif %%}",
        "{%% for x in %s %%}{%% endfor %%}1",
    ):
        found = survives("template sources", lambda: use(tmp_path, _GRAPH % (text % expression)))  # noqa: B023 - called at once
        said = str(found) if isinstance(found, ComfyRunnerError) else found.workflow.to_json()
        assert "root:" not in said
        assert " at 0x" not in said


@pytest.mark.parametrize("pattern", NESTED)
@pytest.mark.parametrize("levels", [30, 150, 2000])
def test_an_expression_of_any_depth_is_a_value_or_an_error(tmp_path: Path, pattern: str, levels: int) -> None:
    before, after = pattern.split("%s")
    expression = before * levels + "1" + after * levels
    survives("template sources", lambda: use(tmp_path, _GRAPH % ("{{ " + expression + " }}")))


@pytest.mark.parametrize(
    "block",
    ["if 1", "for i in [1]", "filter upper", "with", "macro m()", "set x", "block b", "call m()", "raw", "autoescape false"],
)
@pytest.mark.parametrize("levels", [1, 19, 40, 400])
def test_blocks_of_any_depth_are_a_workflow_or_an_error(tmp_path: Path, block: str, levels: int) -> None:
    text = f"{{% {block} %}}" * levels + "1" + f"{{% end{block.split()[0]} %}}" * levels
    survives("template sources", lambda: use(tmp_path, _GRAPH % text))


_NAMES = st.sampled_from(
    ["prompt", "params", "loras", "sampler", "width", "x", "loop", "self", "range", "namespace", "caller", "upscale.factor"]
)
_LITERALS = st.sampled_from(
    ["1", "0", "-1", "2.5", "10**30", "''", "'a'", "'%s'", "[]", "[1, [2]]", "{}", "{'a': 1}", "(1, 2)", "none", "true", "range(9)"]
)
_FILTERS = st.sampled_from(
    [
        "abs",
        "attr('a')",
        "batch(3)",
        "capitalize",
        "d(1)",
        "dictsort",
        "filesizeformat",
        "first",
        "float",
        "format(1)",
        "groupby('a')",
        "int",
        "items",
        "join(',')",
        "last",
        "length",
        "list",
        "lower",
        "map('upper')",
        "map(attribute='a')",
        "max",
        "min",
        "reject('none')",
        "replace('a','b')",
        "reverse",
        "round(2)",
        "select",
        "selectattr('a')",
        "slice(2)",
        "sort",
        "string",
        "sum",
        "title",
        "tojson",
        "trim",
        "truncate(3)",
        "unique",
        "upper",
        "urlencode",
        "wordcount",
        "center",
        "safe",
        "nosuch",
    ]
)
_TESTS = st.sampled_from(
    ["defined", "none", "in [1]", "divisibleby 2", "eq(1)", "sequence", "mapping", "callable", "filter", "nosuch"]
)
_OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or", "not in"])
_expressions = st.recursive(
    _NAMES | _LITERALS,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, _OPERATORS, inner),
        st.builds("({} | {})".format, inner, _FILTERS),
        st.builds("({} is {})".format, inner, _TESTS),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:]".format, inner, inner),
        st.builds(
            "{}.{}".format,
            inner,
            st.sampled_from(["a", "upper()", "items()", "__class__", "format(1)", "name", "index", "join([1])"]),
        ),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
    ),
    max_leaves=8,
)


@pytest.mark.slow
@many(250)
@given(expression=_expressions)
def test_any_expression_is_a_value_or_an_error(tmp_path: Path, expression: str) -> None:
    survives("template sources", lambda: use(tmp_path, _GRAPH % ("{{ " + expression + " }}")))


@many(100)
@given(one=_expressions, two=_expressions)
def test_any_statements_make_a_workflow_or_an_error(tmp_path: Path, one: str, two: str) -> None:
    text = f"{{% set y = {one} %}}{{% for x in {two} %}}{{% if x == y %}}{{{{ loop.index }}}}{{% endif %}}{{% endfor %}}{{{{ y }}}}"
    survives("template sources", lambda: use(tmp_path, _GRAPH % text))


def test_a_mangled_template_is_a_workflow_or_an_error(tmp_path: Path) -> None:
    sound = (Path(__file__).parents[2] / "templates" / "latent_upscale.json.j2").read_bytes()
    for seed in range(200):
        with seeded(seed) as dice:
            text = mangled(dice, sound)
            path = tmp_path / "mine.json.j2"
            path.write_bytes(text)
            survives("template sources", lambda: render(find_template("mine", [tmp_path]), values(), folders=[]))


@pytest.mark.parametrize(
    "text", [*TEXTS, deep(100_000), deep(50_000, obj=True), '{"a":1,"a":2}', "9" * 5000, '{"a":' * 900 + "1" + "}" * 900]
)
def test_a_template_of_any_text_is_an_error(tmp_path: Path, text: str) -> None:
    assert isinstance(survives("template sources", lambda: use(tmp_path, text)), ComfyRunnerError)


@pytest.mark.parametrize("name", TEXTS)
def test_a_template_of_any_name_is_found_or_is_an_error(tmp_path: Path, name: str) -> None:
    found = survives("template sources", lambda: find_template(name, [tmp_path, tmp_path / "nowhere", tmp_path / ("x" * 300)]))
    assert isinstance(found, TemplateError)


_HEADER = {
    "description": "x",
    "params": {
        "a": {"type": "list", "default": [1], "description": "d"},
        "b": {"type": "text", "choices": ["x", "y"], "default": "x"},
        "c": {"type": "number", "default": 1, "min": 0, "max": 3},
    },
}
_HEADER_KEYS = ["description", "params", "type", "default", "min", "max", "choices", "a", "integer", "number", "any"]


@pytest.mark.slow
def test_a_spoiled_header_is_read_or_refused(tmp_path: Path) -> None:
    for seed in range(500):
        with seeded(seed) as dice:
            header = json.dumps(spoiled(dice, _HEADER, _HEADER_KEYS))
            text = mangled(dice, header.encode()).decode("utf-8", "replace") if seed % 3 == 0 else header
            survives("template headers", lambda: use(tmp_path, "{#\n" + text + "\n#}" + _GRAPH % "{{ params }}"))  # noqa: B023


@pytest.mark.parametrize(
    "text",
    [*TEXTS, deep(50_000), "a: &a [*a]", "!!python/name:os.x", "params: {a: {type: [text]}}", "params: " + "{a: " * 60 + "}" * 60],
)
def test_a_nasty_header_is_read_or_refused(tmp_path: Path, text: str) -> None:
    survives("template headers", lambda: use(tmp_path, "{#\n" + text + "\n#}" + _GRAPH % "1"))
    survives("template headers", lambda: use(tmp_path, "{#" + text + _GRAPH % "1"))
