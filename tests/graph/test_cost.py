"""What a plan's jobs have to run, in numbers: what is shared has one, and each has its kind and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.graph.cost import StepTable
from comfy_runner.graph.filled import Filled, Shape
from comfy_runner.graph.signature import literals_of
from comfy_runner.shipped import shipped
from comfy_runner.templating.compiled import Renderer
from comfy_runner.templating.lookup import find_template
from tests.graph.support import graph, node, values

FOLDERS = [shipped("templates")]


def filled(renderer: Renderer | None = None, **fields: Any) -> Filled:
    """Return the shipped graph with these recipe fields."""
    return (renderer or Renderer(find_template("latent_upscale", FOLDERS), FOLDERS)).render(values(**fields))


def of_graph(**nodes: Any) -> Filled:
    workflow = graph(**nodes)
    return Filled(Shape(workflow, {}), literals_of(workflow)[1])


def by_kind(steps: StepTable, found: tuple[int, ...]) -> dict[str, list[float]]:
    costs: dict[str, list[float]] = {}
    for step in found:
        costs.setdefault(steps.kind(step), []).append(steps.cost(step))
    return costs


def test_every_node_but_those_that_save_is_a_step() -> None:
    steps = StepTable()
    found = steps.of(filled())

    assert len(found) == len(steps) == 9
    assert sorted(map(steps.kind, found)) == ["decode", "decode", "first", "load", "other", "other", "other", "other", "second"]


def test_the_same_job_has_the_same_steps_whichever_renderer_made_it() -> None:
    steps = StepTable()

    assert steps.of(filled()) == steps.of(filled())
    assert len(steps) == 9


def test_another_denoise_shares_all_but_the_second_pass_and_its_decoding() -> None:
    steps, renderer = StepTable(), Renderer(find_template("latent_upscale", FOLDERS), FOLDERS)
    one, other = (steps.of(filled(renderer, upscale={"factor": 2, "denoise": denoise, "seed": 1})) for denoise in (0.5, 0.6))

    assert [steps.kind(step) for step in one if step not in other] == ["second", "decode"]
    assert [steps.column(step) for step in one] == [steps.column(step) for step in other]


def test_another_checkpoint_shares_only_the_empty_latent() -> None:
    steps = StepTable()
    one, other = steps.of(filled(checkpoint="a")), steps.of(filled(checkpoint="b"))

    assert len(set(one) & set(other)) == 1


def test_steps_are_ordered_by_column() -> None:
    steps = StepTable()
    steps.of(of_graph(up=node("LatentUpscale"), save=node("SaveImage", filename_prefix="", images=["up", 0])))
    found = steps.of(filled())

    assert [steps.column(step) for step in found] == sorted(steps.column(step) for step in found)


def test_jobs_of_different_graphs_meet_in_the_columns_of_their_classes() -> None:
    steps = StepTable()
    one = steps.of(filled())
    two = steps.of(filled(loras=["a.safetensors"], checkpoint="other"))

    assert {steps.column(step) for step in one} < {steps.column(step) for step in two}


def test_costs_are_sampler_steps_at_1024x576() -> None:
    steps = StepTable()
    costs = by_kind(steps, steps.of(filled()))

    assert costs["first"] == [pytest.approx(30, rel=0.02)]
    assert costs["second"] == [pytest.approx(30 * 4.74, rel=0.02)]
    assert sorted(costs["decode"]) == [pytest.approx(0.7, rel=0.02), pytest.approx(0.7 * 4.74, rel=0.02)]
    assert costs["load"] == [40.0]
    assert costs["other"] == [0.0] * 4


@pytest.mark.parametrize(
    ("class_type", "kind", "cost"),
    [
        ("UNETLoader", "load", 40.0),
        ("unCLIPCheckpointLoader", "load", 40.0),
        ("VAELoader", "other", 4.0),
        ("LoraLoaderModelOnly", "other", 4.0),
        ("ControlNetLoader", "other", 4.0),
    ],
)
def test_a_load_costs_by_what_is_loaded(class_type: str, kind: str, cost: float) -> None:
    steps = StepTable()
    (step,) = steps.of(of_graph(load=node(class_type, name="x"), save=node("X", filename_prefix="", of=["load", 0])))

    assert (steps.kind(step), steps.cost(step)) == (kind, cost)


def test_a_sampler_that_gets_its_sigmas_from_a_scheduler_makes_that_schedulers_steps() -> None:
    steps = StepTable()
    found = steps.of(
        of_graph(
            empty=node("EmptyLatentImage", width=1024, height=576, batch_size=1),
            sigmas=node("BasicScheduler", steps=20, denoise=1.0),
            sample=node("SamplerCustomAdvanced", sigmas=["sigmas", 0], latent_image=["empty", 0]),
            save=node("X", filename_prefix="", of=["sample", 0]),
        )
    )

    assert by_kind(steps, found)["first"] == [pytest.approx(20, rel=0.02)]


def test_equal_nodes_of_one_graph_count_once() -> None:
    steps = StepTable()
    found = steps.of(
        of_graph(
            one=node("EmptyImage", width=64, height=64),
            two=node("EmptyImage", width=64, height=64),
            save_one=node("SaveImage", role="a", filename_prefix="", images=["one", 0]),
            save_two=node("SaveImage", role="b", filename_prefix="", images=["two", 0]),
        )
    )

    assert len(found) == 1


def test_what_no_output_needs_is_no_step() -> None:
    steps = StepTable()
    save = node("SaveImage", filename_prefix="", images=["one", 0])

    assert len(steps.of(of_graph(one=node("EmptyImage"), idle=node("VAELoader", name="x"), save=save))) == 1


def test_a_node_that_saves_and_is_used_is_a_step(tmp_path: Path) -> None:
    steps = StepTable()
    first = node("SaveAndPass", filename_prefix=str(tmp_path), value=1)

    assert len(steps.of(of_graph(first=first, save=node("SaveImage", filename_prefix="", images=["first", 0])))) == 1
