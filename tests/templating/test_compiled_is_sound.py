"""Whatever a template does with its values: one renderer for many jobs gives each the graph that it would have had alone."""

from __future__ import annotations

import itertools
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from comfy_runner.errors import InputError
from comfy_runner.graph.workflow import Workflow
from comfy_runner.recipe.load import load, shipped_recipes
from comfy_runner.recipe.sweep.expand import expand
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.lookup import find_template
from comfy_runner.templating.recipe_template import checked_params, find_recipe_template, route_of, template_folders
from tests.graph.support import content_hash, pixel_hash, render

_PHASES = [Phase.explicit, Phase.reuse, Phase.generate] if "COMFY_RUNNER_EXAMPLES" in os.environ else list(Phase)
_EXAMPLES = int(os.environ.get("COMFY_RUNNER_EXAMPLES", "150"))

_NODES = (
    '{"a": {"class_type": "A", "inputs": {"value": %s, "other": %s}}, %s '
    '"save": {"class_type": "SaveText", "inputs": {"text": ["a", 0], "filename_prefix": "x"}, "_meta": {"title": %s}}}'
)
_MACROS = (
    "{% macro said(x) %}{{ x }}{% endmacro %}"
    "{% macro twice(x) %}[{{ x }}, {{ x }}]{% endmacro %}"
    "{% macro around() %}{{ caller() }}{% endmacro %}"
    "{% set ns = namespace(v=1) %}"
)

_SCALARS = (
    st.sampled_from(["", "a", "ab", "1", '"', "1.5", "a b", "<&>"])
    | st.sampled_from([0, 1, 2, -1, 10])
    | st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0])
    | st.booleans()
    | st.none()
)
_ITEMS = st.lists(st.fixed_dictionaries({"name": _SCALARS, "s": _SCALARS}), max_size=3)
_VALUES = st.fixed_dictionaries(
    {
        "t": st.sampled_from(["", "a", "ab", '"x']),
        "n": st.sampled_from([0, 1, 2, 7]),
        "v": _SCALARS,
        "w": _SCALARS,
        "items": _ITEMS,
        "deep": st.fixed_dictionaries({"k": _SCALARS, "l": st.lists(_SCALARS, max_size=2)}),
    }
)

