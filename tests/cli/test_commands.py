"""What the commands print and write where nothing is wrong, through the real entry point."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from comfy_runner import __version__
from comfy_runner.store.run_folder import RunFolder
from tests.cli.support import Typed, recipe_file, typed
from tests.recipe.support import written
from tests.standin import NodeFault, StandIn, ViewFault
from tests.standin.nodes import object_info
from tests.standin.state import MODELS

Cli = Callable[..., Typed]


def test_a_run_prints_the_paths_of_the_pictures_and_talks_on_stderr(server: StandIn, tmp_path: Path) -> None:
    done = typed("run", str(recipe_file(tmp_path)), "--server", server.url, folder=tmp_path)

    assert done.code == 0
    assert done.out.splitlines() == [str(Path("runs/lake/lake") / name) for name in ("original.png", "upscaled.png")]
    first, *_, last = done.err.splitlines()
    assert first == f"1 job on {server.url}, run folder {Path('runs/lake')}"
    assert "lake: submitted" in done.err
    assert re.fullmatch(r"1 done, 2 pictures in \d+ s: runs/lake", last)


def test_quiet_says_nothing_but_the_paths(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    done = cli("run", str(recipe_file(tmp_path)), "--server", server.url, "-q")

    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == 2


def test_quiet_still_tells_errors(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    server.state.node_faults["first_pass"] = NodeFault.ERROR

    done = cli("run", str(recipe_file(tmp_path)), "--server", server.url, "-q")

    assert done.code == 1
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["error", "hint"]


def test_the_server_may_come_from_the_environment(server: StandIn, tmp_path: Path) -> None:
    done = typed("run", str(recipe_file(tmp_path)), folder=tmp_path, COMFY_RUNNER_SERVER=server.url)

    assert done.code == 0


def test_the_server_may_be_a_name_from_the_config_file(server: StandIn, tmp_path: Path) -> None:
    config = written(tmp_path, "config.yaml", f"servers: {{studio: {{url: '{server.url}', headers: {{X-Token: s3cr3t}}}}}}\n")

    done = typed("run", str(recipe_file(tmp_path)), "--server", "studio", folder=tmp_path, COMFY_RUNNER_CONFIG=str(config))

    assert done.code == 0
    assert server.state.asked[0].headers["x-token"] == "s3cr3t"
    assert "s3cr3t" not in done.out + done.err


@pytest.mark.parametrize(
    ("broken", "code"),
    [("node", 1), ("picture", 4), ("server", 3), ("folder", 5)],
)
def test_the_exit_code_tells_what_went_wrong(cli: Cli, server: StandIn, tmp_path: Path, broken: str, code: int) -> None:
    folder = RunFolder(tmp_path / "runs" / "lake") if broken == "folder" else None
    if broken == "node":
        server.state.node_faults["second_pass"] = NodeFault.ERROR
    elif broken == "picture":
        server.state.view_fault = ViewFault.FLAT
    elif broken == "server":
        server.state.login_page = True

    done = cli("run", str(recipe_file(tmp_path)), "--server", server.url)

    if folder is not None:
        folder.close()
    assert done.code == code
    assert "error: " in done.err
    assert "Traceback" not in done.err


def test_a_shared_error_is_told_once_for_all_jobs(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "blocked").write_text("", encoding="utf-8")
    outputs = {"original": "blocked/{job_id}.png"}
    recipes = [recipe_file(tmp_path, name=name, seed=ord(name), output=outputs) for name in "abcdefghijkl"]

    done = cli("run", *map(str, recipes), "--server", server.url, "--out", "out")

    assert done.code == 5
    assert " not begun" in done.err
    assert re.search(r"\d+ on the server \(the same command collects them\)", done.err)
    assert done.err.count("a file is where a folder should be") == 1


def test_render_prints_the_graph_and_nothing_else(cli: Cli) -> None:
    done = cli("render", "quickstart")

    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["first_pass"]["class_type"] == "KSampler"


def test_render_prints_utf_8_whatever_the_locale_is_and_nothing_that_steers_a_terminal(tmp_path: Path) -> None:
    prompt = "a 🌲, ünïcödé, \x1b[31m, \x9b31m, \u202e"
    recipe = written(tmp_path, "x.yaml", f"extends: quickstart\nprompt: {json.dumps(prompt)}\n")

    done = typed("render", str(recipe), folder=tmp_path, PYTHONIOENCODING="latin-1")

    assert json.loads(done.out)["prompt"]["inputs"]["text"] == prompt
    assert "🌲" in done.out
    assert not {"\x1b", "\x9b", "\u202e"} & set(done.out)


def test_validate_says_that_a_recipe_is_right(cli: Cli) -> None:
    done = cli("validate", "quickstart", "forest-sunrise")

    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1].startswith("2 recipes are valid; no server was asked: --server URL ")


def test_a_server_of_the_settings_that_was_not_asked_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_SERVER", "http://127.0.0.1:9")

    assert "no server was asked: --server http://127.0.0.1:9 also checks" in cli("validate", "quickstart").err


def test_validate_holds_a_recipe_against_a_server(cli: Cli, server: StandIn) -> None:
    right = cli("validate", "quickstart", "--server", server.url)
    wrong = cli("validate", "forest-sunrise", "--server", server.url)

    assert (right.code, right.err) == (0, "1 recipe is valid on that server\n")
    assert wrong.code == 2
    assert "juggernautXL" in wrong.err
    assert server.state.requests("POST", "/prompt") == []


def test_validate_holds_a_recipe_against_a_saved_answer(cli: Cli, tmp_path: Path) -> None:
    saved = written(tmp_path, "info.json", json.dumps(object_info(MODELS)))

    assert cli("validate", "quickstart", "--object-info", str(saved)).code == 0
    assert cli("validate", "forest-sunrise", "--object-info", str(saved)).code == 2


def test_init_writes_a_recipe_that_is_right_and_overwrites_none(cli: Cli, tmp_path: Path) -> None:
    first = cli("init")
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    again = cli("init")

    assert (first.code, again.code) == (0, 2)
    assert "already exists" in again.err
    assert (tmp_path / "recipe.yaml").read_text(encoding="utf-8") == text
    assert cli("validate", "recipe.yaml").code == 0


def test_init_names_a_checkpoint_of_the_server_and_copies_recipes(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    asked = cli("init", "--server", server.url)
    copied = cli("init", "mine.yaml", "--template", "model_upscale")

    assert (asked.code, copied.code) == (0, 0)
    assert asked.err.endswith(f"render it with: comfy-runner run recipe.yaml --server {server.url}\n")
    assert cli("validate", "recipe.yaml", "--server", server.url).code == 0
    assert "template: model_upscale\n" in (tmp_path / "mine.yaml").read_text(encoding="utf-8")
    assert cli("init", "other.yaml", "--from", "forrest-sunrise").code == 2
    assert "model-upscale " in cli("recipes").out


def test_schema_prints_json(cli: Cli) -> None:
    done = cli("schema")

    assert json.loads(done.out)["title"] == "comfy_runner recipe"


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert typed("--version", folder=tmp_path).out == f"comfy-runner {__version__}\n"


def test_a_title_in_a_template_cannot_steer_the_terminal(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    graph = json.loads(cli("render", str(recipe_file(tmp_path))).out)
    graph["first_pass"]["_meta"]["title"] = "\x1b]0;pwned\x07 [/bold]"
    written(tmp_path, "templates/evil.json.j2", json.dumps(graph))
    recipe = recipe_file(tmp_path, name="evil", template="evil")
    server.state.node_faults["first_pass"] = NodeFault.ERROR

    done = cli("run", str(recipe), "--server", server.url)

    assert done.code == 1
    assert "pwned" in done.err
    assert not {"\x1b", "\x07"} & set(done.err)
