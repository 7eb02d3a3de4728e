"""Says at the end of a run how many hostile inputs were tried, and fails a run of the whole folder that tried too few."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.tally import LEAST, TRIED

_HERE = Path(__file__).parent
_whole = pytest.StashKey[bool]()


def pytest_collection_finish(session: pytest.Session) -> None:
    collected = {item.path for item in session.items}
    partial = session.config.option.keyword or session.config.option.markexpr or any("::" in arg for arg in session.config.args)
    session.config.stash[_whole] = not partial and collected.issuperset(_HERE.glob("test_*.py"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and session.config.stash.get(_whole, False) and TRIED.total() < LEAST:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not TRIED:
        return
    terminalreporter.section("hostile inputs")
    for kind, count in sorted(TRIED.items()):
        terminalreporter.line(f"{count:6} {kind}")
    terminalreporter.line(f"{TRIED.total():6} in all")
    if config.stash.get(_whole, False) and TRIED.total() < LEAST:
        terminalreporter.line(f"too few: at least {LEAST} must be tried", red=True)
