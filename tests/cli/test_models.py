"""``comfy-runner models``: a line per kind, the names of one kind, an object for programs, from servers of every generation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import comfy_runner
from comfy_runner.cli.models import overview
from comfy_runner.errors import ServerRefused, UsageError
from comfy_runner.graph.model_lists import Listing
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.fetch import fetch
from comfy_runner.model_files.hosts import Hosts
from tests.cli.support import Typed, typed
from tests.hostile.values import TEXTS
from tests.model_files.support import model, safetensors
from tests.standin import EARLY_2024, V0_3_40, V0_3_75, V0_38, Generation, StandIn, State

Cli = Callable[..., Typed]

_LIMIT = 2_000_000_000
_RECORDED = Path(__file__).parents[1] / "data" / "object_info.json"
_GENERATIONS = pytest.mark.parametrize(
    "generation", [EARLY_2024, V0_3_40, V0_3_75, V0_38], ids=lambda generation: generation.version or "early 2024"
)
_MODELS = {
    "checkpoints": ["SDXL/base.safetensors", "tiny.safetensors"],
    "loras": ["detail.safetensors"],
    "ultralytics": ["bbox/face_yolov8m.pt"],
    "embeddings": [],
    "custom_nodes": ["pack/__init__.py"],
    "unet": ["flux.gguf"],
}


def _state(**changes: Any) -> State:
    return State(models=_MODELS, **changes)


def _lists(done: Typed) -> dict[str, list[str]]:
    return {found["kind"]: found["names"] for found in json.loads(done.out)["lists"]}


def test_each_kind_is_a_line_with_its_count_and_its_first_names(cli: Cli) -> None:
    with StandIn(_state()) as server:
        done = cli("models", "--server", server.url)

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[:9] == [
        "checkpoints              2  SDXL/base.safetensors, tiny.safetensors",
        "loras                    1  detail.safetensors",
        "vae                      0",
        "ultralytics              1  bbox/face_yolov8m.pt",
        "embeddings               0",
        "unet                     1  flux.gguf",
        "samplers                42  euler, euler_cfg_pp, euler_ancestral, …",
        "schedulers               9  simple, sgm_uniform, karras, exponential, …",
        "latent_upscale_methods   5  nearest-exact, bilinear, area, bicubic, bislerp",
    ]


@_GENERATIONS
def test_servers_of_every_generation_list_what_their_nodes_do_and_newer_ones_their_folders_too(
    cli: Cli, generation: Generation
) -> None:
    with StandIn(_state(generation=generation)) as server:
        found = _lists(cli("models", "--server", server.url, "--json"))

    assert found["checkpoints"] == ["SDXL/base.safetensors", "tiny.safetensors"]
    assert "euler" in found["samplers"]
    assert ("ultralytics" in found) is generation.models_routes


@_GENERATIONS
def test_the_names_of_a_kind_are_all_that_is_on_stdout(cli: Cli, generation: Generation) -> None:
    with StandIn(_state(generation=generation)) as server:
        done = cli("models", "checkpoint", "--server", server.url)
        asked = [request.path for request in server.state.asked]

    assert done == Typed(0, "SDXL/base.safetensors\ntiny.safetensors\n", "")
    assert asked == ["/object_info", "/node_replacements"]


@pytest.mark.parametrize(("kind", "names"), [("ultralytics", ["bbox/face_yolov8m.pt"]), ("embedding", []), ("UNET", ["flux.gguf"])])
def test_a_folder_that_no_node_lists_is_a_kind_and_no_other_is_looked_into(cli: Cli, kind: str, names: list[str]) -> None:
    with StandIn(_state()) as server:
        done = cli("models", kind, "--server", server.url)
        asked = [request.path for request in server.state.asked]

    assert (done.code, done.out.splitlines()) == (0, names)
    assert done.err == ("" if names else "there are no embeddings\n")
    assert asked[:3] == ["/object_info", "/node_replacements", "/models"]
    assert len(asked) == 4


def test_a_windows_servers_names_are_those_that_it_has(cli: Cli) -> None:
    with StandIn(_state(windows=True)) as server:
        done = [cli("models", kind, "--server", server.url).out for kind in ("checkpoints", "ultralytics")]

    assert done == ["SDXL\\base.safetensors\ntiny.safetensors\n", "bbox\\face_yolov8m.pt\n"]


@_GENERATIONS
def test_an_unknown_kind_is_one_error_with_the_nearest(cli: Cli, generation: Generation) -> None:
    with StandIn(_state(generation=generation)) as server:
        done = cli("models", "checkpiont", "--server", server.url)

    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {server.url}: lists nothing of this kind (got checkpiont)\nhint: did you mean checkpoints?\n"


def test_one_that_is_like_none_is_told_which_there_are(cli: Cli, server: StandIn) -> None:
    done = cli("models", "zzz", "--server", server.url)

    assert done.code == 2
    assert "hint: known are checkpoints, loras, vae, samplers, schedulers, latent_upscale_methods" in done.err


@pytest.mark.parametrize("kind", ["custom_nodes", "controlnet", "../object_info"])
def test_a_kind_that_the_server_lacks_is_unknown(cli: Cli, kind: str) -> None:
    with StandIn(_state()) as server:
        assert cli("models", kind, "--server", server.url).code == 2


def test_a_folder_that_the_server_cannot_look_into_hides_no_other(cli: Cli) -> None:
    with StandIn(_state()) as server:
        server.state.fail_next("/models/ultralytics", 500, method="GET")
        done = cli("models", "--server", server.url, "--json")

    assert done.code == 0
    assert done.err == f"warning: {server.url}/models/ultralytics: answered with status 500\n"
    assert {"embeddings", "unet"} < set(_lists(done))
    assert "ultralytics" not in _lists(done)


def test_one_that_is_asked_for_alone_and_cannot_be_looked_into_is_an_error(cli: Cli) -> None:
    with StandIn(_state()) as server:
        server.state.fail_next("/models/ultralytics", 500, method="GET")
        done = cli("models", "ultralytics", "--server", server.url)

    assert (done.code, done.out) == (3, "")
    assert "/models/ultralytics: answered with status 500" in done.err


def test_folders_behind_a_door_are_no_missing_route(cli: Cli) -> None:
    with StandIn(_state()) as server:
        server.state.fail_next("/models", 403, method="GET")

        assert cli("models", "--server", server.url).code == 3


# Which server


def test_without_one_the_default_server_is_asked(cli: Cli, monkeypatch: pytest.MonkeyPatch, server: StandIn) -> None:
    monkeypatch.setenv("COMFY_RUNNER_SERVER", server.url)

    assert cli("models", "loras") == Typed(0, "detail.safetensors\n", "")


def test_a_name_from_the_config_file_is_a_server_and_its_secrets_are_sent_and_not_shown(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: StandIn
) -> None:
    studio = {"url": server.url, "headers": {"Authorization": "Bearer hunter2"}}
    (tmp_path / "config.yaml").write_text(json.dumps({"servers": {"studio": studio}}), encoding="utf-8")
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", str(tmp_path / "config.yaml"))

    done = cli("models", "nothing", "--server", "studio")

    assert done.code == 2
    assert server.state.asked[0].headers["authorization"] == "Bearer hunter2"
    assert "hunter2" not in done.err


def test_a_saved_answer_does_in_place_of_a_server(cli: Cli) -> None:
    done = cli("models", "vae", "--object-info", str(_RECORDED))

    assert done == Typed(0, "pixel_space\n", "")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--server", "http://127.0.0.1:9"), 3, "nobody answers"),
        (("--server", "ftp://x"), 2, "not the address of a server"),
        (("--server", "http://x", "--object-info", "x.json"), 2, "cannot be used together"),
        (("--object-info", "nowhere.json"), 2, "no such file"),
        (("loras", "vae"), 2, "unexpected extra argument"),
    ],
)
def test_a_mistake_has_its_exit_code(cli: Cli, args: tuple[str, ...], code: int, words: str) -> None:
    done = cli("models", *args)

    assert (done.code, done.out) == (code, "")
    assert words in done.err


# Hostile lists, and their form


def test_hostile_names_neither_steer_the_terminal_nor_make_lines(cli: Cli) -> None:
    names = ["\x1b]0;pwned\x07.ckpt", "\x9b31m\u202egnp.ckpt", "x\n\nloras 5 y", "\ud800", "x" * 70_000]
    hostile = {"checkpoints": names, "evil\n\x1b[2J/../?#": names, "x" * 300: names}
    with StandIn(State(models=hostile)) as evil:
        told = cli("models", "--server", evil.url)
        listed = cli("models", "checkpoints", "--server", evil.url)
        said = cli("models", "--server", evil.url, "--json")

    for done in (told, listed, said):
        assert done.code == 0
        assert all(char.isprintable() or char == "\n" for char in done.out + done.err)
    assert len(told.out.splitlines()) == len(_lists(said))
    assert len(told.out) < 2000
    assert len(listed.out.splitlines()) == len(names)
    assert listed.out.splitlines()[-1] == "x" * 70_000
    assert _lists(said)["checkpoints"] == names


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_line_takes_as_many_names_as_fit(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = [Listing("loras", "", tuple(f"name-{number}" for number in range(count))) for count in range(12)]

    lines = list(overview(found))

    assert max(map(len, lines)) <= columns
    assert lines[:2] == ["loras   0", "loras   1  name-0"]
    assert [line.endswith(", …") for line in lines[7:]] == [True] * 5


@pytest.mark.parametrize("text", TEXTS)
def test_whatever_a_kind_is_called_it_is_one_line(text: str) -> None:
    assert [len(line.split("\n")) for line in overview([Listing(text, text, (text, text))])] == [1]


def test_json_says_where_each_list_comes_from(cli: Cli) -> None:
    with StandIn(_state()) as server:
        found = json.loads(cli("models", "--server", server.url, "--json").out)
        (one,) = json.loads(cli("models", "lora", "--server", server.url, "--json").out)["lists"]

    assert (found["v"], set(found)) == (1, {"v", "lists"})
    sources = {listing["kind"]: listing["source"] for listing in found["lists"]}
    assert (sources["samplers"], sources["embeddings"]) == ("KSampler.sampler_name", "/models/embeddings")
    assert one == {"kind": "loras", "source": "LoraLoader.lora_name", "names": ["detail.safetensors"]}


def test_json_of_a_command_that_fails_is_an_error(cli: Cli, server: StandIn) -> None:
    done = cli("models", "zzz", "--server", server.url, "--json")

    record = json.loads(done.out)
    assert (done.code, record["event"], record["code"]) == (2, "error", "usage")


# In Python


def test_python_gets_what_the_command_shows(cli: Cli) -> None:
    del cli  # which keeps the user's settings out
    with StandIn(_state()) as server:
        every = comfy_runner.models(server=server.url)
        one = comfy_runner.models("embeddings", server=server.url)
        with pytest.raises(UsageError, match="lists nothing of this kind"):
            comfy_runner.models("zzz", server=server.url)
        server.state.fail_next("/object_info", 403, method="GET")
        with pytest.raises(ServerRefused):
            comfy_runner.models(server=server.url)

    assert one == (comfy_runner.Listing("embeddings", "/models/embeddings", ()),)
    assert one[0] in every


def test_the_cache_is_listed_and_cleaned(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps({"models": {"cache": str(tmp_path / "cache"), "cache_size": "2 GB"}}))
    settings = str(tmp_path / "config.yaml")
    content = safetensors(size=2000)
    (tmp_path / "mine.safetensors").write_bytes(content)
    wanted = model(str(tmp_path / "mine.safetensors"), content, name="sub/lake.safetensors")

    assert typed("models", "--cached", folder=tmp_path, COMFY_RUNNER_CONFIG=settings).out == ""
    cache = ModelCache(tmp_path / "cache", _LIMIT)
    fetch([wanted], cache, Hosts())
    listed = typed("models", "--cached", folder=tmp_path, COMFY_RUNNER_CONFIG=settings)
    kept = typed("models", "--clean", folder=tmp_path, COMFY_RUNNER_CONFIG=settings)
    cache.close()
    told = json.loads(typed("models", "--cached", "--json", folder=tmp_path, COMFY_RUNNER_CONFIG=settings).out)
    removed = typed("models", "--clean", folder=tmp_path, COMFY_RUNNER_CONFIG=settings)

    assert listed.out.startswith("sub/lake.safetensors  2.07 KB  20")
    assert listed.out.endswith("  in use\n")
    assert listed.err == "2.07 KB of 2.00 GB in cache\n"
    assert (kept.out, kept.err) == ("", "0 B removed\n")
    assert (told["v"], told["limit_bytes"], told["folder"]) == (1, _LIMIT, str(tmp_path / "cache"))
    assert [(each["sha256"], each["names"], each["in_use"]) for each in told["cached"]] == [(wanted.sha256, [wanted.name], False)]
    assert removed.out.startswith("sub/lake.safetensors  2.07 KB")
    assert removed.err == "2.07 KB removed\n"
    assert typed("models", "loras", "--cached", folder=tmp_path).code == 2
