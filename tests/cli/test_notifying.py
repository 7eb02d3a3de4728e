"""``--notify``: who is told of the end of a run, what, and that nothing about it changes how the run ends."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from comfy_runner import notification
from comfy_runner.cli.notifying import Notifier
from comfy_runner.errors import ComfyRunnerError
from comfy_runner.notification import Notice, tell
from comfy_runner.running.events import RunStarted, ServerChanged
from tests.cli.support import Typed, recipe_file
from tests.standin import StandIn

Cli = Callable[..., Typed]


class Hook:
    """A web server that is told things: what it got, and what it answers by the path."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.open = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.paths.append(self.path)
                if self.path == "/silent":
                    hook.open.wait(30)
                status, location = {"/broken": (500, ""), "/away": (307, hook.elsewhere), "/here": (308, "/secret")}.get(
                    self.path, (204, "")
                )
                if status == 204:
                    hook.got.append(json.loads(body))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.elsewhere = f"http://localhost:{self.server.server_port}/secret"


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield found
    found.open.set()
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    return str(recipe_file(tmp_path, name="lake"))


def test_the_end_of_a_run_is_posted_as_the_page_describes(
    cli: Cli, tmp_path: Path, hook: Hook, recipe: str, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text(f"notify: {hook.url}/${{HOOK}}\n", encoding="utf-8")
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("HOOK", "secret")

    ended = cli("run", recipe, "--server", server.url, "--no-report")

    assert ended.code == 0, ended.err
    (told,) = hook.got
    folder = str(tmp_path / "runs" / "lake")
    assert told.pop("text").startswith(f"{folder}: 1 done, 2 pictures in ")
    assert told == {"v": 1, "event": "ended", "run": folder, "jobs": {"done": 1}, "exit_code": 0, "report": ""}
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text(encoding="utf-8")
    assert all(f"| `{key}` |" in page for key in ("text", *told))
    assert "secret" not in ended.err + ended.out


def test_a_command_has_it_in_its_environment(cli: Cli, tmp_path: Path, recipe: str, server: StandIn) -> None:
    script = tmp_path / "tell.py"
    script.write_text(
        "import json, os; json.dump({k: v for k, v in os.environ.items() if k.startswith('NOTIFY_')}, open('told.json', 'w'))",
        encoding="utf-8",
    )

    ended = cli("run", recipe, "--server", server.url, "--no-report", "--notify", shlex.join([sys.executable, str(script)]))

    assert (ended.code, "notified" in ended.err) == (0, False)
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    assert (told["NOTIFY_EVENT"], told["NOTIFY_JOBS_DONE"], told["NOTIFY_EXIT_CODE"]) == ("ended", "1", "0")
    assert told["NOTIFY_RUN"] == str(tmp_path / "runs" / "lake")


def test_what_does_not_arrive_is_a_warning_and_changes_nothing(cli: Cli, hook: Hook, recipe: str, server: StandIn) -> None:
    ended = cli("run", recipe, "--server", server.url, "--no-report", "--notify", f"{hook.url}/broken")

    assert ended.code == 0
    assert "warning: the notification failed: 127.0.0.1: answers with status 500\n" in ended.err


def test_a_run_that_cannot_begin_is_told_with_its_exit_code(cli: Cli, hook: Hook, recipe: str) -> None:
    ended = cli("run", recipe, "--server", "http://127.0.0.1:9", "--notify", f"{hook.url}/secret")

    assert ended.code == 3
    (told,) = hook.got
    assert (told["event"], told["exit_code"]) == ("failed", 3)
    assert "http://127.0.0.1:9" in told["text"]


@pytest.mark.parametrize("target", ["ftp://there/x", "https://", "no-such-program --now", "", "say 'it"])
def test_who_cannot_be_told_is_a_mistake_before_anything_is_rendered(cli: Cli, recipe: str, server: StandIn, target: str) -> None:
    ended = cli("run", recipe, "--server", server.url, "--notify", target)

    assert ended.code == (0 if target == "" else 2)
    assert ("--notify" in ended.err) == (target != "")
    assert bool(server.state.requests("POST", "/prompt")) == (target == "")


def test_servers_that_are_all_lost_are_told_once_until_one_is_back(tmp_path: Path, hook: Hook) -> None:
    notifier = Notifier(f"{hook.url}/secret", where="--notify")
    notifier.follow(RunStarted(tmp_path, "a", ("lake",), 0, (), servers=("a", "b")))
    for name, stage in (("a", "out"), ("b", "out"), ("b", "out"), ("b", "back"), ("b", "out")):
        notifier.follow(ServerChanged(name, f"http://{name}", stage))  # type: ignore[arg-type]
    notifier.ended(tmp_path, (), 1.0, 3, None)

    assert sorted(told["event"] for told in hook.got) == ["ended", "servers-lost", "servers-lost"]
    assert {told["run"] for told in hook.got} == {str(tmp_path)}


@pytest.mark.parametrize(
    ("path", "said"), [("/away", "redirects elsewhere"), ("/here", ""), ("/silent", "did not answer")], ids=lambda text: text
)
def test_redirects_lead_nowhere_else_and_nobody_is_waited_for_long(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, path: str, said: str
) -> None:
    if path == "/silent":
        monkeypatch.setattr(notification, "SECONDS", 0.2)
    if said:
        with pytest.raises(ComfyRunnerError, match=said) as caught:
            tell(hook.url + path, Notice("ended", "x"), environment={})
        assert "secret" not in str(caught.value)
    else:
        tell(hook.url + path, Notice("ended", "x"), environment={})

    assert hook.paths == ([path] if said else [path, "/secret"])