_NAMES = st.sampled_from(
    [
        "t",
        "n",
        "v",
        "w",
        "items",
        "deep",
        "deep.k",
        "deep.l",
        "items[0].s",
        "deep['k']",
        "nothing",
        "m.said(v)",
        "m.twice(t)",
        "v",
        "w",
        "t",
    ]
)
_LITERALS = st.sampled_from(["1", "0", "'a'", "''", "'%s'", "[]", "[1]", "{}", "none", "true", "range(3)", "(1, 2)", "2.0"])
_FILTERS = """
    abs attr('k') batch(2) capitalize count d(1) d(v,true) default(w) dictsort filesizeformat first float format(1) groupby('s') int
    items join join(t) last length list lower map('upper') map(attribute='s') map('string') max min reject('none') rejectattr('s')
    replace('a','b') reverse round round(n) select select('string') selectattr('s') slice(2) sort sort(attribute='s') string sum
    sum(attribute='s') title tojson trim truncate(3) unique upper urlencode wordcount select('equalto',v) map('default',1)
"""
_TESTS = """
    defined undefined none string number integer float boolean true false mapping sequence iterable callable odd even lower upper
    eq(v) ne(1) lt(1) gt(n) ge(1) le(1) in([1,v]) sameas(v) divisibleby(2) filter test escaped
"""
_OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"])
_METHODS = st.sampled_from(
    [
        "upper()",
        "split()",
        "items()",
        "k",
        "s",
        "get('k')",
        "get('z', w)",
        "get(v)",
        "index(v)",
        "count(v)",
        "join(['a', v])",
        "replace('a', t)",
        "is_integer()",
        "values()",
        "keys()",
        "startswith(t)",
        "copy()",
    ]
)
_EXPRESSIONS = st.recursive(
    _NAMES | _LITERALS,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, _OPERATORS, inner),
        st.builds("({} | {})".format, inner, st.sampled_from(_FILTERS.split())),
        st.builds("({} is {})".format, inner, st.sampled_from(_TESTS.split())),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:]".format, inner, inner),
        st.builds("{}.{}".format, inner, _METHODS),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'k': {}, 'z': {}}}".format, inner, inner),
        st.builds("(not {})".format, inner),
        st.builds("(-{})".format, inner),
        st.builds("m.said({})".format, inner),
        st.builds("m.twice({})".format, inner),
        st.builds("dict(k={})".format, inner),
        st.builds("range({})".format, inner),
    ),
    max_leaves=5,
)
_SPACED = (  # what may be printed in the place of a value
    "{{{{ {0} }}}}",
    "{{{{ {0} }}}}",
    "{{{{ {0} }}}}",
    "{{{{ {0} | string }}}}",
    "{{{{ {0} | tojson }}}}",
    '"x{{{{ {0} }}}}"',
    "-{{{{ {0} }}}}",
    "1{{{{ {0} }}}}",
    '{{"__value__": {{{{ {0} }}}}}}',
    '{{"__value__": [{{{{ {0} }}}}, 1]}}',
    "[{{{{ {0} }}}}, 0]",
    '["a", {{{{ {0} }}}}]',
    "{{% if {0} %}}{{{{ v }}}}{{% else %}}{{{{ w }}}}{{% endif %}}",
    "{{% set x = {0} %}}{{{{ x }}}}",
    "{{% set x %}}{{{{ {0} }}}}{{% endset %}}{{{{ x }}}}",
    "{{% set x %}}{{{{ {0} }}}}{{% endset %}}{{{{ x | length }}}}",
    "{{% set x %}}{{{{ {0} }}}}{{% endset %}}{{{{ x ~ '' }}}}",
    "{{% set x %}}{{{{ {0} }}}}{{% endset %}}{{{{ x == '1' }}}}",
    "{{% set x | upper %}}{{{{ {0} }}}}{{% endset %}}{{{{ x }}}}",
    "{{% set ns.v %}}{{{{ {0} }}}}{{% endset %}}{{{{ ns.v }}}}",
    "{{% set ns.v = {0} %}}{{{{ ns.v }}}}",
    "{{% filter upper %}}{{{{ {0} }}}}{{% endfilter %}}",
    "{{% filter tojson %}}{{{{ {0} }}}}{{% endfilter %}}",
    "{{% filter length %}}{{{{ {0} }}}}{{% endfilter %}}",
    "{{% call m.around() %}}{{{{ {0} }}}}{{% endcall %}}",
    "{{{{ m.said({0}) | length }}}}",
    "{{{{ m.said({0}) == '1' }}}}",
    "{{{{ m.said(m.said({0})) }}}}",
    "{{% if m.said({0}) %}}1{{% else %}}2{{% endif %}}",
    "[{{% for x in {0} %}}{{{{ x }}}}{{% if not loop.last %}},{{% endif %}}{{% endfor %}}]",
    '{{"k": [{{% for x in {0} %}}{{{{ x }}}}{{% if not loop.last %}},{{% endif %}}{{% endfor %}}]}}',
    "{{% for x in {0} %}}{{{{ loop.changed(v) }}}}{{% if not loop.last %}} {{% endif %}}{{% endfor %}}",
    "{{% for k, x in {0} %}}{{% endfor %}}1",
    "{{% with x = {0} %}}{{{{ x }}}}{{% endwith %}}",
    "{{% autoescape false %}}{{{{ {0} }}}}{{% endautoescape %}}",
    "{{% autoescape false %}}{{{{ m.said({0}) }}}}{{% endautoescape %}}",
    "{{% include 'part.j2' %}}",
    "{{% import 'part.j2' as p with context %}}{{{{ p | string | length }}}}",
    "{{% import 'part.j2' as p with context %}}{{{{ p ~ '' }}}}",
    "{{% import 'part.j2' as p with context %}}{{{{ '%s' % p }}}}",
    "{{{{ cycler(v, {0}).next() }}}}",
    "{{{{ loop }}}}",
    "{{% set a, b = [{0}, v] %}}{{{{ b }}}}",
)
_PIECES = st.builds(str.format, st.sampled_from(_SPACED), _EXPRESSIONS)
_EXTRA = st.sampled_from(
    [
        "",
        "",
        '{% for i in items %}"l{{ loop.index }}": {"class_type": "L", "inputs": {"n": {{ i.name }}, "s": {{ i.s }}}},{% endfor %}',
        '{% if v %}"v": {"class_type": "V", "inputs": {"v": {{ v }}}},{% endif %}',
        '"d": {"class_type": "D", "inputs": {{ deep }}},',
        '"k": {"class_type": {{ t }}, "inputs": {"n": {{ n }}}},',
        '{{ t }}: {"class_type": "T", "inputs": {"n": {{ n }}}},',
        '{{ v }}: {"class_type": "T", "inputs": {"n": {{ n }}}},',
        '"k": {"class_type": "KSampler", "inputs": {"steps": {{ n }}, "denoise": {{ w }}, "seed": {{ v }}}},',
    ]
)
_TITLES = st.sampled_from(['"t"', '"t"', "{{ v }}", '{{ "a" ~ v }}'])
_TEMPLATES = st.tuples(_PIECES, _PIECES, _EXTRA, _TITLES)

