"""What each exception of `requests` means here. With `http` and `answers` the only place that knows that library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3

from comfy_runner.errors import ComfyRunnerError, Unreachable, UsageError

# Every exception that requests can raise, and what it means here; one that is new means what its nearest parent means.
TRANSLATION: dict[type[BaseException], tuple[type[ComfyRunnerError], str]] = {
    requests.exceptions.InvalidURL: (UsageError, "is not a usable URL"),
    requests.exceptions.MissingSchema: (UsageError, "is not a usable URL"),
    requests.exceptions.InvalidSchema: (UsageError, "is not a usable URL"),
    requests.exceptions.URLRequired: (UsageError, "is not a usable URL"),
    requests.exceptions.InvalidHeader: (UsageError, "a header is not valid HTTP"),
    requests.exceptions.InvalidProxyURL: (UsageError, "the proxy's URL in the environment is not usable"),
    requests.exceptions.SSLError: (Unreachable, "the TLS connection failed"),
    requests.exceptions.ProxyError: (Unreachable, "the proxy in between refused"),
    requests.exceptions.ConnectTimeout: (Unreachable, "nobody answered in time"),
    requests.exceptions.ReadTimeout: (Unreachable, "did not answer in time"),
    requests.exceptions.Timeout: (Unreachable, "did not answer in time"),
    requests.exceptions.ChunkedEncodingError: (Unreachable, "the answer broke off"),
    requests.exceptions.StreamConsumedError: (Unreachable, "the answer broke off"),
    requests.exceptions.ContentDecodingError: (Unreachable, "the answer is garbled"),
    requests.exceptions.JSONDecodeError: (Unreachable, "the answer is garbled"),
    requests.exceptions.InvalidJSONError: (Unreachable, "the answer is garbled"),
    requests.exceptions.ConnectionError: (Unreachable, "nobody answers"),
    requests.exceptions.RetryError: (Unreachable, "the request failed"),
    requests.exceptions.TooManyRedirects: (Unreachable, "the request failed"),
    requests.exceptions.UnrewindableBodyError: (Unreachable, "the request failed"),
    requests.exceptions.HTTPError: (Unreachable, "the request failed"),
    requests.exceptions.RequestException: (Unreachable, "the request failed"),
}

_UNREACHABLE_HINT = "is ComfyUI running there? `--server local` starts one"
_HINTS: dict[type[BaseException], str] = {
    requests.exceptions.SSLError: "name its certificate with --cacert FILE; --insecure does without a check",
    requests.exceptions.ProxyError: "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment",
}


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise errors of our own tree for those of the libraries underneath.

    Args:
        url: The route that is asked, without its query.

    Raises:
        Unreachable: Nobody answers, or not to the end.
        UsageError: The URL, the proxy's or a header is not usable.
    """
    try:
        yield
    except requests.exceptions.RequestException as error:
        kind, what = next(TRANSLATION[parent] for parent in type(error).__mro__ if parent in TRANSLATION)
        hint = _HINTS.get(type(error), _UNREACHABLE_HINT) if kind is Unreachable else ""
        # The library's error quotes the URL with its query, which may hold a token.
        raise kind(what, where=url, hint=hint) from None
    except urllib3.exceptions.HTTPError:  # while reading a body, requests lets these through
        raise Unreachable("the answer broke off", where=url) from None
    except UnicodeError:  # requests checks the characters of headers and host names only in part
        raise UsageError("a header or the host's name cannot be sent", where=url) from None
    except ValueError:  # http.client lets it out for a chunk of negative length
        raise Unreachable("the answer is garbled", where=url) from None
