"""What a team sees whose server gives something else than it did: exit code, JUnit, annotation, summary.

The server is one that the project does not manage. Each test changes one thing of it, as an upgrade may.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml
from PIL import Image

from tests.cli.support import Typed
from tests.standin import StandIn, ViewFault

Cli = Callable[..., Typed]

_RECIPE = """\
name: fox
checkpoint: tiny-random-sd15.safetensors
prompt: a fox
seed: 1
size: {width: 64, height: 64}
sampler: {steps: 2}
sweep: {upscale.denoise: [0.5, 0.7]}
expect:
  seconds: {max: 30}
  passes: {first: {max: 1}}
"""


class _Judged:
    """A run as CI sees it.

    Args:
        cli: The command.
        folder: The checkout, with the recipe in it.
    """

    def __init__(self, cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._cli, self._folder = cli, folder
        self._step_summary = folder / "step.md"
        self._step_summary.touch()
        variables = {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(self._step_summary)}
        for name, value in {**variables, "GITHUB_WORKSPACE": str(folder)}.items():
            monkeypatch.setenv(name, value)
        (folder / "fox.yaml").write_text(_RECIPE, encoding="utf-8")

    def run(self, server: StandIn, *more: str) -> Typed:
        """Render in a run folder that is new, as in CI."""
        out = f"runs/{len([*self._folder.glob('runs/*')])}"
        return self._cli("run", "fox.yaml", "--server", server.url, "--out", out, "--junit", "junit.xml", *more)

    def attached(self, case: str) -> list[Path]:
        """Return the pictures that GitLab shows with a case of JUnit."""
        found = JUnitXml.fromfile(str(self._folder / "junit.xml"))
        (told,) = [each.system_out or "" for suite in found for each in suite if each.name == case]
        return [self._folder / path for path in re.findall(r"\[\[ATTACHMENT\|(.*?)\]\]", told)]

    @property
    def cases(self) -> dict[str, list[tuple[str, str]]]:
        """What JUnit's cases have: for each name the kinds and messages of what is wrong."""
        found = JUnitXml.fromfile(str(self._folder / "junit.xml"))
        kinds = {Failure: "failure", Error: "error"}
        return {
            case.name: [(kinds[type(result)], result.message) for result in case.result if type(result) in kinds]
            for suite in found
            for case in suite
        }

    @property
    def summary(self) -> str:
        """The summary of the step on GitHub."""
        return self._step_summary.read_text(encoding="utf-8")


