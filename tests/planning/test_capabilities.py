"""What each server can do of a plan's jobs: the same as if every job were held against every server, only sooner."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfy_runner.errors import Problem, WorkflowError
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.planning.capabilities import Capabilities, capabilities_of, check_all, impossible_jobs, refuse_impossible
from comfy_runner.planning.draft import Draft
from comfy_runner.planning.job_graph import PlannedJob
from tests.example_counts import tried
from tests.recipe.support import written
from tests.running.support import plan_of, sweep
from tests.standin.nodes import object_info
from tests.standin.state import MODELS

Change = Callable[[dict[str, Any]], object]

_TEMPLATE = """
{
  "load": {"class_type": "Load", "inputs": {"name": {{ checkpoint }}, "value": {{ params.value }}}},
  "save": {"class_type": "Save", "inputs": {"images": ["load", 0], "filename_prefix": "x"}, "_meta": {"role": "original"}},
  {% if params.extra %}
  "change": {"class_type": {{ params.extra }}, "inputs": {"images": ["load", 0], "mode": {{ params.mode }}, "more.a": 1}},
  "second": {"class_type": "Save", "inputs": {"images": ["change", 0], "filename_prefix": "x"}, "_meta": {"role": "extra"}},
  {% endif %}
  "lonely": {"class_type": "Lonely", "inputs": {}}
}
"""
_NAMES = ["a/one.pt", "A/ONE.pt", "one.pt", "a\\two.pt", "three.pt"]
_VALUES = [0, -0.0, 0.0, 1, 1.0, True, 2.5, "1", "1.0", None, {"a": 1}, {"__value__": 1}, {"__value__": True}, {"__value__": [1]}]
_TYPES = ["*", "INT", "FLOAT", "INT,FLOAT", "STRING", "BOOLEAN", "IMAGE", [1], [True, "1"], [1.0, 0, -1], ["A"]]


def _node(output: Sequence[str], *, end: bool = False, core: bool = True, **required: Any) -> dict[str, Any]:
    module = "nodes" if core else "custom_nodes.pack"
    return {"input": {"required": required}, "output": list(output), "output_node": end, "python_module": module}


@st.composite
def _servers(draw: st.DrawFn, source: str) -> ObjectInfo:
    """A server for the template above that has some of what is wanted."""
    several = st.lists(st.sampled_from(_NAMES), unique=True, min_size=2, max_size=4)
    bounds = draw(st.sampled_from([{}, {}, {"min": 1}, {"max": 1}, {"min": 0.5, "max": 2}]))
    nodes = {
        "Load": _node(["IMAGE"], name=[draw(several), {}], value=[draw(st.just("*") | st.sampled_from(_TYPES)), bounds]),
        "Change": _node(["IMAGE"], images=["IMAGE"], mode=[draw(several)], more=["COMFY_AUTOGROW_V3"]),
        "Other": _node(["IMAGE"], core=draw(st.booleans()), images=["IMAGE"]),
        "Lonely": _node(["IMAGE"]),
        "Save": _node([], end=draw(st.integers(0, 9)) > 0, images=["IMAGE"], filename_prefix=["STRING"]),
    }
    for gone in draw(st.sampled_from([*[[]] * 6, ["Change"], ["Other"], ["Change", "Other"], ["Lonely"], ["Load"]])):
        del nodes[gone]
    if "Change" in nodes and draw(st.booleans()):
        nodes["Change"]["input"]["optional"] = {"more.a": ["STRING"]}
    missing = draw(st.sampled_from([*[None] * 6, ["INT", {"default": 5}], ["INT", {}], ["IMAGE"]]))
    if missing is not None:
        nodes[draw(st.sampled_from(sorted(nodes)))]["input"]["required"]["missing"] = missing
    if draw(st.integers(0, 9)) == 0:
        nodes["Save"]["input"]["required"]["images"] = ["MASK"]
    return ObjectInfo(nodes, source=source)


def _axis(values: Sequence[Any], *, most: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique_by=repr)


_SWEEPS = st.fixed_dictionaries(
    {
        "checkpoint": _axis(_NAMES, most=3),
        "params.value": _axis(_VALUES, most=3),
        "params.extra": _axis(["", "Change", "Other", "Nothing"], most=2),
        "params.mode": _axis([*_NAMES, 1, True], most=2),
    }
)
_PLANS = st.lists(_SWEEPS, min_size=1, max_size=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("templates")
    (made / "mine.json.j2").write_text(_TEMPLATE, encoding="utf-8")
    return made


def _drafts(folder: Path, sweeps: Sequence[Mapping[str, Any]]) -> tuple[Draft, ...]:
    recipes = [{"name": f"r{number}", "template": "mine", "seed": 1, "sweep": axes} for number, axes in enumerate(sweeps)]
    return plan_of(*recipes, templates=[folder]).drafts


def _fitted(draft: Draft, info: ObjectInfo, *, allow_partial: bool = False) -> PlannedJob:
    """The job as a server takes it, from a check of its graph alone."""
    return capabilities_of((), info, allow_partial=allow_partial).fit(draft.planned())


def _refusal(draft: Draft, info: ObjectInfo, *, allow_partial: bool = False) -> tuple[Problem, ...]:
    """Why a server refuses a job, from a check of its graph."""
    try:
        _fitted(draft, info, allow_partial=allow_partial)
    except WorkflowError as error:
        return error.problems
    return ()


def _is_exact(found: Capabilities, drafts: Sequence[Draft], info: ObjectInfo, *, allow_partial: bool) -> None:
    """Make sure that each job is known to fit or not exactly as a check of its graph says."""
    refusals = [_refusal(draft, info, allow_partial=allow_partial) for draft in drafts]
    whole = [not _refusal(draft, info) for draft in drafts]
    assert [found.problems(draft) for draft in drafts] == refusals
    assert [found.can(draft) for draft in drafts] == [not refusal for refusal in refusals]
    assert [found.can_whole(draft) for draft in drafts] == whole
    assert found.everything == all(whole)
    able = [draft for draft, refusal in zip(drafts, refusals, strict=True) if not refusal]
    fitted = [_fitted(job, info, allow_partial=allow_partial) for job in able]
    # In the order of the plan, in which what is known of one job is used for those after it.
    assert [(each.workflow, each.notes) for each in fitted] == [
        (each.workflow, each.notes) for each in (found.fit(job.planned(), job) for job in able)
    ]
    notes = [each.notes[len(job.planned().notes) :] for each, job in zip(fitted, able, strict=True)]
    assert found.notes == tuple(dict.fromkeys(itertools.chain.from_iterable(notes)))


@pytest.mark.slow
@settings(max_examples=tried(100))
@given(_PLANS, st.tuples(_servers("http://a"), _servers("http://b")), st.booleans())
def test_it_is_known_of_every_job_what_a_check_of_its_graph_would_say(
    folder: Path, sweeps: list[dict[str, Any]], infos: tuple[ObjectInfo, ObjectInfo], allow_partial: bool
) -> None:
    drafts = _drafts(folder, sweeps)
    found = {info.source: capabilities_of(drafts, info, allow_partial=allow_partial) for info in infos}
    for info in infos:
        _is_exact(found[info.source], drafts, info, allow_partial=allow_partial)
    refusals = {draft.job_id: [_refusal(draft, info, allow_partial=allow_partial) for info in infos] for draft in drafts}
    wanted = {job_id: tuple(dict.fromkeys(itertools.chain(*refusal))) for job_id, refusal in refusals.items() if all(refusal)}
    assert dict(impossible_jobs(drafts, found)) == wanted
    assert _told(lambda: refuse_impossible(drafts, found)) == list(dict.fromkeys(itertools.chain.from_iterable(wanted.values())))


_JOBS = re.compile(r" in (all \d+ jobs|\d+ of \d+ jobs, first \S+|job \S+( and others)?)$")


def _told(call: Callable[[], object]) -> list[Problem]:
    """The problems of the error that a call raises, if it does, without how many jobs have them."""
    try:
        call()
    except WorkflowError as error:
        return [replace(problem, what=_JOBS.sub("", problem.what)) for problem in error.problems]
    return []


@pytest.mark.parametrize("type_", _TYPES, ids=str)
def test_values_that_are_equal_and_not_the_same_are_told_apart(folder: Path, type_: Any) -> None:
    save = _node([], end=True, images=["IMAGE"], filename_prefix=["STRING"])
    nodes = {"Load": _node(["IMAGE"], name=["*"], value=[type_]), "Lonely": _node([]), "Save": save}
    drafts = _drafts(folder, [{"params.value": _VALUES, "checkpoint": ["x"], "params.extra": [""]}])
    info = ObjectInfo(nodes, source="http://server")

    _is_exact(capabilities_of(drafts, info), drafts, info, allow_partial=False)


# The shipped template


def _info(*, source: str = "http://server", **changed: Change) -> ObjectInfo:
    """The stand-in, with some classes changed in place."""
    data = object_info(MODELS)
    for class_type, change in changed.items():
        change(data[class_type])
    return ObjectInfo(data, source=source)


def _with(name: str, *spec: Any) -> Change:
    return lambda node: node["input"]["required"].update({name: list(spec)})


def _bounds(name: str, **bounds: float) -> Change:
    return lambda node: node["input"]["required"][name][1].update(bounds)


def _without(class_type: str, *, source: str = "http://server") -> ObjectInfo:
    data = object_info(MODELS)
    del data[class_type]
    return ObjectInfo(data, source=source)


_CHECKPOINTS = ["tiny-random-sd15.safetensors", "SDXL/base.safetensors"]
_AXES: dict[str, list[Any]] = {
    "checkpoint": _CHECKPOINTS,
    "sampler.name": ["euler", "ddim", "dpmpp_2m"],
    "upscale.denoise": [0.3, 0.5],
}


def _checkpoints(*names: str, source: str = "http://server") -> ObjectInfo:
    return _info(source=source, CheckpointLoaderSimple=_with("ckpt_name", list(names), {}))


@pytest.mark.parametrize(
    ("info", "possible"),
    [
        (_info(), 12),
        (_checkpoints(_CHECKPOINTS[0]), 6),
        (_checkpoints("sdxl\\BASE.safetensors"), 6),
        (_checkpoints("a/base.safetensors", "b/base.safetensors", _CHECKPOINTS[0]), 6),
        (_checkpoints(), 0),
        (_info(KSampler=_with("sampler_name", ["euler", "dpmpp_2m"], {})), 8),
        (_info(KSampler=_bounds("denoise", min=0.4)), 6),
        (_info(KSampler=_bounds("steps", max=1)), 0),
        (_info(KSampler=_with("more", "INT", {"default": 3})), 12),
        (_info(KSampler=_with("more", "INT", {})), 0),
        (_without("LatentUpscale"), 0),
        (_info(VAEDecode=lambda node: node.update(output=["MASK"])), 0),
    ],
)
@pytest.mark.parametrize("allow_partial", [False, True])
def test_of_a_sweep_a_server_can_do_what_its_models_and_ranges_allow(info: ObjectInfo, possible: int, allow_partial: bool) -> None:
    drafts = plan_of(sweep(_AXES)).drafts
    found = capabilities_of(drafts, info, allow_partial=allow_partial)

    assert sum(map(found.can_whole, drafts)) == possible
    _is_exact(found, drafts, info, allow_partial=allow_partial)


def test_a_job_may_be_possible_in_part_only() -> None:
    drafts = plan_of(sweep({"upscale.denoise": [0.3, 0.5]}, upscale={"method": "bislerp"})).drafts
    info = _info(LatentUpscale=_with("upscale_method", ["area"], {}))

    partly, wholly = capabilities_of(drafts, info, allow_partial=True), capabilities_of(drafts, info)

    assert [partly.can(draft) for draft in drafts] == [True, True]
    assert [partly.can_whole(draft) for draft in drafts] == [False, False]
    assert [wholly.can(draft) for draft in drafts] == [False, False]
    assert not partly.everything
    assert any("left out" in note.what and "bislerp" in note.what for note in partly.notes)


def test_a_mistake_is_located_at_the_field_that_the_very_job_gives_it_by() -> None:
    """The second pass has the same wrong size by a factor and by a size, the same sampler of its own and of the first pass."""
    points = [
        {"upscale.factor": 2},
        {"upscale.size": {"width": 128, "height": 128}},
        {"upscale.sampler": {"name": "nope"}},
        {"upscale.sampler": {"scheduler": "karras"}, "sampler.name": "nope"},
        {"upscale.sampler": {"name": "nope"}, "sampler.name": "nope"},
        {"upscale.sampler.name": "nope", "upscale.sampler.scheduler": "karras", "sampler.name": "nope"},
        {"upscale.seed": 1},
        {"upscale.seed": "same"},
    ]
    drafts = plan_of(sweep({"include": points})).drafts
    info = _info(LatentUpscale=_bounds("width", max=100), KSampler=_bounds("seed", max=0))
    found = capabilities_of(drafts, info)

    _is_exact(found, drafts, info, allow_partial=False)
    assert {problem.where for draft in drafts for problem in found.problems(draft)} >= {
        "recipe: sweep.include[0].upscale.factor",
        "recipe: sweep.include[1].upscale.size",
        "recipe: sweep.include[6].upscale.seed",
        "recipe: seed",
    }


def test_a_mistake_is_told_at_its_place_in_each_recipe(tmp_path: Path) -> None:
    text = "checkpoint: x\nprompt: p\nseed: 1\n"
    drafts = plan_of(written(tmp_path, "one.yaml", text), written(tmp_path, "two.yaml", f"\n\n{text}")).drafts
    info = _info()

    _is_exact(capabilities_of(drafts, info), drafts, info, allow_partial=False)
    told = _told(lambda: check_all(drafts, info))
    assert [problem.where.rsplit("/", 1)[-1] for problem in told] == ["one.yaml:1: checkpoint", "two.yaml:3: checkpoint"]


def test_only_a_server_that_can_do_all_jobs_whole_can_do_everything() -> None:
    drafts = plan_of(sweep(_AXES)).drafts

    assert capabilities_of(drafts, _info()).everything
    assert not capabilities_of(drafts, _checkpoints(_CHECKPOINTS[0])).everything
    assert capabilities_of((), _without("KSampler")).everything


# What another server can do that says the same


def test_what_is_known_of_one_server_is_told_of_another_in_that_one_s_words() -> None:
    drafts = plan_of(sweep(_AXES)).drafts
    infos = [_checkpoints("base.safetensors", source=source) for source in ("http://a", "http://b")]
    assert infos[0].fingerprint == infos[1].fingerprint

    found = capabilities_of(drafts, infos[0]).of_equal_server(infos[1])

    _is_exact(found, drafts, infos[1], allow_partial=False)
    assert "http://b" in found.notes[0].what


class _Counted(tuple[Draft, ...]):
    """Jobs that count how often all of them were looked at."""

    looks = 0

    def __iter__(self) -> Iterator[Draft]:
        type(self).looks += 1
        return super().__iter__()


def test_of_many_servers_that_say_the_same_all_jobs_are_looked_at_no_more_often_than_of_one() -> None:
    drafts = _Counted(plan_of(sweep(_AXES)).drafts)
    infos = [_checkpoints("base.safetensors", source=f"http://gpu{number}") for number in range(9)]
    first = capabilities_of(drafts, infos[0])
    assert first.notes
    looks = _Counted.looks

    others = [first.of_equal_server(info) for info in infos[1:]]

    assert all(len(other.notes) == len(first.notes) for other in others)
    assert _Counted.looks == looks


# Jobs that no server can do


def _fleet(drafts: Sequence[Draft], *infos: ObjectInfo) -> dict[str, Capabilities]:
    return {info.source: capabilities_of(drafts, info) for info in infos}


def test_servers_that_can_do_all_jobs_between_them_leave_none_impossible() -> None:
    drafts = plan_of(sweep(_AXES)).drafts
    fleet = _fleet(drafts, *(_checkpoints(name, source=name) for name in _CHECKPOINTS))

    assert dict(impossible_jobs(drafts, fleet)) == {}
    refuse_impossible(drafts, fleet)


def test_a_job_that_no_server_can_do_is_told_with_the_reason_of_each() -> None:
    drafts = plan_of(sweep(_AXES)).drafts
    euler = _info(source="http://b", KSampler=_with("sampler_name", ["euler"], {}))
    fleet = _fleet(drafts, _checkpoints(_CHECKPOINTS[0], source="http://a"), euler)

    found = dict(impossible_jobs(drafts, fleet))

    assert len(found) == 4
    assert all("base" in job_id and "euler" not in job_id for job_id in found)
    for problems in found.values():
        assert "http://a" in problems[0].what
        assert [("http://b" in problem.what) for problem in problems[1:]] == [True]
    told = _told(lambda: refuse_impossible(drafts, fleet))
    assert told == list(dict.fromkeys(itertools.chain.from_iterable(found.values())))


def test_one_server_that_can_do_everything_is_enough() -> None:
    drafts = plan_of(sweep(_AXES)).drafts

    assert dict(impossible_jobs(drafts, _fleet(drafts, _without("KSampler", source="http://a"), _info(source="http://b")))) == {}


def test_with_one_server_the_error_is_that_of_a_check_of_all_jobs() -> None:
    drafts = plan_of(sweep(_AXES)).drafts
    info = _checkpoints("another.safetensors")

    told = _told(lambda: check_all(drafts, info))

    assert told == list(dict.fromkeys(itertools.chain.from_iterable(_refusal(draft, info) for draft in drafts)))
    assert told == _told(lambda: refuse_impossible(drafts, _fleet(drafts, info)))
    assert len(told) == 2


def test_no_more_than_some_fifty_problems_are_told() -> None:
    drafts = plan_of(sweep({"seed": list(range(1000))})).drafts

    assert len(_told(lambda: check_all(drafts, _info(KSampler=_bounds("seed", max=-1))))) == 51


def test_graphs_are_made_for_the_words_alone() -> None:
    made: list[str] = []

    class Watched(Draft):
        def planned(self) -> PlannedJob:
            made.append(self.job_id)
            return super().planned()

    plain = plan_of(sweep({"seed": list(range(500)), "checkpoint": ["x", "y", *_CHECKPOINTS]})).drafts
    drafts = [Watched(*(getattr(draft, field.name) for field in fields(draft))) for draft in plain]
    found = capabilities_of(drafts, _info())

    assert sum(map(found.can, drafts)) == 1000
    assert made == []
    assert len({found.problems(draft) for draft in drafts}) == 3
    assert len(made) == 2