_number = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("templates")
    (made / "macros.j2").write_text(_MACROS, encoding="utf-8")
    (made / "part.j2").write_text("{{ v }}", encoding="utf-8")
    return made


def outcome(call: Any) -> Any:
    """What a call returns, or the error of ours that it raises."""
    try:
        return call()
    except InputError as error:
        return f"{type(error).__name__}: {error}"


def _graph_of(workflow: Workflow) -> str:
    """Return a graph as JSON, without addresses: what ``v | map("string") | string`` prints has another one each time."""
    return re.sub(r" at 0x[0-9a-f]+(?=>)", "", json.dumps(workflow.to_api()))


@pytest.mark.slow
@settings(max_examples=_EXAMPLES, suppress_health_check=list(HealthCheck), phases=_PHASES)
@given(
    template=_TEMPLATES,
    jobs=st.lists(_VALUES, min_size=2, max_size=4),
    same=_VALUES,
    changing=st.sampled_from([("v",), ("w", "v"), ("t", "n"), ("items",), ("deep",), ()]),
)
def test_every_job_gets_the_graph_that_it_would_have_had_alone(
    folder: Path, template: tuple[str, ...], jobs: list[dict[str, Any]], same: dict[str, Any], changing: tuple[str, ...]
) -> None:
    path = folder / f"t{next(_number)}.json.j2"
    path.write_text("{% import 'macros.j2' as m %}{% set ns = namespace(v=1) %}" + _NODES % template, encoding="utf-8")
    try:
        found = find_template(path.name.removesuffix(".json.j2"), [folder])
    except InputError:
        return
    renderer = Renderer(found, [])
    for job in jobs:
        values = {**same, **{name: job[name] for name in changing}}
        many = outcome(lambda: renderer.render(values))  # noqa: B023 - called at once
        alone = outcome(lambda: Renderer(found, []).plain(values))  # noqa: B023
        if isinstance(many, str):
            assert many == alone
            continue
        workflow = many.workflow
        assert _graph_of(workflow) == _graph_of(alone.workflow)
        assert dict(many.sources) == dict(render(found, values, folders=[]).sources)
        assert many.signed.content == content_hash(workflow)
        assert many.signed.pixels == pixel_hash(workflow)
    path.unlink()


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_job_of_a_shipped_recipe_gets_the_graph_that_it_would_have_had_alone(name: str) -> None:
    fields = {"upscale.denoise": "upscale.denoise=0.3,0.55,1", "vae": "vae=a.safetensors,b.safetensors", "seed": "seed=1,2"}
    swept = load(name).recipe.sweep or {}
    variants = expand(load(name, sweeps=[text for field, text in fields.items() if field not in swept]))
    renderers: dict[str, Renderer] = {}
    for variant in variants[:: max(1, len(variants) // 40)]:
        folders = template_folders(variant.alone, ())
        template = find_recipe_template(variant.alone, folders)
        renderer = renderers.setdefault(template.name, Renderer(template, folders))
        job = variant.job(seed=7 if variant.draw else None, route=route_of(template))
        params = template.header.params or {}
        needed = {name: "a.png" for name, param in params.items() if param.required and param.type == "image"}
        job = replace(job, values={**job.values, "params": {**needed, **job.values["params"]}})
        values = {**job.values, "params": checked_params(job, template)}
        assert renderer.render(values).workflow.to_json() == Renderer(template, folders).plain(values).workflow.to_json()
