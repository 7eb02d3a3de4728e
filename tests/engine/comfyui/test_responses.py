"""Every exception of the libraries underneath means something here, also one that they may grow."""

from __future__ import annotations

import inspect

import pytest
import requests
import urllib3

from comfy_runner.engine.comfyui.responses import TRANSLATION, translated
from comfy_runner.errors import ComfyRunnerError, Unreachable, UsageError

_FAMILIES = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ValueError)
_FOUND = [
    kind
    for module in (requests.exceptions, urllib3.exceptions)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, _FAMILIES)
]


@pytest.mark.parametrize("kind", _FOUND)
def test_each_exception_of_the_libraries_is_translated(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    with pytest.raises(ComfyRunnerError), translated("http://127.0.0.1:1/queue"):
        raise error


@pytest.mark.parametrize("kind", TRANSLATION)
def test_the_more_exact_meaning_comes_first(kind: type[BaseException]) -> None:
    meant, what = TRANSLATION[kind]
    assert meant in (Unreachable, UsageError)
    with pytest.raises(meant, match=what), translated("http://127.0.0.1:1/queue"):
        raise kind.__new__(kind)