@pytest.fixture
def judged(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Judged:
    return _Judged(cli, tmp_path, monkeypatch)


def _annotations(done: Typed) -> list[str]:
    return [line for line in done.err.splitlines() if line.startswith("::")]


def test_all_is_green_where_nothing_has_changed(judged: _Judged, server: StandIn) -> None:
    done = judged.run(server)

    assert (done.code, _annotations(done)) == (0, []), done.err
    assert judged.cases == {"fox-d050": [], "fox-d070": [], "passes.first (fox.yaml)": []}
    assert judged.summary.startswith("## ✅ 2 jobs: 2 passed")


def test_a_slower_server(judged: _Judged, server: StandIn) -> None:
    server.state.step_seconds = 0.05

    done = judged.run(server, "--set", "expect.seconds.max=0.1")

    assert done.code == 4, done.err
    (kind, message), *_ = judged.cases["fox-d050"]
    assert (kind, message.partition(" ")[0]) == ("failure", "seconds")
    assert "at most 0.1 expected" in message
    (annotation,) = _annotations(done)
    assert annotation.startswith("::error file=fox.yaml,line=1,title=seconds%3A")
    assert "| `fox-d050` | seconds " in judged.summary


def test_a_lost_pass(judged: _Judged, server: StandIn) -> None:
    server.state.forgetful = True

    done = judged.run(server)

    told = "fox: first passes 2, at most 1 expected"
    assert done.code == 4, done.err
    assert judged.cases == {"fox-d050": [], "fox-d070": [], "passes.first (fox.yaml)": [("failure", told)]}
    assert _annotations(done) == [f"::error file=fox.yaml,line=10,title=passes.first%3A 1 failure::{told}"]
    assert f"| the run | {told} | 2 | 1 | `fox.yaml:10` |" in judged.summary


@pytest.mark.slow  # it is asked for again, with pauses
def test_a_picture_that_comes_truncated(judged: _Judged, server: StandIn) -> None:
    server.state.view_fault = ViewFault.CUT

    done = judged.run(server)

    told = "original.png: is not a whole picture: image file is truncated"
    assert done.code == 3, done.err
    assert judged.cases["fox-d050"] == [("error", told)]
    assert _annotations(done) == [f"::error file=fox.yaml,line=8,title=2 jobs could not be done::{told}%0Afox-d050%0Afox-d070"]
    assert f"| `fox-d050` | {told} |" in judged.summary


def test_a_picture_that_is_truncated_afterwards(judged: _Judged, server: StandIn, cli: Cli, tmp_path: Path) -> None:
    judged.run(server)
    picture = tmp_path / "runs" / "0" / "fox-d070" / "upscaled.png"
    picture.write_bytes(picture.read_bytes()[:-100])

    done = cli("check", "runs/0", "fox.yaml", "--junit", "junit.xml")

    told = "fox-d070/upscaled.png has changed since it was collected"
    assert done.code == 4, done.err
    assert judged.cases["fox-d050"] == []
    assert [(kind, told in message) for kind, message in judged.cases["fox-d070"]] == [("failure", True)]
    assert told in "".join(_annotations(done))
    assert f"| `fox-d070` | upscaled {told} |" in judged.summary


@pytest.fixture
def with_baseline(judged: _Judged) -> _Judged:
    """The same, with a baseline that a server has given which had not changed."""
    with StandIn() as before:
        assert judged.run(before, "--update-baseline", "pictures").code == 0
    return judged


def test_the_same_server_as_that_of_the_baseline(with_baseline: _Judged, server: StandIn) -> None:
    done = with_baseline.run(server, "--baseline", "pictures")

    assert (done.code, _annotations(done)) == (0, []), done.err
    assert not any(with_baseline.cases.values())


@pytest.mark.parametrize(
    ("look", "change", "why", "notices"),
    [
        ("", ("--set", "sampler.name=euler"), "; the job has changed: sampler.name dpmpp_2m_sde → euler", []),
        ("another model file of the same name", (), "", ["2 jobs look different, though nothing known about them has changed"]),
    ],
)
def test_a_changed_sampler_and_a_changed_model_file(
    with_baseline: _Judged, server: StandIn, tmp_path: Path, look: str, change: tuple[str, ...], why: str, notices: list[str]
) -> None:
    server.state.look = look

    done = with_baseline.run(server, "--baseline", "pictures", *change)

    assert done.code == 4, done.err
    cases = with_baseline.cases
    assert [len(cases[name]) for name in ("fox-d050", "fox-d070", "passes.first (fox.yaml)")] == [1, 1, 0]
    ((kind, message),) = cases["fox-d050"]
    assert kind == "failure"
    assert re.match(rf"original looks different, .*: similarity 0\.\d+, at least 0\.95 is wanted{why}; upscaled looks", message)
    titles = [re.split(r"::fox-d050: | \(", line)[0] for line in _annotations(done)]
    assert titles == [
        *(f"::error file=fox.yaml,line=8,title={role} baseline%3A 2 failures" for role in ("original", "upscaled")),
        *(f"::notice title=comfy-runner::{notice}" for notice in notices),
    ]
    assert re.search(
        r"^\| `fox-d070` \| upscaled looks different, .* \| 0 \| 0\.95 \| `fox.yaml:8` \|$", with_baseline.summary, re.M
    )
    triple = with_baseline.attached("fox-d050")[:3]
    run = tmp_path / "runs/1/comparison_files/fox-d050"
    assert triple == [run / f"original.{name}.png" for name in ("diff", "actual", "expected")]
    difference, actual, expected = (_pixels(path) for path in triple)
    assert actual == _pixels(tmp_path / "runs/1/fox-d050/original.png")
    assert expected == _pixels(tmp_path / "runs/0/fox-d050/original.png")
    assert len({difference, actual, expected}) == 3


def _pixels(path: Path) -> bytes:
    with Image.open(path) as picture:
        return picture.convert("RGB").tobytes()
