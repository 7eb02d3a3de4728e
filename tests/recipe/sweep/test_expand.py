from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.errors import UsageError
from comfy_runner.recipe.fields import MAX_SEED
from comfy_runner.recipe.job import job
from comfy_runner.recipe.load import from_mapping, load
from comfy_runner.recipe.sweep.axes import Draw
from comfy_runner.recipe.sweep.expand import Variant, expand
from tests.recipe.support import fault, faults, written


def variants(sweep: dict[str, Any], **fields: Any) -> list[Variant]:
    return expand(from_mapping({"name": "lake", "seed": 1, "sweep": sweep, **fields}))


def test_without_a_sweep_there_is_one_variant_that_is_the_recipes_job() -> None:
    loaded = from_mapping({"name": "My Lake", "seed": 7})

    (variant,) = expand(loaded)

    assert (variant.job_id, variant.assignments, variant.recipe()) == ("my-lake", {}, loaded.recipe)
    assert variant.job() == job(loaded)


def test_a_variants_job_is_that_of_a_recipe_with_these_values() -> None:
    sweep = {"upscale.denoise": [0.5, 0.6], "loras.0.strength_model": [1, 2], "sampler": [{"steps": 8}], "params.a.b": [{"c": 1}]}
    base: dict[str, Any] = {"loras": ["x"], "params": {"a": {"b": {"d": 2}, "e": 3}}}

    found = variants(sweep, **base)[-1].job()

    expected = job(
        from_mapping(
            {
                "name": "lake",
                "seed": 1,
                "upscale": {"denoise": 0.6},
                "loras": [{"name": "x", "strength_model": 2}],
                "sampler": {"steps": 8},
                "params": {"a": {"b": {"c": 1, "d": 2}, "e": 3}},
            }
        )
    )
    assert found.job_id == "lake-lora0sm2-st8-d060-a-b-c1"
    assert found.values == {**expected.values, "job_id": found.job_id}
    assert found.recipe.recipe == expected.recipe.recipe


def test_a_variants_recipe_gives_its_values_again() -> None:
    variant = variants({"upscale.size": [{"width": 640, "height": 360}], "seed": [3, 4]}, upscale={"factor": 3})[1]

    again = from_mapping(variant.job().recipe.recipe.model_dump(mode="json", exclude_none=True))

    assert again.sweep is None
    assert {**job(again).values, "job_id": variant.job_id} == variant.job().values


def test_variants_leave_the_recipe_and_each_other_alone() -> None:
    found = variants(
        {"params.list.0": [1, 2], "upscale.size.width": [640, 704]},
        params={"list": [0]},
        upscale={"size": {"width": 64, "height": 64}},
    )

    jobs = [variant.job() for variant in found]
    jobs[0].values["params"]["list"].append(5)

    assert [variant.job().values["params"]["list"] for variant in found] == [[1], [1], [2], [2]]
    assert found[0].loaded.recipe.params == {"list": [0]}


@pytest.mark.parametrize(
    ("base", "sweep"),
    [
        ({"upscale": {"factor": 2}}, {"upscale.size": [{"width": 640, "height": 360}]}),
        ({"upscale": {"factor": 2}}, {"zip": {"upscale.size.width": [640], "upscale.size.height": [360]}}),
        ({"upscale": {"size": {"width": 64, "height": 64}}}, {"upscale.factor": [1.5]}),
        ({"size": {"width": 64, "height": 64}}, {"size.preset": ["sdxl-square"]}),
        ({"size": {"preset": "sdxl-square"}}, {"size.width": [512], "size.height": [512]}),
    ],
)
def test_an_alternative_takes_the_place_of_the_recipes_own(base: dict[str, Any], sweep: dict[str, Any]) -> None:
    (variant,) = variants(sweep, **base)

    assert variant.job().job_id == variant.job_id


def test_the_paths_of_a_variant_have_its_own_id_and_seed() -> None:
    found = variants({"seed": [5, 6]}, output={"original": "{job_id}/{seed}.png"})[1].job()

    assert found.outputs == {"original": "lake-s6/6.png"}
    assert found.output_for("upscaled") == "lake-s6/upscaled.png"


def test_a_random_seed_is_asked_for_where_a_variant_has_one() -> None:
    found = variants({"seed": [5, "random"]})

    assert [variant.draw for variant in found] == [None, Draw()]
    assert found[1].job(seed=9).seed == 9
    assert "random" in fault(lambda: found[1].job(), error=UsageError).what
    assert "already has a seed" in fault(lambda: found[0].job(seed=9), error=UsageError).what


