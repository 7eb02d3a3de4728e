"""What all tests share: their markers; a browser; and a real ComfyUI, set up once in the cache folder and started once per session.

The first session on a machine downloads the engine, which takes a minute or more; see `local_engine`.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import settings
from playwright.sync_api import Browser

from comfy_runner.engine.local import InstalledEngine, LocalOptions, LocalServer, setup, start, stop
from tests.chromium import NoBrowserError, chromium
from tests.early_2024 import early_2024
from tests.s3 import S3Server, s3_server
from tests.standin import StandIn
from tests.themes import themes

# A loaded machine is no fault of the program's. In CI values are the same each time, so that what it finds is in the change.
settings.register_profile("unhurried", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("unhurried")
settings.register_profile("quick", max_examples=25)

# A report takes longer than all the rest of a small run; tests that are about it ask for it.
os.environ["COMFY_RUNNER_REPORT"] = "0"
# Where these tests run in CI, its variables change what the command says; tests that are about them set them.
for name in [name for name in os.environ if name.startswith(("CI", "GITHUB_", "JOB_", "SKYPILOT_", "SLURM_", "WORKSPACE"))]:
    del os.environ[name]
# Engines of several sessions would each take all cores, and wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
# A shell that starts the tests in the background has them ignore Ctrl-C, and with them all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What tests write is synced to a disk that nobody reads again, which takes longer than most tests: memory will do, where there is
# enough of it and programs may be started from there.
_MEMORY, _ENOUGH = Path("/dev/shm"), 4 * 1024**3  # noqa: S108
if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK):
    known = os.statvfs(_MEMORY)
    if known.f_bavail * known.f_frsize >= _ENOUGH and not known.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None
# Thousands of tests are objects that stay; looking through them again and again is a third of the time that short tests take.
gc.disable()

say = logging.getLogger("tests.engine.local").info

_SPECIAL_SERVERS = ("early_2024_server", "server_without_cache", "odd_server")

_running = pytest.StashKey[pytest.Item]()
_has_failed = pytest.StashKey[bool]()
_folders = itertools.count()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test the markers that its folder and its fixtures call for, before `-m` chooses."""
    for item in items:
        for theme in themes(item.path.relative_to(config.rootpath), getattr(item, "fixturenames", ())):
            item.add_marker(theme)
    items.sort(key=_server_of_its_own)


def _server_of_its_own(item: pytest.Item) -> int:
    """Return a number that brings tests together that share a special server: one of several processes has to start it then."""
    fixtures = getattr(item, "fixturenames", ())
    return next((number for number, name in enumerate(_SPECIAL_SERVERS) if name in fixtures), len(_SPECIAL_SERVERS))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_sessionfinish() -> None:
    # Pytest collects five times at the end, to find what nobody closed: all that is to be found, the first one finds.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.config.stash[_running] = item


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_has_failed] = item.stash.get(_has_failed, False) or report.failed
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what tests have counted: those that record it as a property named ``counted``."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    properties = (each for report in reports if isinstance(report, pytest.TestReport) for each in report.user_properties)
    if lines := dict.fromkeys(str(value) for name, value in properties if name == "counted"):
        terminalreporter.section("counted")
        for line in lines:
            terminalreporter.line(line)


def _hold_to_its_marker(config: pytest.Config, theme: str) -> None:
    """Fail a test that asks for a fixture while it runs, where its marker does not say so: `-m` would have chosen wrongly."""
    item = config.stash[_running]
    assert item.get_closest_marker(theme), f"{item.nodeid} has to be marked: @pytest.mark.{theme}"


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with nothing beside it, kept where the test fails; pytest's would look through all earlier ones to name it."""
    parent = tmp_path_factory.getbasetemp() / str(next(_folders))
    path = parent / re.sub(r"\W", "_", request.node.name)[:30]
    path.mkdir(parents=True)
    yield path
    if not request.node.stash.get(_has_failed, False):
        shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[StandIn]:
    """A stand-in server of its own for each test that asks for one."""
    with StandIn() as standin:
        yield standin


@pytest.fixture(scope="session")
def running_s3() -> Iterator[S3Server]:
    """An S3 that belongs to this session alone."""
    with s3_server() as running:
        yield running


@pytest.fixture
def s3(running_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The session's S3, which this process finds as AWS' own tools do."""
    for name, value in running_s3.environment.items():
        monkeypatch.setenv(name, value)
    return running_s3


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium, which this session's pages share."""
    try:
        with chromium() as started:
            yield started
    except NoBrowserError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def local_options(request: pytest.FixtureRequest) -> LocalOptions:
    """Options of this session's own instance; the engine is shared by all sessions on this machine."""
    _hold_to_its_marker(request.config, "real")
    return LocalOptions(instance=f"test-{os.getpid()}")


@pytest.fixture(scope="session")
def local_engine(local_options: LocalOptions) -> InstalledEngine:
    """The managed engine; downloaded if this machine has none yet."""
    for folder in local_options.instances.glob("test-*"):
        owner = folder.name.split("-")[1]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            # Its session was killed before it could clean up.
            stop(replace(local_options, instance=folder.name))
            shutil.rmtree(folder, ignore_errors=True)
    return setup(local_options, say=say)


@pytest.fixture(scope="session")
def comfyui_server(local_options: LocalOptions, local_engine: InstalledEngine) -> Iterator[LocalServer]:
    """A real ComfyUI that belongs to this session alone."""
    assert local_engine.checkpoint is not None
    yield from _served(local_options)


@pytest.fixture(scope="session")
def options_without_cache(local_options: LocalOptions) -> LocalOptions:
    """Options of the server that remembers nothing; whoever restarts it leaves it running, where it was."""
    return replace(local_options, instance=f"{local_options.instance}-no-cache", server_args=("--cache-none",))


@pytest.fixture(scope="session")
def server_without_cache(options_without_cache: LocalOptions, local_engine: InstalledEngine) -> Iterator[LocalServer]:
    """A real ComfyUI that remembers nothing of the last prompt."""
    assert local_engine.checkpoint is not None
    yield from _served(options_without_cache)


@pytest.fixture(scope="session")
def early_2024_server(local_options: LocalOptions, local_engine: InstalledEngine) -> Iterator[LocalServer]:
    """A real ComfyUI of early 2024, with the same checkpoint."""
    checkout = early_2024(local_options)
    instance = f"{local_options.instance}-early-2024"
    yield from _served(replace(local_options, instance=instance, comfyui=checkout, python=local_engine.python))


def _served(options: LocalOptions) -> Iterator[LocalServer]:
    try:
        yield start(options, say=say)
    finally:
        stop(options)
        shutil.rmtree(options.folder, ignore_errors=True)
