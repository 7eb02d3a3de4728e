"""``comfy-runner import``: what it writes, what it says of it, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Typed, recipe_file
from tests.importer.files import graph, json_file, page_workflow, picture
from tests.standin import StandIn
from tests.standin.nodes import object_info

Cli = Callable[..., Typed]

_PARAMETERS = """a red fox, snow
Negative prompt: blurry
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 42, Size: 512x768, Model: dreamshaper_8"""


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def fox(tmp_path: Path) -> Path:
    return json_file(tmp_path / "fox.json", graph())


@pytest.mark.usefixtures("fox")
def test_a_graph_becomes_a_recipe_and_a_template_that_render_to_it(cli: Cli) -> None:
    done = cli("import", "fox.json")

    assert done.code == 0
    assert done.out.splitlines() == ["fox.yaml", str(Path("templates/fox.json.j2"))]
    rendered = json.loads(cli("render", "fox.yaml").out)
    assert {name: (node["class_type"], node["inputs"]) for name, node in rendered.items()} == {
        name: (node["class_type"], node["inputs"]) for name, node in graph().items()
    }


@pytest.mark.usefixtures("fox")
def test_it_says_what_became_what_and_the_next_command(cli: Cli) -> None:
    said = cli("import", "fox.json").err.splitlines()

    assert said[0] == "fox.json: ComfyUI's graph, 8 nodes"
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in said[1:]}
    assert rows["checkpoint"] == "tiny-random-sd15.safetensors node 4"
    assert rows["size"] == "64x128 node 5"
    assert rows["sampler"] == "name euler, scheduler normal, steps 2, cfg 5.5 node 3"
    assert rows["outputs:"] == "picture (node 9)"
    assert said[-1] == "next: comfy-runner run fox.yaml"
    assert len(said) < 25


def test_a_server_gives_ranges_and_says_what_it_lacks(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    lacking = graph()
    lacking["4"]["inputs"]["ckpt_name"] = "nowhere.safetensors"
    json_file(tmp_path / "fox.json", lacking)

    done = cli("import", "fox.json", "--server", server.url, "--param", "10.megapixels=large")

    assert done.code == 0
    assert f'checkpoint: "nowhere.safetensors" is not among the 2 that {server.url} has' in " ".join(done.err.split())
    assert done.err.splitlines()[-1] == f"next: comfy-runner run fox.yaml --server {server.url}"
    assert "max: 16.0" in (tmp_path / "templates" / "fox.json.j2").read_text(encoding="utf-8")
    assert "large: 0.02" in (tmp_path / "fox.yaml").read_text(encoding="utf-8")


@pytest.mark.usefixtures("fox")
def test_a_server_that_has_all_is_said_to(cli: Cli, server: StandIn) -> None:
    assert f"  {server.url} has everything that it needs" in cli("import", "fox.json", "--server", server.url).err.splitlines()


@pytest.mark.usefixtures("fox")
@pytest.mark.parametrize("there", ["fox.yaml", "templates/fox.json.j2"])
def test_nothing_is_overwritten_unless_asked_for(cli: Cli, tmp_path: Path, there: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine", encoding="utf-8")

    refused = cli("import", "fox.json")

    assert (refused.code, refused.out) == (2, "")
    assert f"error: {there}: already exists" in refused.err
    assert path.read_text(encoding="utf-8") == "mine"
    assert not all((tmp_path / name).exists() for name in ("fox.yaml", "templates/fox.json.j2"))
    assert cli("import", "fox.json", "--force").code == 0
    assert path.read_text(encoding="utf-8") != "mine"


def test_the_file_that_is_imported_is_never_overwritten(cli: Cli, tmp_path: Path) -> None:
    text = json_file(tmp_path / "self.yaml", graph()).read_bytes()

    done = cli("import", "self.yaml", "--force")

    assert (done.code, done.out) == (2, "")
    assert "error: self.yaml: is the imported file, which is not overwritten" in done.err
    assert "hint: choose another folder with --out" in done.err
    assert (tmp_path / "self.yaml").read_bytes() == text
    assert [path.name for path in tmp_path.iterdir()] == ["self.yaml"]


@pytest.mark.usefixtures("fox")
@pytest.mark.parametrize(
    ("there", "said"),
    [("out/fox.yaml/", "out/fox.yaml: is a folder"), ("out/templates", "out/templates: is a file where a folder is needed")],
)
@pytest.mark.parametrize("options", [(), ("--force",)], ids=["", "force"])
def test_nothing_is_half_written_where_one_file_cannot_be(
    cli: Cli, tmp_path: Path, there: str, said: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / there
    path.mkdir() if there.endswith("/") else path.write_text("mine", encoding="utf-8")

    done = cli("import", "fox.json", "--out", "out", *options)

    assert (done.code, done.out) == (2, "")
    assert f"error: {said}" in done.err
    assert "hint: choose another folder with --out" in done.err
    assert [*(tmp_path / "out").rglob("*")] == [path]


@pytest.mark.usefixtures("fox")
def test_another_folder_and_another_name(cli: Cli, tmp_path: Path) -> None:
    done = cli("import", "fox.json", "--out", "mine/recipes", "--name", "Red_fox")

    assert done.code == 0
    assert (tmp_path / "mine/recipes/templates/Red_fox.json.j2").is_file()
    assert cli("validate", "mine/recipes/Red_fox.yaml").code == 0


def test_a_file_called_like_a_shipped_template_does_not_take_its_place(cli: Cli, tmp_path: Path) -> None:
    json_file(tmp_path / "Latent Upscale.json", graph())

    assert cli("import", "Latent Upscale.json").out.splitlines()[0] == "latent-upscale-imported.yaml"


@pytest.mark.usefixtures("fox")
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--param", "10.megapixels", "must be NODE.INPUT=NAME"),
        ("--param", "11.megapixels=large", 'there is no such node (got "11")'),
        ("--param", "10.scale=large", 'has no such input (got "scale")'),
        ("--param", "10.image=x", "is a link"),
        ("--param", "10.megapixels=items", "hint: another name, such as items_1"),
        ("--param", "10.megapixels=__class__", "is a word of the template language"),
        ("--name", "../fox", "must be letters, digits, - and _"),
    ],
)
def test_wrong_options_are_told(cli: Cli, tmp_path: Path, option: str, value: str, said: str) -> None:
    done = cli("import", "fox.json", option, value)

    assert done.code == 2
    assert said in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["fox.json"]


def test_of_a_picture_with_graph_and_workflow_the_graph_is_taken_which_needs_no_server(cli: Cli, tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"workflow": page_workflow(), "prompt": graph()})

    done = cli("import", "fox.png")

    assert done.code == 0
    assert done.err.splitlines()[0] == "fox.png: ComfyUI's graph (prompt), 8 nodes"


def test_a_workflow_of_the_page_needs_a_server_or_its_saved_answer(cli: Cli, tmp_path: Path) -> None:
    json_file(tmp_path / "blue.json", page_workflow())
    json_file(tmp_path / "nodes.json", object_info({}))

    alone = cli("import", "blue.json")
    done = cli("import", "blue.json", "--object-info", "nodes.json")

    assert alone.code == 2
    assert alone.err.splitlines()[-1] == "hint: give --server URL, or export it in ComfyUI: Workflow > Export (API)"
    assert done.code == 0
    assert json.loads(cli("render", "blue.yaml").out)["1"]["inputs"] == {"width": 64, "height": 32, "batch_size": 1, "color": 255}


@pytest.mark.parametrize("kind", ["png", "txt"])
def test_what_a1111_wrote_becomes_a_recipe_for_a_shipped_template(cli: Cli, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"fox.{kind}"
    if kind == "png":
        picture(path, {"parameters": _PARAMETERS}, size=(512, 768))
    else:
        path.write_text(_PARAMETERS, encoding="utf-8")

    done = cli("import", path.name)

    assert (done.code, done.out) == (0, "fox.yaml\n")
    assert "which comes with the program" in done.err
    sampler = next(node for node in json.loads(cli("render", "fox.yaml").out).values() if node["class_type"] == "KSampler")
    assert sampler["inputs"].items() >= {"seed": 42, "steps": 20, "sampler_name": "dpmpp_2m", "scheduler": "karras"}.items()


def test_a_text_that_names_no_model_says_how_to_give_one(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fox.txt").write_text(_PARAMETERS.partition(", Model:")[0], encoding="utf-8")

    done = cli("import", "fox.txt")

    assert done.code == 0
    assert "warning: fox.txt: it does not say which model it was made with: give checkpoint" in done.err
    assert done.err.splitlines()[-1] == "next: comfy-runner run fox.yaml --set checkpoint=FILE"
    assert cli("validate", "fox.yaml").code == 2
    assert cli("validate", "fox.yaml", "--set", "checkpoint=x.safetensors").code == 0


def test_a_picture_of_ours_becomes_the_recipe_that_made_it(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    cli("run", str(recipe_file(tmp_path)), "--server", server.url)
    shutil.copy(tmp_path / "runs" / "lake" / "lake" / "upscaled.png", tmp_path / "some.png")
    (tmp_path / "lake.yaml").unlink()

    done = cli("import", "some.png")
    other = cli("import", "some.png", "--param", "first_pass.cfg=strength")

    assert (done.code, done.out) == (0, "lake.yaml\n")
    assert "latent_upscale, which comes with the program" in done.err
    assert other.out.splitlines() == ["some.yaml", str(Path("templates/some.json.j2"))]
    assert json.loads(cli("render", "lake.yaml").out) == json.loads(cli("render", "runs/lake/lake/job.json").out)


def test_the_next_command_repeats_no_password(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    json_file(tmp_path / "fox.json", graph())

    done = cli("import", "fox.json", "--server", server.url.replace("://", "://user:s3cr3t@"))

    assert done.code == 0
    assert done.err.splitlines()[-1] == f"next: comfy-runner run fox.yaml --server {server.url}"
    assert "s3cr3t" not in done.out + done.err


@pytest.mark.usefixtures("fox")
def test_json_has_all_that_is_cut_for_people(cli: Cli, tmp_path: Path) -> None:
    found = json.loads(cli("import", "fox.json", "--json").out)

    assert found["v"] == 1
    made = found["import"]
    assert made["name"] == "fox"
    assert {"field": "seed", "value": 7, "places": [{"node": "3", "input": "seed"}]} in made["fields"]
    assert any(each["option"] == "--param 10.megapixels=megapixels" for each in made["left"]) or "megapixels" in str(made["params"])
    assert made["outputs"] == {"picture": "9"}
    assert made["files"] == [str(tmp_path / "fox.yaml"), str(tmp_path / "templates" / "fox.json.j2")]


def test_a_file_without_a_workflow_is_refused_with_the_way_out(cli: Cli, tmp_path: Path) -> None:
    picture(tmp_path / "plain.png", {})

    done = cli("import", "plain.png")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: plain.png: contains no workflow")
    assert "hint: " in done.err
