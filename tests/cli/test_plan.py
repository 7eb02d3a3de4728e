"""``comfy-runner plan``, and ``run --dry-run``, which is the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from comfy_runner.byte_sizes import told_size
from comfy_runner.cli.formatting import short_names
from comfy_runner.cli.plan import VERSION
from comfy_runner.store.run_folder import RunFolder
from tests.cli.support import Typed, recipe_file
from tests.running.fleet.support import fleet_of
from tests.running.support import CHECKPOINTS
from tests.standin import StandIn, State
from tests.standin.state import MODELS

Cli = Callable[..., Typed]

_PAGE = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
_SWEEP = ("--sweep", "upscale.denoise=0.5,0.6", "--sweep", "seed=1,2")


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    return str(recipe_file(tmp_path, sampler={"steps": 10}))


def test_the_plan_is_a_table_and_some_sentences_on_stdout(cli: Cli, recipe: str) -> None:
    done = cli("plan", recipe, *_SWEEP)

    assert (done.code, done.err) == (0, "no server was asked: --server URL also checks nodes and models\n")
    head, *rows, _, first, disk, second, third = done.out.splitlines()
    assert head.split() == ["#", "job", "denoise", "steps", "sigma", "work", "state"]
    assert [row.split()[:4] for row in rows] == [
        ["1", "lake-d050-s1", "0.50", "10/20"],
        ["2", "lake-d060-s1", "0.60", "10/16"],
        ["3", "lake-d050-s2", "0.50", "10/20"],
        ["4", "lake-d060-s2", "0.60", "10/16"],
    ]
    assert first == "4 jobs: 1 model load, 2 first and 4 second passes; the recipe's order would need 1, 4, 4"
    assert disk == f"the pictures take {told_size(4 * (64 * 64 * 4 + 128 * 128 * 4 + 2 * 65536))} at most"
    assert re.fullmatch(r"\d+ weighted steps \(\d+ without a cache\)", second)
    assert third == "decoding 128x128 takes about 0.1 GiB of GPU memory"


def test_a_recipe_that_says_what_to_search_for_tells_what_that_takes_at_most(cli: Cli, tmp_path: Path) -> None:
    recipe = str(recipe_file(tmp_path, sampler={"steps": 100}, find={"over": {"upscale.denoise": "0.3:0.8"}}))

    done = cli("plan", recipe)

    wanted = "upscale.denoise: 26 values from 0.3 to 0.8: at most 8 jobs, where the whole sweep takes 26"
    assert done.out.splitlines()[-1] == f"comfy-runner find instead: {wanted}"
    assert json.loads(cli("plan", recipe, "--json").out)["find"]["max"] == 8
    # Of what is swept nothing is searched.
    assert "find instead" not in cli("plan", recipe, *_SWEEP).out


def test_nothing_is_written(cli: Cli, recipe: str, tmp_path: Path) -> None:
    cli("plan", recipe)

    assert [path.name for path in tmp_path.iterdir()] == ["lake.yaml"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_row_is_wider_than_the_terminal(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    recipe = str(recipe_file(tmp_path, name="a very long name of a recipe that goes on and on and on until it is enough"))

    table = cli("plan", recipe, *_SWEEP).out.split("\n\n")[0].splitlines()

    assert max(map(len, table)) <= columns
    assert "  to render" in table[1]


def test_a_long_plan_is_cut_and_says_so(cli: Cli, recipe: str) -> None:
    done = cli("plan", recipe, "--sweep", "seed={start: 1, count: 50}")

    assert done.out.count("lake-s") == 40
    assert "\nand 10 more (--all shows them)\n" in done.out


def test_all_jobs_are_shown_if_asked_for(cli: Cli, recipe: str) -> None:
    done = cli("plan", recipe, "--sweep", "seed={start: 1, count: 50}", "--all")

    assert done.out.count("lake-s") == 50
    assert " more" not in done.out


def test_jobs_that_share_a_picture_name_its_row_and_the_reason_is_told(cli: Cli, recipe: str) -> None:
    done = cli("plan", recipe, "--sweep", "upscale.denoise=0.48,0.49,0.50", "--sweep", "seed=1,2")

    assert [line.split()[-2:] for line in done.out.splitlines() if "shares" in line] == [["shares", "1"]] * 2 + [
        ["shares", "2"]
    ] * 2
    assert "6 jobs (2 to render, 4 with the same picture as another): " in done.out
    assert (
        "2 times the same pixels, such as lake-d048-s1, lake-d049-s1 and 1 more: int(steps/denoise) is 20 for 0.48, 0.49 and 0.5"
        in done.out
    )


def test_warnings_go_to_stderr(cli: Cli, recipe: str) -> None:
    done = cli("plan", recipe, "--set", "upscale.denoise=0.2")

    assert done.err.startswith("warning: ")
    assert "warning" not in done.out


def test_what_is_done_and_why_the_rest_is_made_again_is_in_the_table(cli: Cli, recipe: str, server: StandIn) -> None:
    assert cli("run", recipe, "--server", server.url, "--sweep", "seed=1,2", "-q").code == 0

    same = cli("plan", recipe, "--sweep", "seed=1,2")
    other = cli("plan", recipe, "--sweep", "seed=1,2", "--set", "sampler.cfg=6")

    assert "2 jobs (2 already done): nothing to render" in same.out
    assert other.out.count("again: sampler.cfg") == 2
    first, second = other.out.splitlines()[-4:-2]
    assert re.fullmatch(rf"about \d+ s on {server.url} \(from 2 earlier jobs\)", first)
    assert second.startswith("the pictures take ")
    assert "the pictures take" not in same.out


def test_a_server_that_would_refuse_a_job_is_asked_only_if_named(cli: Cli, recipe: str, server: StandIn) -> None:
    wrong = ("plan", recipe, "--set", "checkpoint=gone.safetensors")

    assert cli(*wrong).code == 0
    refused = cli(*wrong, "--server", server.url)

    assert refused.code == 2
    assert '"gone.safetensors" is not among' in refused.err


def test_a_server_that_caches_nothing_is_told_in_the_plan(cli: Cli, recipe: str, server: StandIn) -> None:
    server.state.cache = "none"

    done = cli("plan", recipe, *_SWEEP, "--server", server.url)

    assert "the server caches nothing: 2 graphs, each for jobs that share a first pass" in done.out


def test_some_jobs_are_chosen_by_their_ids(cli: Cli, recipe: str) -> None:
    done = cli("plan", recipe, *_SWEEP, "--only", "*-s1", "--skip", "*d060*", "--json")

    assert [job["job"] for job in json.loads(done.out)["jobs"]] == ["lake-d050-s1"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "Missing argument"),
        (("quickstart", "--server="), "not the address of a server"),
        (("quickstart", "--only", "nothing*"), "--only: matches no job"),
        (("quickstart", "--sweep", "seed"), "--sweep"),
        (("nowhere*.yaml",), "matches no file"),
    ],
)
@pytest.mark.parametrize("command", [("plan",), ("run", "--dry-run")])
def test_a_mistake_is_exit_code_2(cli: Cli, command: tuple[str, ...], args: tuple[str, ...], words: str) -> None:
    done = cli(*command, *args)

    assert (done.code, done.out) == (2, "")
    assert words in done.err


# JSON


def _documented() -> dict[str, set[str]]:
    """Return the keys that the page names: of the object, and of what is in it."""
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|$", _PAGE.split("## `--json`")[1], flags=re.MULTILINE)
    inner = {key: set(re.findall(r"`([a-z_]+)`", text)) for keys, text in rows for key in re.findall(r"`([a-z_]+)`", keys)}
    job, second = _PAGE.split("A job has ")[1].split("each second pass ")
    return {**inner, "job": set(re.findall(r"`([a-z_]+)`", job)), "second": set(re.findall(r"`([a-z_]+)`", second))}


def test_json_is_one_object_and_every_key_is_documented(cli: Cli, recipe: str, server: StandIn) -> None:
    cli("run", recipe, "--server", server.url, "--sweep", "seed=1", "-q")
    done = cli("plan", recipe, "--sweep", "seed=1,2", "--sweep", "upscale.denoise=0.48,0.49", "--json")
    found: dict[str, Any] = json.loads(done.out)
    documented = _documented()

    assert found["v"] == VERSION
    assert None not in (found["memory"], found["time"])
    assert found["duplicates"]
    for name, value in found.items():
        assert name in documented
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                assert set(item) - documented["job" if name == "jobs" else name] == set()
    assert set(found["jobs"][0]["second"][0]) - documented["second"] == set()


def test_json_of_a_plan_that_fails_is_an_error(cli: Cli) -> None:
    done = cli("plan", "quickstart", "--set", "upscale.denoise=7", "--json")

    record = json.loads(done.out)
    assert (done.code, record["event"], record["code"]) == (2, "error", "recipe")


def test_all_jobs_are_in_the_json(cli: Cli, recipe: str) -> None:
    done = cli("plan", recipe, "--sweep", "seed={start: 1, count: 50}", "--json")

    assert len(json.loads(done.out)["jobs"]) == 50


# run --dry-run


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_dry_run_prints_the_plan_and_renders_nothing(cli: Cli, recipe: str, server: StandIn, form: tuple[str, ...]) -> None:
    args = (recipe, *_SWEEP, "--server", server.url, *form)

    dry, planned = cli("run", "--dry-run", *args), cli("plan", *args)

    assert dry == planned
    assert dry.code == 0
    assert {asked.method for asked in server.state.asked} == {"GET"}
    assert not Path("runs").exists()


def test_a_dry_run_may_be_forced(cli: Cli, recipe: str, server: StandIn) -> None:
    cli("run", recipe, "--server", server.url, "-q")

    assert "again: is made again" in cli("run", "--dry-run", "--force", recipe).out


def test_a_dry_run_takes_a_folder_that_somebody_uses(cli: Cli, recipe: str) -> None:
    folder = RunFolder(Path("runs/lake"))
    try:
        assert cli("run", "--dry-run", recipe).code == 0
    finally:
        folder.close()


# the same options elsewhere


def test_a_sweep_is_rendered_from_the_command_line(cli: Cli, recipe: str, server: StandIn) -> None:
    done = cli("run", recipe, *_SWEEP, "--skip", "*d060*", "--server", server.url, "-q")

    assert (done.code, done.err) == (0, "")
    assert [Path(line).parent.name for line in done.out.splitlines()] == ["lake-d050-s1"] * 2 + ["lake-d050-s2"] * 2


def test_render_prints_the_chosen_job_of_a_sweep(cli: Cli, recipe: str) -> None:
    done = cli("render", recipe, *_SWEEP, "--only", "*d060-s2")

    graph = json.loads(done.out)
    assert (graph["first_pass"]["inputs"]["seed"], graph["second_pass"]["inputs"]["denoise"]) == (2, 0.6)


def test_render_of_several_jobs_says_how_to_choose_one(cli: Cli, recipe: str) -> None:
    done = cli("render", recipe, *_SWEEP)

    assert done.code == 2
    assert "hint: choose one: --only lake-d050-s1" in done.err


def test_validate_checks_the_whole_sweep(cli: Cli, recipe: str, server: StandIn) -> None:
    checkpoints = 'checkpoint=["tiny-random-sd15.safetensors", "gone.safetensors"]'

    done = cli("validate", recipe, "--sweep", checkpoints, "--server", server.url)

    assert done.code == 2
    assert '"gone.safetensors" is not among' in done.err


# Several servers


@pytest.fixture
def fleet() -> Iterator[list[StandIn]]:
    """Two servers, each with a checkpoint of its own."""
    models = [{**MODELS, "checkpoints": [name]} for name in CHECKPOINTS]
    with fleet_of(*(State(models=each) for each in models)) as servers:
        yield servers


def _given(fleet: Sequence[StandIn]) -> tuple[str, ...]:
    return tuple(word for server in fleet for word in ("--server", server.url))


_BOTH = ("--sweep", f"checkpoint={json.dumps(CHECKPOINTS)}")


def test_several_servers_have_a_table_of_their_own_and_each_job_names_its_server(
    cli: Cli, recipe: str, fleet: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = cli("plan", recipe, *_SWEEP, *_BOTH, *_given(fleet))

    jobs, _, shares, sentence = done.out.strip().split("\n\n")
    assert done.code == 0
    assert jobs.splitlines()[0].split()[-3:] == ["work", "server", "state"]
    names = [server.url.removeprefix("http://") for server in fleet]
    assert [line.split()[6] for line in jobs.splitlines()[1:]] == [names[0]] * 4 + [names[1]] * 4
    head, *rows = shares.splitlines()
    assert head.split() == ["server", "jobs", "loads", "first", "second", "work", "done", "in"]
    assert [row.split()[:5] for row in rows] == [[server.url, "4", "1", "2", "4"] for server in fleet]
    assert sentence == "no model load and no first pass more than one server would need"


def test_what_several_servers_cost_more_than_one_is_said(cli: Cli, recipe: str) -> None:
    with fleet_of(State(), State(), State(cache="none")) as servers:
        args = ("plan", recipe, "--sweep", "seed={start: 1, count: 9}", *_given(servers))
        done, shares = cli(*args), json.loads(cli(*args, "--json").out)["fleet"]

    more = sum(share["loads"] for share in shares) - 1
    assert more >= 2
    assert re.search(rf"^{more} model loads more than one server would need", done.out, re.MULTILINE)
    assert f"{servers[2].url} caches nothing: jobs that share a first pass are sent there as one graph" in done.out
    assert "the server caches nothing" not in done.out


def test_before_a_first_run_the_time_is_called_a_guess_also_by_the_run(cli: Cli, recipe: str, server: StandIn) -> None:
    server.state.device = "cuda:0 NVIDIA GeForce RTX 4090 : native"
    args = (recipe, "--set", "checkpoint=SDXL/base.safetensors", "--server", server.url)

    planned, done = cli("plan", *args), cli("run", *args)

    told = rf"^perhaps \d+ s on {server.url} \(a guess, by published figures of the RTX 4090\)$"
    assert re.search(told, planned.out, re.MULTILINE)
    assert re.search(rf"^1 job on {server.url}, perhaps \d+ s \(a guess\), run folder ", done.err, re.MULTILINE)
    assert re.search(r"^about \d+ s on .* \(from 1 earlier job\)$", cli("plan", *args, "--sweep", "seed=1,2").out, re.MULTILINE)


def test_the_time_of_several_servers_is_told_from_earlier_jobs_and_so_are_their_queues(
    cli: Cli, recipe: str, fleet: list[StandIn]
) -> None:
    assert cli("run", recipe, "--sweep", "seed=1,2", *_given(fleet[:1]), "-q").code == 0
    fleet[1].state.frozen = True
    fleet[1].state.add_foreign(3)

    done = cli("plan", recipe, "--sweep", "seed=1,2,3", *_given(fleet))

    assert re.search(r"^about \d+ s with these servers, no model load and no first pass more", done.out, re.MULTILINE)
    assert re.search(rf"^about \d+ s on {fleet[0].url} \(from 2 earlier jobs\), if it did everything$", done.out, re.MULTILINE)
    assert f"{fleet[1].url} has 3 prompts in its queue now" in done.out


def test_a_server_that_does_not_answer_is_a_warning_and_one_that_does_is_enough(
    cli: Cli, recipe: str, server: StandIn, fleet: list[StandIn]
) -> None:
    fleet[0].state.go_away()

    done = cli("plan", recipe, *_given([fleet[0], server]))
    none = cli("plan", recipe, "--server", fleet[0].url, "--server", "http://127.0.0.1:1")

    assert (done.code, none.code) == (0, 3)
    assert f"warning: {fleet[0].url}: does not answer, and is left out of the plan: nobody answers" in done.err
    assert fleet[0].url not in done.out
    # Both say the same, so that it is said once.
    assert f"error: {fleet[0].url}/queue; http://127.0.0.1:1/queue: nobody answers" in none.err


def test_a_job_that_none_of_several_servers_can_do_is_a_mistake_with_the_reasons_of_all(
    cli: Cli, recipe: str, fleet: list[StandIn]
) -> None:
    done = cli("plan", recipe, "--set", "checkpoint=gone.safetensors", *_given(fleet))

    assert (done.code, done.out) == (2, "")
    for server in fleet:
        assert f'"gone.safetensors" is not among the 1 that {server.url} has' in done.err


def test_where_nothing_is_to_be_rendered_there_is_no_table_of_servers(cli: Cli, recipe: str, fleet: list[StandIn]) -> None:
    assert cli("run", recipe, *_given(fleet), "-q").code == 0

    done = cli("plan", recipe, *_given(fleet))

    assert "1 job (1 already done): nothing to render" in done.out
    assert "done in" not in done.out
    assert fleet[0].url not in done.out


@pytest.mark.parametrize("columns", [60, 80])
def test_the_tables_of_several_servers_are_no_wider_than_the_terminal(
    cli: Cli, recipe: str, fleet: list[StandIn], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    jobs, _, shares, _ = cli("plan", recipe, *_SWEEP, *_BOTH, *_given(fleet)).out.strip().split("\n\n")

    assert max(map(len, [*jobs.splitlines(), *shares.splitlines()])) <= columns


def test_names_of_servers_that_are_long_are_cut_in_their_middle_unless_two_would_look_alike() -> None:
    long, other = "https://render-one.studio.example:8188/comfy", "https://render-one.hall.example:8188/comfy"

    assert short_names(["http://gpu1:8188", "studio", long]) == {
        "http://gpu1:8188": "gpu1:8188",
        "studio": "studio",
        long: "render-on…8188/comfy",
    }
    assert short_names([long, other]) == {long: long, other: other}


def test_json_of_several_servers_has_their_shares_and_every_key_is_documented(cli: Cli, recipe: str, fleet: list[StandIn]) -> None:
    found = json.loads(cli("plan", recipe, *_SWEEP, *_BOTH, *_given(fleet), "--json").out)
    documented = _documented()

    assert set(found) - set(documented) == set()
    assert [set(share) - documented["fleet"] for share in found["fleet"]] == [set(), set()]
    assert [(share["name"], share["seconds"], len(share["jobs"])) for share in found["fleet"]] == [
        (server.url, None, 4) for server in fleet
    ]
    assert {job["job"]: job["server"] for job in found["jobs"]} == {
        job_id: share["name"] for share in found["fleet"] for job_id in share["jobs"]
    }
    assert found["splits"] == 0


def test_json_of_one_server_has_no_shares(cli: Cli, recipe: str, server: StandIn) -> None:
    found = json.loads(cli("plan", recipe, "--server", server.url, "--json").out)

    assert (found["fleet"], found["splits"], [job["server"] for job in found["jobs"]]) == ([], 0, [""])


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_dry_run_on_several_servers_is_their_plan(cli: Cli, recipe: str, fleet: list[StandIn], form: tuple[str, ...]) -> None:
    args = (recipe, *_SWEEP, *_BOTH, *_given(fleet), *form)

    assert cli("run", "--dry-run", *args) == cli("plan", *args)
    assert {asked.method for server in fleet for asked in server.state.asked} == {"GET"}
