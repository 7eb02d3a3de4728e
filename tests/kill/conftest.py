"""Prints what was killed and restarted, also when all went well."""

from __future__ import annotations

import pytest

from tests.kill.support import REPORTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in REPORTS:
        terminalreporter.write_line(report)
