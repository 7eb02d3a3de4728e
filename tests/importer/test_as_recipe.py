"""A workflow or a picture in the place of a recipe: what is rendered, under which name, and what is said of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import api
from comfy_runner.config import Config
from comfy_runner.errors import InputError, UsageError
from tests.importer.files import graph, json_file, page_workflow, picture
from tests.running.support import notes_of, posted, rendered, sidecar_in, small
from tests.standin import StandIn
from tests.standin.nodes import object_info


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "comfy-runner" / "imported"


def _inputs(graph: dict[str, Any]) -> dict[str, Any]:
    """Return what a server makes of a graph: classes and inputs, file prefixes aside."""
    bare = ((node["class_type"], {k: v for k, v in node["inputs"].items() if k != "filename_prefix"}) for node in graph.values())
    return dict(zip(graph, bare, strict=True))


@pytest.mark.parametrize("kind", ["graph.json", "wrapped.json", "picture.png"])
def test_what_is_posted_is_what_the_file_says(server: StandIn, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind.endswith(".png"):
        picture(path, {"prompt": graph(), "workflow": page_workflow()})
    else:
        json_file(path, graph() if kind == "graph.json" else {"prompt": graph()})

    (result,) = rendered(server, tmp_path / "out", str(path))

    assert (result.job_id, result.state) == (path.stem, "done")
    assert _inputs(posted(server)[0]) == _inputs(graph())


def test_a_workflow_of_the_page_is_converted_with_the_servers_nodes(server: StandIn, tmp_path: Path) -> None:
    path = json_file(tmp_path / "blue.json", page_workflow())

    rendered(server, tmp_path / "out", str(path))

    assert posted(server)[0]["1"]["inputs"] == {"width": 64, "height": 32, "batch_size": 1, "color": 255}
    with pytest.raises(UsageError, match="format of ComfyUI's page"):
        api.plan([str(path)], config=Config())


def test_the_first_server_that_answers_is_asked(server: StandIn, tmp_path: Path) -> None:
    path = json_file(tmp_path / "blue.json", page_workflow())

    found = api.plan([str(path)], server=["http://127.0.0.1:9", server.url], config=Config())

    assert [row.job_id for row in found.jobs] == ["blue"]


def test_what_a1111_wrote_is_rendered_with_a_shipped_template(server: StandIn, tmp_path: Path) -> None:
    settings = "Steps: 2, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 64x64, Model: tiny-random-sd15, Hires upscale: 1.5"
    picture(tmp_path / "fox.png", {"parameters": f"a fox\n{settings}, Hires upscaler: Latent, Denoising strength: 0.6"})

    notes = [str(note) for note in notes_of(server, tmp_path / "out", "fox.png", sweeps=["upscale.denoise=0.6,0.7"])]

    assert notes[0] == "fox.png: made by A1111 or Forge: its parameters are rendered with the template latent_upscale"
    assert {body["first_pass"]["inputs"]["sampler_name"] for body in posted(server)} == {"euler_ancestral"}
    assert {body["second_pass"]["inputs"]["denoise"] for body in posted(server)} == {0.6, 0.7}


def test_it_says_what_was_taken_from_where_and_what_can_be_changed(server: StandIn, tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})

    first, *_ = notes_of(server, tmp_path / "out", "fox.png")

    assert first.level == "changed"
    assert str(first).startswith(
        "fox.png: ComfyUI's graph (prompt) is rendered as it is, 8 nodes; --set and --sweep take checkpoint,"
    )


def test_what_is_wrong_with_a1111s_text_names_the_file(tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"parameters": "a fox\nSteps: 2, Sampler: PLMS, CFG scale: 7, Seed: 42, Size: 64x64, Model: x"})

    with pytest.raises(UsageError, match=r"fox\.png: Sampler: ComfyUI has no such sampler"):
        api.render("fox.png", config=Config())


def test_a_server_knows_which_nodes_of_packs_save(tmp_path: Path) -> None:
    odd = {name: node for name, node in graph().items() if name != "9"}
    odd["9"] = {"class_type": "Uplink", "inputs": {"pixels": ["10", 0]}}
    path = json_file(tmp_path / "odd.json", odd)
    known = object_info({})
    known["Uplink"] = {"input": {"required": {"pixels": ["IMAGE"]}}, "output": [], "output_node": True}
    json_file(tmp_path / "nodes.json", known)

    found = api.render(path, object_info=tmp_path / "nodes.json", config=Config())

    assert found.outputs == {"picture": "9"}


def test_fields_of_it_can_be_set_and_swept_over(server: StandIn, tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})

    results = rendered(server, tmp_path / "out", "fox.png", sets=["prompt=a wolf"], sweeps=["sampler.cfg=3,4"])

    assert [result.job_id for result in results] == ["fox-cfg3", "fox-cfg4"]
    assert {body["3"]["inputs"]["cfg"] for body in posted(server)} == {3, 4}
    assert {body["6"]["inputs"]["text"] for body in posted(server)} == {"a wolf"}


def test_the_run_folder_is_called_after_the_file(server: StandIn, tmp_path: Path) -> None:
    picture(tmp_path / "My Fox.png", {"prompt": graph()})

    assert api.plan(["My Fox.png"], config=Config()).jobs[0].job_id == "my-fox"
    api.run(["My Fox.png"], server=server.url, config=Config()).results()
    assert (tmp_path / "runs" / "my-fox" / "my-fox" / "picture.png").is_file()


def test_a_template_of_the_same_name_does_not_take_the_place_of_its_own(tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "fox.json.j2").write_text("{}", encoding="utf-8")

    found = api.render("fox.png", templates=[tmp_path / "templates"], config=Config())

    assert _inputs(found.to_api()) == _inputs(graph())


def test_a_glob_of_pictures_is_one_plan(tmp_path: Path) -> None:
    for seed in (1, 2):
        picture(tmp_path / f"fox{seed}.png", {"prompt": graph(seed=seed)})

    summary = api.plan(["fox*.png"], out=tmp_path / "out", config=Config())

    assert [row.job_id for row in summary.jobs] == ["fox1", "fox2"]


def test_both_pictures_of_a_job_are_one_recipe(server: StandIn, tmp_path: Path) -> None:
    seeds = small(template="latent_upscale_by", upscale={"factor": 1.5, "denoise": 0.6}, sweep={"seed": [1, 2]})
    rendered(server, tmp_path / "out", seeds)

    summary = api.plan(["out/*/*.png"], out=tmp_path / "again", config=Config())
    notes = [str(note) for note in api.validate(["out/*/*.png"], config=Config())]
    renamed = api.plan(["out/lake-s1/*.png"], sets=["name=pond"], config=Config())

    assert [row.job_id for row in renamed.jobs] == ["pond"]
    assert [row.job_id for row in summary.jobs] == ["lake-s1", "lake-s2"]
    for job in ("lake-s1", "lake-s2"):
        same = f"out/{job}/upscaled.png: has the same recipe as out/{job}/original.png; it is rendered once"
        assert notes.count(same) == 1


def test_pictures_of_one_name_get_different_names_in_their_order(tmp_path: Path) -> None:
    for number, name in enumerate(("a/x.png", "b/x.png", "c/x.png", "x-2.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(tmp_path / name, {"prompt": graph(seed=number)})

    files = ["a/x.png", "b/x.png", "c/x.png", "x-2.png"]
    summary = api.plan(files, out=tmp_path / "out", config=Config())
    notes = [str(note) for note in api.validate(files, config=Config())]

    assert [row.job_id for row in summary.jobs] == ["x", "x-3", "x-4", "x-2"]
    assert [note for note in notes if "is called" in note] == [
        "b/x.png: is called x-3 here, because x is already taken",
        "c/x.png: is called x-4 here, because x is already taken",
    ]


def test_names_that_recipes_give_are_never_changed(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for number, name in enumerate(("x.png", "b/x.png")):
        picture(tmp_path / name, {"prompt": graph(seed=number)})

    beside = api.plan(["x.png", small(name="x")], out=tmp_path / "out", config=Config())

    assert [row.job_id for row in beside.jobs] == ["x-2", "x"]
    with pytest.raises(UsageError, match="job x also belongs to"):
        api.plan([small(name="x"), small(name="x", seed=2)], out=tmp_path / "out", config=Config())
    with pytest.raises(UsageError, match="job y also belongs to"):
        api.plan(["x.png", "b/x.png"], sets=["name=y"], out=tmp_path / "out", config=Config())


def test_another_picture_of_the_same_name_is_told_without_the_place_of_its_template(server: StandIn, tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})
    rendered(server, tmp_path / "out", "fox.png")
    other = graph(seed=8)
    other["10"]["inputs"]["megapixels"] = 0.03
    picture(tmp_path / "fox.png", {"prompt": other})

    again = [note.what for note in notes_of(server, tmp_path / "out", "fox.png") if "is rendered again" in note.what]

    assert again == ["is rendered again: seed 7 → 8, params.megapixels 0.02 → 0.03, the template fox has changed"]


def test_what_is_wrong_names_the_file_and_the_field(tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})

    with pytest.raises(InputError) as caught:
        api.validate(["fox.png"], sets=["sampler.step=3"], config=Config())
    assert "sampler.step" in str(caught.value)


@pytest.mark.parametrize("is_there", [True, False], ids=["template kept", "template gone"])
def test_a_finished_job_is_made_again_from_its_sidecar(server: StandIn, tmp_path: Path, cache: Path, *, is_there: bool) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})
    rendered(server, tmp_path / "out", "fox.png", sets=["seed=9"])
    if not is_there:
        shutil.rmtree(cache)

    notes = notes_of(server, tmp_path / "again", str(tmp_path / "out" / "fox" / "job.json"))

    first, second = posted(server)
    assert _inputs(first) == _inputs(second)
    assert sidecar_in(tmp_path / "again", "fox")["content_hash"] == sidecar_in(tmp_path / "out", "fox")["content_hash"]
    assert any("no longer exists" in note.what for note in notes) is not is_there


def test_a_picture_of_our_own_is_made_again_by_its_own_recipe(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "out", small(template="latent_upscale_by", upscale={"factor": 1.5, "denoise": 0.6}))
    shutil.copy(tmp_path / "out" / "lake" / "upscaled.png", tmp_path / "anything.png")

    note, *_ = notes_of(server, tmp_path / "again", "anything.png")
    again = api.plan(["anything.png"], sweeps=["upscale.denoise=0.5,0.6"], config=Config())

    assert str(note) == "anything.png: made by comfy_runner: its own recipe is rendered, lake, with the template latent_upscale_by"
    assert sidecar_in(tmp_path / "again")["content_hash"] == sidecar_in(tmp_path / "out")["content_hash"]
    assert [row.job_id for row in again.jobs] == ["lake-d050", "lake-d060"]


def test_a_picture_of_a_picture_knows_the_template_that_was_kept(server: StandIn, tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})
    rendered(server, tmp_path / "out", "fox.png", sets=["seed=3"])

    note, *_ = notes_of(server, tmp_path / "again", str(tmp_path / "out" / "fox" / "picture.png"))

    assert "its own recipe is rendered, fox, with the template fox" in note.what
    assert _inputs(posted(server)[0]) == _inputs(posted(server)[1])


def _template(folder: Path, size: float) -> Path:
    folder.mkdir(exist_ok=True)
    template = json.dumps(graph()).replace('"megapixels": 0.02', f'"megapixels": {size}').replace("{{snow}}", "snow")
    (folder / "mine.json.j2").write_text(template.replace('"seed": 7', '"seed": {{ seed }}'), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shutil.rmtree, 'the template "mine", with which comfy_runner made it, cannot be found unchanged'),
        (lambda folder: _template(folder, 0.03), "cannot be found unchanged"),
        (Path.exists, ""),
    ],
    ids=["gone", "changed", "as it was"],
)
def test_of_a_picture_whose_template_is_not_as_it_was_the_graph_is_rendered(
    server: StandIn, tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    folder = _template(tmp_path / "templates", 0.02)
    rendered(server, tmp_path / "out", {"name": "lake", "template": "mine", "seed": 3}, templates=[folder])
    shutil.copy(tmp_path / "out" / "lake" / "9.png", tmp_path / "fox.png")
    change(folder)

    notes = notes_of(server, tmp_path / "again", "fox.png")

    first, second = posted(server)
    assert _inputs(first) == _inputs(second)
    assert any(said in note.what for note in notes)
    assert any("its own recipe is rendered" in note.what for note in notes) is not bool(said)


def test_what_a_picture_claims_is_held_against_its_graph(server: StandIn, tmp_path: Path) -> None:
    rendered(server, tmp_path / "out", small())
    sidecar = sidecar_in(tmp_path / "out")
    about = {"recipe": sidecar["recipe"], "template": sidecar["template"], "content_hash": sidecar["content_hash"]}
    picture(tmp_path / "fox.png", {"prompt": graph(), "comfy_runner": about})

    notes = notes_of(server, tmp_path / "again", "fox.png")

    assert _inputs(posted(server)[-1]) == _inputs(graph())
    assert any("its recipe now makes a different picture" in note.what for note in notes)


def test_a_picture_cannot_make_a_recipe_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("prompt: a secret\n", encoding="utf-8")
    about = {"recipe": {"extends": "./secret.yaml", "name": "x"}, "template": {"name": "latent_upscale", "sha256": "0" * 64}}
    picture(tmp_path / "fox.png", {"prompt": graph(), "comfy_runner": about})

    assert _inputs(api.render("fox.png", config=Config()).to_api()) == _inputs(graph())


def test_a_comment_in_the_prompt_of_a_picture_is_what_was_painted(tmp_path: Path) -> None:
    said = graph()
    said["6"]["inputs"]["text"] = "a red fox # 7 // <lora:a:1>"
    picture(tmp_path / "fox.png", {"prompt": said})

    def warnings(*sets: str) -> list[str]:
        notes = api.plan(["fox.png"], sets=sets, config=Config()).notes
        return [note.what for note in notes if note.level == "warning"]

    assert [what[:38] for what in warnings()] == ['ComfyUI reads "<lora:a:1>" as words: r']
    assert [what[:38] for what in warnings("prompt=a red fox # small")] == ["comments are read as part of the promp"]


def test_a_picture_that_the_server_lacks_can_be_brought(server: StandIn, tmp_path: Path) -> None:
    said = graph()
    said["5"] = {"class_type": "LoadImage", "inputs": {"image": "nothere.png"}}
    said["11"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["5", 0], "vae": ["4", 2]}}
    said["3"]["inputs"]["latent_image"] = ["11", 0]
    json_file(tmp_path / "lake.json", said)

    with pytest.raises(InputError) as caught:
        rendered(server, tmp_path / "out", "lake.json")

    assert caught.value.problems[0].hint.startswith("bring your own file with --set params.image=FILE")