def test_a_swept_seed_needs_none_though_the_recipes_is_random() -> None:
    loaded = from_mapping({"sweep": {"seed": [5]}})

    assert loaded.needs_seed
    assert expand(loaded)[0].draw is None


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ({"seed": ["random"] * 3}, ["s-random", "s-random2", "s-random3"]),
        ({"seed": ["random", 5, "random"]}, ["s-random", "s5", "s-random2"]),
        ({"seed": {"start": "random", "count": 3}}, ["s-random", "s-random-plus1", "s-random-plus2"]),
        ({"seed": {"start": "random", "count": 2, "step": -10}}, ["s-random", "s-random-minus10"]),
        ({"seed": ["random"] * 2, "clip_skip": [1, 2]}, ["clip1-s-random", "clip2-s-random", "clip1-s-random2", "clip2-s-random2"]),
        ({"zip": {"seed": ["random"] * 2, "clip_skip": [1, 2]}}, ["clip1-s-random", "clip2-s-random2"]),
        ({"zip": {"seed": {"start": "random", "count": 2}, "clip_skip": [1, 2]}}, ["clip1-s-random", "clip2-s-random-plus1"]),
        ({"seed": ["random", "random", 5], "exclude": [{"seed": "random"}]}, ["s5"]),
        ({"seed": ["random"] * 2, "clip_skip": [1, 2], "exclude": [{"seed": "random", "clip_skip": 1}]},
         ["clip2-s-random", "clip2-s-random2"]),
        ({"seed": [5], "include": [{"seed": "random"}, {"seed": "random"}]}, ["s5", "s-random2", "s-random3"]),
        ({"seed": ["random"] * 2, "include": [{"seed": "random"}, {"clip_skip": 2}]},
         ["s-random", "s-random2", "s-random3", "clip2"]),
        ({"seed": {"start": "random", "count": 2}, "include": [{"seed": "random"}]}, ["s-random", "s-random-plus1", "s-random2"]),
    ],
)  # fmt: skip
def test_each_random_seed_of_a_sweep_is_a_draw_of_its_own(sweep: dict[str, Any], expected: list[str]) -> None:
    found = expand(from_mapping({"name": "lake", "sweep": sweep}))

    assert [variant.job_id for variant in found] == [f"lake-{token}" for token in expected]
    assert from_mapping({"name": "lake", "sweep": sweep}).notes == ()
    for variant in found:
        assert variant.job(seed=9 if variant.draw else None).seed == (9 if variant.draw else 5)


def test_what_draws_are_called_does_not_hang_on_other_values() -> None:
    three = {variant.job_id: variant.draw for variant in variants({"seed": ["random"] * 3})}
    more = {variant.job_id: variant.draw for variant in variants({"seed": [7, *["random"] * 4], "upscale.denoise": [0.5]})}

    assert {job_id.replace("-d050", "") for job_id in more} > set(three)
    assert [draw.record("lake") for draw in three.values() if draw] == ["lake", "lake#2", "lake#3"]


def test_seeds_from_a_drawn_one_stay_within_their_range() -> None:
    draws = [variant.draw for variant in variants({"seed": {"start": "random", "count": 3}})]

    assert {draw.record("lake") for draw in draws if draw} == {"lake"}
    assert [draw.seed(MAX_SEED - 1) for draw in draws if draw] == [MAX_SEED - 1, MAX_SEED, 0]
    assert [variant.assignments["seed"] for variant in variants({"seed": {"start": "random", "count": 2}})] == [
        "random",
        "random+1",
    ]


def test_the_place_of_a_swept_field_is_its_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(
        tmp_path, "lib/base.yaml", "seed: 1\nupscale:\n  denoise: 0.7\nsweep:\n  upscale.denoise: [0.4]\n  template: [x.json]\n"
    )
    loaded = load(written(tmp_path, "x.yaml", "extends: lib/base.yaml\nprompt: y\n"), sweeps=["seed=1,2"])

    found = expand(loaded)[0].job().recipe

    assert found.where("upscale.denoise") == "lib/base.yaml:5: sweep.upscale.denoise"
    assert found.where("seed") == "--sweep seed"
    assert found.where("prompt") == "x.yaml:2: prompt"
    assert found.folder("template") == tmp_path / "lib"
    assert loaded.where("upscale.denoise") == "lib/base.yaml:3: upscale.denoise"
    assert (
        "lib/base.yaml:5: sweep.upscale.denoise" in {note.where for note in expand(loaded)[0].job().notes} or found.recipe.template
    )


def test_what_only_a_combination_shows_names_its_job() -> None:
    found = variants({"upscale.factor": [1, 8], "size.width": [64, 16384]}, size={"width": 64, "height": 64})

    assert [len(faults(variant.job)) for variant in found[3:]] == [1]
    assert str(fault(found[3].job)) == (
        "recipe: sweep.upscale.factor: makes 131072x512, and sides must be from 16 to 16384 pixels in job lake-w16384-x8"
    )
    assert [variant.job().job_id for variant in found[:3]] == ["lake-w64-x1", "lake-w16384-x1", "lake-w64-x8"]


def test_an_output_that_only_a_variant_makes_impossible_is_an_error() -> None:
    found = variants({"seed": [10, 1]}, output={"original": "{job_id}/com{seed}.png"}, seed=22)

    assert found[0].job().outputs == {"original": "lake-s10/com10.png"}
    assert "Windows" in fault(found[1].job).what
