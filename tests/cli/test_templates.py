"""``comfy-runner templates``: a line per template, all there is to know of one, its graph alone, an object for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from comfy_runner.cli.main import main
from comfy_runner.shipped import shipped
from comfy_runner.templating.lookup import template_names
from tests.cli.support import Typed
from tests.hostile.tally import harmless
from tests.hostile.values import TEXTS
from tests.standin import StandIn, State

Cli = Callable[..., Typed]

_SHIPPED = template_names([shipped("templates")])
_MINE = """{#
description: A soft glow. Nothing else.
params:
  glow: {type: number, default: 0.3, min: 0, max: 1, description: Strength of the glow.}
  mode: {type: text, choices: [soft, hard], description: How it is blended.}
fields:
  checkpoint: {default: glow.safetensors}
  upscale.factor: {usual: [1, 4], below: nothing glows, above: everything glows}
outputs:
  original: What glows.
needs: {comfyui: 0.3.40, nodes: {Glow: the node pack Glowing}}
#}
{
  "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": {{ checkpoint }}}, "_meta": {"title": "1. Model"}},
  "glow": {
    "class_type": "Glow",
    "inputs": {"model": ["checkpoint", 0], "by": {{ params.glow }}, "how": {{ params.mode }}, "times": {{ upscale.factor }}}
  },
  "save": {
    "class_type": "SaveImage",
    "inputs": {"images": ["glow", 0], "filename_prefix": "x"},
    "_meta": {"title": "Save", "role": "original"}
  }
}
"""
_GRAPH = """\
flowchart LR
    n1["#8288;1. Model<br/>CheckpointLoaderSimple"]
    n2["Glow"]
    n3(["Save<br/>SaveImage"])
    n1 -->|"model"| n2
    n2 -->|"images"| n3
"""
_TEXT = """\
mine (templates/mine.json.j2)
  A soft glow. Nothing else.
parameters
  params.glow  number; 0 to 1; default 0.3
               Strength of the glow.
  params.mode  text; one of soft, hard; required
               How it is blended.
recipe fields
  checkpoint      text; default glow.safetensors
                  Checkpoint file, as the server lists it.
  size            object; default {"width": 1024, "height": 576}
                  Size of the original.
  upscale.factor  number; above 0, at most 8; optional
                  Times the original's size; 2 if no size is given.
                  1 to 4 is usual; below that, nothing glows; above that,
                  everything glows.
  upscale.size    object; optional
                  Pixels, instead of factor.
outputs
  original  SaveImage  What glows.
models
  checkpoints  glow.safetensors  from checkpoint
nodes
  ComfyUI 0.3.40 or newer: CheckpointLoaderSimple, SaveImage
  the node pack Glowing: Glow
