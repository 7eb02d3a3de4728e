"""The HTTP routes of one ComfyUI, each as one method with a timeout and clear errors. HTTP is the truth about a job.

With `answers` and `translation` the only place that knows `requests`. Nothing is retried and nothing is decided here. Redirects
are never followed: what redirects an API call is a login page.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import quote

import requests
import urllib3

from comfy_runner.engine.comfyui.address import Address, is_loopback
from comfy_runner.engine.comfyui.deadline import WatchedAdapter, at_most
from comfy_runner.engine.comfyui.responses import LOGIN_HINT, HttpAnswer, read, seconds_of, status_hint, strings, translated
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.errors import ServerRefused, Unreachable, WorkflowError

__all__ = ["ComfyHttp", "HttpAnswer", "UploadForm"]

_CHUNK = 256 * 1024


class UploadForm(Protocol):
    """A body of which the length in bytes is known, and which is sent piece by piece."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


class ComfyHttp:
    """A client for the HTTP routes of one server; safe to use from several threads.

    Args:
        address: The server.
        timeouts: How long to wait.
    """

    def __init__(self, address: Address, *, timeouts: RequestTimeouts | None = None) -> None:
        self.address = address
        self._timeouts = timeouts or RequestTimeouts()
        # A proxy named in the environment is not meant for this machine, whether or not NO_PROXY says so.
        self._proxies = {} if is_loopback(address.url) else requests.utils.get_environ_proxies(address.url)
        self._local = threading.local()
        if address.insecure:
            # The user has asked for it and is told so once; urllib3 would say so with every request.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def system_stats(self) -> dict[str, Any]:
        """Return ``GET /system_stats``: versions, devices, memory in bytes.

        Raises:
            Unreachable: Nobody answers, or somebody who is not ComfyUI.
        """
        found = self._get("/system_stats")
        if not isinstance(found, dict) or not isinstance(found.get("system"), dict):
            raise self._not_comfyui("/system_stats", HttpAnswer(200, found))
        return found

    def object_info(self) -> Any:
        """Return ``GET /object_info``: every node class with its inputs; some megabytes."""
        return self._get("/object_info")

    def class_info(self, class_type: str) -> Any:
        """Return ``GET /object_info/{class_type}``: the same of one class; an empty object where the server has no such class."""
        return self._get(f"/object_info/{quote(class_type, safe='')}")

    def model_folders(self) -> list[str]:
        """Return ``GET /models``: the folders that models are in; none where the server has no such route (before August 2024)."""
        try:
            return strings(self._get("/models"))
        except ServerRefused as error:
            if error.status not in (404, 405):
                raise
            return []

    def models_in(self, folder: str) -> list[str]:
        """Return ``GET /models/{folder}``: the files in a folder, with the server's separators.

        Raises:
            ServerRefused: It has no such folder (404), or cannot look into it.
        """
        return strings(self._get(f"/models/{quote(folder, safe='', errors='replace')}"))

    def queue(self) -> dict[str, Any]:
        """Return ``GET /queue``: running and pending items, with their whole graphs."""
        found = self._get("/queue")
        return found if isinstance(found, dict) else {}

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """Return the history entry of a prompt, or None while it is unknown, pending or running."""
        # The id may be the server's own, so it is not to be trusted as a part of a path.
        found = self._get(f"/history/{quote(prompt_id, safe='', errors='replace')}")
        entry = found.get(prompt_id) if isinstance(found, dict) else None
        return entry if isinstance(entry, dict) else None

    def recent_history(self, most: int) -> dict[str, Any]:
        """Return the newest history entries by prompt id, at most so many; each holds a whole graph."""
        found = self._get(f"/history?max_items={most}")
        return found if isinstance(found, dict) else {}

    def submit(
        self, workflow: Mapping[str, Any], *, prompt_id: str, client_id: str, pnginfo: Mapping[str, Any] | None = None
    ) -> HttpAnswer:
        """Queue a workflow with ``POST /prompt`` and return the answer: 200 with a ``prompt_id``, or 400 with reasons.

        Args:
            workflow: The API-format graph.
            prompt_id: A canonical lower-case UUID; older servers choose their own.
            client_id: Always sent, also without a websocket: without one a cached job ends with no outputs.
            pnginfo: Further text chunks for saved PNG files.

        Raises:
            WorkflowError: The workflow cannot be written as JSON.
            ServerRefused: Any other status. The prompt may have been queued all the same.
            Unreachable: No answer, or not one of ComfyUI. Likewise.
        """
        body = {
            "prompt": workflow,
            "prompt_id": prompt_id,
            "client_id": client_id,
            "extra_data": {"extra_pnginfo": dict(pnginfo or {})},
        }
        answer = self._post("/prompt", body, also_accept=(400,))
        if not isinstance(answer.body, dict):
            if answer.status == 400:
                raise self._refused("/prompt", answer)
            raise self._not_comfyui("/prompt", answer)
        if answer.status == 200 and not isinstance(answer.body.get("prompt_id"), str):
            raise self._not_comfyui("/prompt", answer)
        return answer

    def delete_pending(self, prompt_ids: list[str]) -> None:
        """Take prompts out of the queue; those that run or are unknown are left as they are."""
        self._post("/queue", {"delete": prompt_ids})

    def interrupt(self, prompt_id: str) -> None:
        """Interrupt this prompt. Servers before 0.3.57 interrupt whatever runs: ask `queue` first."""
        self._post("/interrupt", {"prompt_id": prompt_id})

    @contextmanager
    def view(self, filename: str, *, subfolder: str, kind: str) -> Iterator[Iterator[bytes]]:
        """Stream a file of the server with ``GET /view``.

        Args:
            filename: The name that the server gave.
            subfolder: The folder that it gave, verbatim.
            kind: output, temp or input.

        Yields:
            The chunks of the file.

        Raises:
            ServerRefused: The file is not there (404), or its name is one that ``/view`` refuses.
            Unreachable: The connection failed, also in the middle of the file.
        """
        with self._limited("/view", self._timeouts.download), self._viewed("GET", filename, subfolder, kind) as response:
            if response.status_code != 200:
                raise self._refused("/view", _answer(response))
            yield response.iter_content(_CHUNK)

    def exists(self, filename: str, *, subfolder: str, kind: str) -> bool:
        """Return whether the server has a file, which need not be whole; nothing of it is transferred.

        Args:
            filename: As for `view`.
            subfolder: As for `view`; on Windows servers a forward slash is as good as theirs.
            kind: As for `view`.

        Raises:
            ServerRefused: ``/view`` does not take the name, or the server does not tell.
            Unreachable: No answer, or not one of ComfyUI.
        """
        with self._limited("/view", self._timeouts.answer), self._viewed("HEAD", filename, subfolder, kind) as response:
            if response.status_code not in (200, 404):
                raise self._refused("/view", _answer(response))
            # A picture is never HTML: that is a login page, or a proxy.
            if response.status_code == 200 and response.headers.get("Content-Type", "").startswith("text/html"):
                raise self._not_comfyui("/view", HttpAnswer(200, "<html"))
            return response.status_code == 200

    def size_of(self, filename: str, *, subfolder: str, kind: str) -> int | None:
        """Return how many bytes a file of the server has, None where it has no such file; nothing of it is transferred.

        Args:
            filename: As for `view`.
            subfolder: As for `view`.
            kind: As for `view`.

        Raises:
            ServerRefused: The server does not tell.
            Unreachable: No answer.
        """
        with self._limited("/view", self._timeouts.answer), self._viewed("HEAD", filename, subfolder, kind) as response:
            length = response.headers.get("Content-Length", "")
            if response.status_code == 404:
                return None
            if response.status_code != 200 or not length.isdecimal():
                raise self._refused("/view", _answer(response))
            return int(length)

    def features(self) -> dict[str, Any]:
        """Return ``GET /features``: what the server can do; nothing where it has no such route (before v0.3.45)."""
        try:
            found = self._get("/features")
        except ServerRefused:
            return {}
        return found if isinstance(found, dict) else {}

    def upload(self, form: UploadForm, *, content_type: str) -> tuple[str, str]:
        """Send a file with ``POST /upload/image`` and return the name and the subfolder that the server gives it.

        Args:
            form: The form in pieces; what it raises is raised.
            content_type: What it is, with its boundary.

        Raises:
            ServerRefused: Any status but 200.
            Unreachable: The connection failed, also in the middle of the file, or it is not one of ComfyUI.
        """
        path, timeouts = "/upload/image", self._timeouts
        url = self.address.http(path)
        # The first of the two is what a piece may take to be sent, the other one what writing the file may take.
        timeout = (timeouts.read, timeouts.answer)
        headers = {"Content-Type": content_type}
        with (
            self._limited(path, timeouts.download),
            translated(url),
            self._session.post(
                url,
                data=form,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=timeout,
            ) as response,
        ):
            answer = _answer(response)
        if answer.status != 200:
            raise self._refused(path, answer)
        name = answer.body.get("name") if isinstance(answer.body, dict) else None
        if not isinstance(name, str) or not name:
            raise self._not_comfyui(path, answer)
        subfolder = answer.body.get("subfolder")
        return name, subfolder if isinstance(subfolder, str) else ""

    def free(self, *, unload_models: bool = True, free_memory: bool = True) -> None:
        """Make the server give memory back, after the prompt that runs; to everybody's cost.

        Args:
            unload_models: Whether models leave the GPU.
            free_memory: Whether what is cached of earlier prompts goes too: an identical prompt really runs again.
        """
        self._post("/free", {"unload_models": unload_models, "free_memory": free_memory})

    def forget(self, prompt_ids: list[str]) -> None:
        """Take prompts out of the history; their files stay, and unknown ones are no error."""
        self._post("/history", {"delete": prompt_ids})

    @contextmanager
    def _viewed(self, method: str, filename: str, subfolder: str, kind: str) -> Iterator[requests.Response]:
        # The names may be the server's own, which JSON lets be no text at all.
        params = {
            name: value.encode("utf-8", "replace")
            for name, value in (("filename", filename), ("subfolder", subfolder), ("type", kind))
        }
        url = self.address.http("/view")
        # The length of what is compressed says nothing of the file.
        headers = {"Accept-Encoding": "identity"} if method == "HEAD" else {}
        with (
            translated(url),
            self._session.request(
                method, url, params=params, headers=headers, stream=True, allow_redirects=False, timeout=self._timeout
            ) as response,
        ):
            yield response

    def _get(self, path: str) -> Any:
        answer = self._request("GET", path, None)
        if answer.status != 200:
            raise self._refused(path, answer)
        if isinstance(answer.body, str):
            raise self._not_comfyui(path, answer)
        return answer.body

    def _post(self, path: str, body: Mapping[str, Any], *, also_accept: tuple[int, ...] = ()) -> HttpAnswer:
        try:
            data = json.dumps(body, ensure_ascii=True, allow_nan=False).encode("ascii")
        except (ValueError, TypeError, RecursionError) as error:
            raise WorkflowError(f"cannot be written as JSON: {error}", where=self.address.http(path)) from error
        answer = self._request("POST", path, data)
        if answer.status != 200 and answer.status not in also_accept:
            raise self._refused(path, answer)
        return answer

    def _request(self, method: str, path: str, data: bytes | None) -> HttpAnswer:
        headers = {"Content-Type": "application/json"} if data is not None else {}
        with (
            self._limited(path, self._timeouts.answer),
            translated(self.address.http(path)),
            self._session.request(
                method,
                self.address.http(path),
                data=data,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response,
        ):
            return _answer(response)

    @property
    def _timeout(self) -> tuple[float, float]:
        return self._timeouts.connect, self._timeouts.read

    @property
    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            for scheme in ("http://", "https://"):
                session.mount(scheme, WatchedAdapter())
            # The environment is looked at once, above: per request it costs as much as the request, and netrc
            # would send credentials that nobody asked for.
            session.trust_env = False
            session.proxies.update(self._proxies)
            session.headers.update(self.address.headers)
            session.params.update(self.address.query)  # type: ignore[union-attr] # a new session's params are a dict
            session.verify = False if self.address.insecure else self.address.cacert or True
            self._local.session = session
        return session

    @contextmanager
    def _limited(self, path: str, seconds: float) -> Iterator[None]:
        with at_most(seconds) as watch:
            try:
                yield
            except Unreachable:
                if not watch.late:
                    raise
            if watch.late:
                raise Unreachable(f"took longer than {seconds:g} seconds to answer", where=self.address.http(path))

    def _refused(self, path: str, answer: HttpAnswer) -> ServerRefused:
        error = ServerRefused(f"answered with status {answer.status}", where=self.address.http(path), hint=status_hint(answer))
        error.status, error.retry_after = answer.status, answer.retry_after
        return error

    def _not_comfyui(self, path: str, answer: HttpAnswer) -> Unreachable:
        login = isinstance(answer.body, str) and "<html" in answer.body.lower()
        hint = LOGIN_HINT if login else "is this the address of ComfyUI itself?"
        return Unreachable("answers, but not as a ComfyUI does", where=self.address.http(path), hint=hint)


def _answer(response: requests.Response) -> HttpAnswer:
    headers = response.headers
    return HttpAnswer(
        response.status_code, read(response), seconds_of(headers.get("Retry-After", ""), date=headers.get("Date", ""))
    )
