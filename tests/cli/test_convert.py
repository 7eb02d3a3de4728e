"""``comfy-runner convert``: the graph on stdout or in a file, all else on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Typed
from tests.importer.files import graph, json_file, page_workflow, picture
from tests.standin import StandIn

Cli = Callable[..., Typed]


def test_a_workflow_of_the_page_is_printed_as_a_graph(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    json_file(tmp_path / "blue.json", page_workflow())

    done = cli("convert", "blue.json", "--server", server.url)

    assert done.code == 0
    found = json.loads(done.out)
    assert found["2"]["inputs"] == {"filename_prefix": "blue", "images": ["1", 0]}


def test_it_goes_to_a_file_that_is_not_there_yet(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    json_file(tmp_path / "blue.json", page_workflow())
    (tmp_path / "mine.json").write_text("mine", encoding="utf-8")

    refused = cli("convert", "blue.json", "--server", server.url, "--out", "mine.json")
    done = cli("convert", "blue.json", "--server", server.url, "--out", "graph.json")
    over = cli("convert", "blue.json", "--server", server.url, "--out", "mine.json", "--force")

    assert (refused.code, done.code, over.code) == (2, 0, 0)
    assert done.out == ""
    written = (tmp_path / "graph.json").read_text(encoding="utf-8")
    assert json.loads(written)["1"]["class_type"] == "EmptyImage"
    assert (tmp_path / "mine.json").read_text(encoding="utf-8") == written


def test_a_picture_with_its_graph_needs_no_server(cli: Cli, tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})

    assert json.loads(cli("convert", "fox.png").out) == graph()


def test_what_cannot_be_converted_is_refused_with_the_node(cli: Cli, server: StandIn, tmp_path: Path) -> None:
    workflow = page_workflow()
    workflow["nodes"][0] |= {"type": "FancyImage", "title": "My image"}
    json_file(tmp_path / "blue.json", workflow)

    done = cli("convert", "blue.json", "--server", server.url)

    assert (done.code, done.out) == (2, "")
    assert "FancyImage" in done.err


def test_the_server_of_the_settings_is_asked_where_none_is_named(
    cli: Cli, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    json_file(tmp_path / "blue.json", page_workflow())
    monkeypatch.setenv("COMFY_RUNNER_SERVER", server.url)

    assert json.loads(cli("convert", "blue.json").out)["1"]["class_type"] == "EmptyImage"


def test_a_server_of_the_settings_that_does_not_answer_is_told(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    json_file(tmp_path / "blue.json", page_workflow())
    monkeypatch.setenv("COMFY_RUNNER_SERVER", "http://127.0.0.1:9")

    done = cli("convert", "blue.json")

    assert done.code == 2
    assert done.err.startswith("http://127.0.0.1:9")
    assert "hint: give --server URL" in done.err


def test_without_a_server_the_way_out_is_told(cli: Cli, tmp_path: Path) -> None:
    json_file(tmp_path / "blue.json", page_workflow())

    done = cli("convert", "blue.json")

    assert done.code == 2
    assert "hint: give --server URL" in done.err


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_the_workflow_itself_is_never_written_over(cli: Cli, server: StandIn, tmp_path: Path, options: tuple[str, ...]) -> None:
    json_file(tmp_path / "blue.json", page_workflow())
    (tmp_path / "link.json").symlink_to("blue.json")
    before = (tmp_path / "blue.json").read_bytes()

    for name in ("./blue.json", "link.json"):
        done = cli("convert", "blue.json", "--server", server.url, "--out", name, *options)

        assert done.code == 2
        assert f"{Path(name)}: is the workflow itself" in done.err
    assert (tmp_path / "blue.json").read_bytes() == before


def test_a_dash_is_stdout(cli: Cli, tmp_path: Path) -> None:
    picture(tmp_path / "fox.png", {"prompt": graph()})

    assert json.loads(cli("convert", "fox.png", "--out", "-").out) == graph()
    assert not (tmp_path / "-").exists()