graph (words in capitals stand for values of a recipe)
"""


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "templates" / "mine.json.j2"
    path.parent.mkdir()
    path.write_text(_MINE, encoding="utf-8")
    return path


def _listed(out: str) -> dict[str, str]:
    """Return what is said of each template; a line that begins with blanks continues the one above it."""
    whole = re.sub(r"\n +", " ", out)
    return dict(line.split(maxsplit=1) for line in whole.splitlines())


def test_each_template_is_listed_with_its_place_and_its_first_sentence(cli: Cli, mine: Path) -> None:
    done = cli("templates")

    assert (done.code, done.err) == (0, "")
    lines = _listed(done.out)
    assert list(lines) == sorted([*_SHIPPED, mine.name.partition(".")[0]])
    assert lines["mine"] == "templates  A soft glow."
    assert lines["latent_upscale"].startswith("shipped    Text to image, the latent enlarged")
    assert lines["latent_upscale"].endswith(".")
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_a_broken_template_is_listed_with_its_error_and_hides_no_other(cli: Cli, mine: Path) -> None:
    (mine.parent / "bad.json.j2").write_text("{# params: {x: {type: wrong}} #}\n{}", encoding="utf-8")
    (mine.parent / "worse.json.j2").write_text("{%", encoding="utf-8")

    done = cli("templates")

    lines = _listed(done.out)
    assert done.code == 0
    assert set(lines) == {*_SHIPPED, "mine", "bad", "worse"}
    assert lines["bad"].startswith("templates  broken: type must be one of integer, number")
    assert [line.partition(": ")[0] for line in done.err.splitlines()] == ["warning", "warning"]
    assert "templates/bad.json.j2:1: params.x: type must be" in done.err
    assert "templates/worse.json.j2:1" in done.err


def test_given_folders_come_first(cli: Cli, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / mine.name).write_text("{# description: Another. #}{}", encoding="utf-8")

    done = cli("templates", "--templates", "given")

    assert next(line.split() for line in done.out.splitlines() if line.startswith("mine")) == ["mine", "given", "Another."]


@pytest.mark.parametrize("name", ["mine", "templates/mine.json.j2", "./templates/mine.json.j2"])
def test_one_is_described_by_its_name_or_its_path(cli: Cli, mine: Path, name: str) -> None:
    done = cli("templates", name)

    assert mine.is_file()
    assert (done.code, done.err) == (0, "")
    assert done.out == _TEXT + "".join(f"  {line}\n" for line in _GRAPH.splitlines())


def test_the_graph_can_be_had_alone(cli: Cli, mine: Path) -> None:
    assert mine.is_file()
    assert cli("templates", "mine", "--mermaid") == Typed(0, _GRAPH, "")


@pytest.mark.parametrize("name", _SHIPPED)
def test_every_shipped_template_is_described(cli: Cli, name: str) -> None:
    done = cli("templates", name)

    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"{name} (shipped)"
    assert "recipe fields" in lines
    assert "  flowchart LR" in lines


def test_json_has_the_same(cli: Cli, mine: Path) -> None:
    found = json.loads(cli("templates", "mine", "--json").out)

    assert found["v"] == 1
    template = found["template"]
    assert (template["name"], template["path"], template["shipped"]) == ("mine", str(mine), False)
    assert template["fields"][2]["usual"] == {"min": 1, "max": 4, "below": "nothing glows", "above": "everything glows"}
    assert template["models"][0]["field"] == "checkpoint"
    assert template["nodes"][1] == {"class_type": "Glow", "count": 1, "pack": "the node pack Glowing"}
    assert (template["comfyui"], template["failure"], template["mermaid"]) == ("0.3.40", None, _GRAPH.rstrip())


def test_json_lists_broken_ones_with_their_problems(cli: Cli, mine: Path) -> None:
    (mine.parent / "worse.json.j2").write_text("{%", encoding="utf-8")

    found = {listed["name"]: listed for listed in json.loads(cli("templates", "--json").out)["templates"]}

    assert (found["mine"]["sentence"], found["mine"]["problems"]) == ("A soft glow.", [])
    assert found["worse"]["problems"][0]["where"] == "templates/worse.json.j2:1"


def test_an_unknown_name_is_an_error_with_the_nearest(cli: Cli) -> None:
    done = cli("templates", "controlnet_tiles")

    assert (done.code, done.out) == (2, "")
    assert "no template of this name (got controlnet_tiles)" in done.err
    assert "did you mean controlnet_tile?" in done.err
    assert json.loads(cli("templates", "controlnet_tiles", "--json").out)["code"] == "template"


def test_one_that_needs_more_than_words_says_so_and_has_no_graph(cli: Cli, mine: Path) -> None:
    mine.write_text(_MINE.replace("{{ params.mode }}", "{{ params.mode + 1 }}"), encoding="utf-8")

    described, graph = cli("templates", "mine"), cli("templates", "mine", "--mermaid")

    assert described.code == 0
    assert "parameters\n  params.glow" in described.out
    assert "graph: it cannot be rendered without a recipe: templates/mine.json.j2:17" in " ".join(described.out.split())
    assert (graph.code, graph.out) == (2, "")


def test_a_server_is_asked_what_it_lacks(cli: Cli, mine: Path) -> None:
    assert mine.is_file()
    with StandIn(State(models={"checkpoints": ["tiny.safetensors"]})) as server:
        lacking = cli("templates", "mine", "--server", server.url)
        nothing = cli("templates", "latent_upscale", "--server", server.url)

    said = " ".join(lacking.out.split())
    assert lacking.code == 0
    assert f"{server.url} has no node class Glow (it comes with the node pack Glowing)" in said
    assert 'checkpoint: "glow.safetensors" is not among the 1 that' in said
    assert f"{server.url}\n  has everything that the template itself needs" in nothing.out


@pytest.mark.parametrize(
    "args", [("--mermaid",), ("--server", "http://x"), ("latent_upscale", "--mermaid", "--json"), ("latent_upscale", "more")]
)
def test_what_makes_no_sense_is_refused(cli: Cli, args: tuple[str, ...]) -> None:
    assert cli("templates", *args).code == 2


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_words_stay_words(text: str, cli: Cli, mine: Path) -> None:
    quoted = json.dumps(text[:200])
    header = (
        f"description: {quoted}\nparams: {{a: {{type: any, default: {quoted}, description: {quoted}}}}}\noutputs: {{x: {quoted}}}"
    )
    graph = {
        text[:99] + "x": {
            "class_type": text or "C",
            "inputs": {text + "filename_prefix": "a", "filename_prefix": "a", "ckpt_name": text},
            "_meta": {"title": text, "role": text},
        }
    }
    body = "{% raw %}" + json.dumps(graph).replace("{%", "{ %") + "{% endraw %}"
    mine.write_text("{#\n" + header.replace("#}", "# }") + "\n#}\n" + body, encoding="utf-8", errors="replace")

    for args in ((), ("mine",), ("mine", "--json"), ("mine", "--mermaid")):
        done = cli("templates", *args)
        assert done.code in (0, 2)
        assert harmless(done.out)
        assert "internal" not in done.err


@pytest.mark.parametrize("name", ["", " ", "..", "/", "\n", "a/b", "x" * 5000, "-", "\x1b[2J.json.j2"])
def test_hostile_names_are_errors(cli: Cli, name: str) -> None:
    done = cli("templates", "--", name)

    assert (done.code, done.out) == (2, "")
    assert "internal" not in done.err


def test_it_is_there_in_an_empty_place_and_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text("templates: [more]\n", encoding="utf-8")

    with pytest.raises(SystemExit) as caught:
        main(["templates"])

    assert caught.value.code == 0
