"""Every exception of the libraries underneath means something here, also one that they may grow."""

from __future__ import annotations

import inspect

import pytest
import requests
import urllib3
import websocket

from comfy_runner.engine.comfyui.responses import TRANSLATION
from comfy_runner.engine.comfyui.websocket_channel import REASONS
from comfy_runner.errors import ComfyRunnerError


def exceptions_of(module: object, base: type[BaseException]) -> list[type[BaseException]]:
    return [found for _, found in inspect.getmembers(module, inspect.isclass) if issubclass(found, base)]


@pytest.mark.parametrize("kind", exceptions_of(requests.exceptions, requests.exceptions.RequestException))
def test_each_exception_of_requests_is_translated(kind: type[BaseException]) -> None:
    assert kind in TRANSLATION


def test_requests_has_no_other_family_of_exceptions() -> None:
    families = (requests.exceptions.RequestException, Warning, urllib3.exceptions.HTTPError, ValueError)
    assert [kind for kind in exceptions_of(requests.exceptions, BaseException) if not issubclass(kind, families)] == []


@pytest.mark.parametrize("kind", exceptions_of(websocket, BaseException))
def test_each_exception_of_websocket_has_a_reason(kind: type[BaseException]) -> None:
    assert kind in REASONS


def test_the_more_exact_meaning_comes_first() -> None:
    errors = [error for error, _ in TRANSLATION.values()]
    assert all(issubclass(error, ComfyRunnerError) for error in errors)
