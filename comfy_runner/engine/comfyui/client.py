"""The HTTP routes of one ComfyUI, each as one method with a timeout and clear errors. HTTP is the truth about a job.

Nothing is retried and nothing is decided here. Redirects are never followed: what redirects an API call is a login page.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import quote

import urllib3

from comfy_runner.engine.comfyui.address import Address
from comfy_runner.engine.comfyui.connections import Connections, at_most, headers_of
from comfy_runner.engine.comfyui.responses import HttpAnswer, answer_of, not_comfyui, refused, strings, translated
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.errors import ServerRefused, WorkflowError

__all__ = ["ComfyHttp", "HttpAnswer", "UploadForm"]

CHUNK = 256 * 1024
"""Bytes of a file that are read at a time."""


class UploadForm(Protocol):
    """A body of which the length in bytes is known, and which is sent piece by piece."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


class ComfyHttp:
    """A client for the HTTP routes of one server; safe to use from several threads.

    Args:
        address: The server.
        timeouts: How long to wait.
        api_key: Pays for nodes that call paid services; posted with the prompts that have some, and taken out of all answers, so
            that nothing that is recorded or shown of them has it. Empty for none.
    """

    def __init__(self, address: Address, *, timeouts: RequestTimeouts | None = None, api_key: str = "") -> None:
        self.address, self._api_key = address, api_key
        self._timeouts = timeouts or RequestTimeouts()
        self._connections, self._hurry = Connections(address), threading.Event()
        self._headers = headers_of(address, **{"Accept-Encoding": "gzip, deflate"})

    def hurry(self) -> None:
        """Give up every request, also those that wait already, once the server has been silent for some seconds."""
        self._hurry.set()

    def system_stats(self) -> dict[str, Any]:
        """Return ``GET /system_stats``: versions, devices, memory in bytes.

        Raises:
            Unreachable: Nobody answers, or somebody who is not ComfyUI.
        """
        found = self._get("/system_stats")
        if not isinstance(found, dict) or not isinstance(found.get("system"), dict):
            raise not_comfyui(HttpAnswer(self.address.http("/system_stats"), 200, found))
        return found

    def object_info(self, class_type: str | None = None) -> Any:
        """Return ``GET /object_info``: every node class with its inputs, some megabytes; or one, empty if there is none."""
        return self._get("/object_info" + ("" if class_type is None else f"/{quote(class_type, safe='')}"))

    def node_replacements(self) -> Any:
        """Return ``GET /node_replacements``: what takes the place of classes that are gone; None where nobody tells (before 0.14).

        Raises:
            ServerRefused: It cannot tell just now.
        """
        answer = self._request("GET", "/node_replacements", None)
        if answer.status != 200 and (error := refused(answer)).is_transient:
            raise error
        return answer.body if answer.status == 200 else None

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
        self,
        workflow: Mapping[str, Any],
        *,
        prompt_id: str,
        client_id: str,
        pnginfo: Mapping[str, Any] | None = None,
        preview_method: str = "",
        pays: bool = False,
    ) -> HttpAnswer:
        """Queue a workflow with ``POST /prompt`` and return the answer: 200 with a ``prompt_id``, or 400 with reasons.

        Args:
            workflow: The API-format graph.
            prompt_id: A canonical lower-case UUID; older servers choose their own.
            client_id: Always sent, also without a websocket: without one a cached job ends with no outputs.
            pnginfo: Further text chunks for saved PNG files.
            preview_method: How it is to make previews, such as ``latent2rgb`` (0.5 and later; others take no notice); empty for
                what it was started with.
            pays: Whether the API key goes with it.

        Raises:
            WorkflowError: The workflow cannot be written as JSON.
            ServerRefused: Any other status. The prompt may have been queued all the same.
            Unreachable: No answer, or not one of ComfyUI. Likewise.
        """
        extra: dict[str, Any] = {"extra_pnginfo": dict(pnginfo or {})}
        if preview_method:
            extra["preview_method"] = preview_method
        if pays and self._api_key:
            extra["api_key_comfy_org"] = self._api_key
        body = {"prompt": workflow, "prompt_id": prompt_id, "client_id": client_id, "extra_data": extra}
        answer = self._post("/prompt", body, also_accept=(400,))
        if answer.status == 400 and not isinstance(answer.body, dict):
            raise refused(answer)
        if answer.status == 200 and not (isinstance(answer.body, dict) and isinstance(answer.body.get("prompt_id"), str)):
            raise not_comfyui(answer)
        return answer

    def delete_pending(self, prompt_ids: list[str]) -> None:
        """Take prompts out of the queue; those that run or are unknown are left as they are."""
        self._post("/queue", {"delete": prompt_ids})

    def cancel_job(self, prompt_id: str) -> bool:
        """Take a prompt back, whether it waits or runs; return whether the server has a route for that (0.26 and later).

        A prompt that is unknown, or has ended, is left as it is.
        """
        try:
            self._post(f"/api/jobs/{quote(prompt_id, safe='', errors='replace')}/cancel", {})
        except ServerRefused as error:
            if error.status not in (404, 405):
                raise
            return False
        return True

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
            Unreachable: The connection failed, also in the middle of the file, or a page comes in place of it.
        """
        with self._asked("GET", "/view", params=_params(filename, subfolder, kind), seconds=self._timeouts.download) as response:
            if response.status != 200:
                raise refused(self._answer(response, "/view"))
            if _is_html(response) and not filename.lower().endswith(("html", "htm")):
                raise not_comfyui(replace(self._answer(response, "/view"), body="<html"))
            # Errors of requests are errors of the operating system too, as which a full disk would be told.
            yield response.stream(CHUNK, decode_content=True)

    def size_of(self, filename: str, *, subfolder: str, kind: str) -> int | None:
        """Return how many bytes a file of the server has, which need not be whole; nothing of it is transferred.

        Args:
            filename: As for `view`.
            subfolder: As for `view`; on Windows servers a forward slash is as good as theirs.
            kind: As for `view`.

        Returns:
            The size; -1 where the server does not tell it, None where it has no such file.

        Raises:
            ServerRefused: ``/view`` does not take the name, or the server does not tell.
            Unreachable: No answer, or not one of ComfyUI.
        """
        # The length of what is compressed says nothing of the file.
        headers = {"Accept-Encoding": "identity"}
        with self._asked("HEAD", "/view", params=_params(filename, subfolder, kind), headers=headers) as response:
            answer = self._answer(response, "/view")
        if answer.status not in (200, 404):
            raise refused(answer)
        # A picture is never HTML: that is a login page, or a proxy.
        if answer.status == 200 and _is_html(response):
            raise not_comfyui(replace(answer, body="<html"))
        length = response.headers.get("Content-Length", "")
        return None if answer.status == 404 else int(length) if length.isdecimal() else -1

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
        path, headers = "/upload/image", {"Content-Type": content_type}
        # The first is what a piece may take to be sent, the other one what writing the file may take.
        timeout = (self._timeouts.read, self._timeouts.answer)
        seconds = self._timeouts.download
        with self._asked("POST", path, body=form, headers=headers, seconds=seconds, timeout=timeout) as response:
            answer = self._answer(response, path)
        if answer.status != 200:
            raise refused(answer)
        name = answer.body.get("name") if isinstance(answer.body, dict) else None
        if not isinstance(name, str) or not name:
            raise not_comfyui(answer)
        subfolder = answer.body.get("subfolder")
        return name, subfolder if isinstance(subfolder, str) else ""

    def free(self) -> None:
        """Make the server give its memory back, after the prompt that runs: models, and all that is cached; to everybody's cost."""
        self._post("/free", {"unload_models": True, "free_memory": True})

    def forget(self, prompt_ids: list[str]) -> None:
        """Take prompts out of the history; their files stay, and unknown ones are no error."""
        self._post("/history", {"delete": prompt_ids})

    def _get(self, path: str) -> Any:
        answer = self._request("GET", path, None)
        if answer.status != 200:
            raise refused(answer)
        if isinstance(answer.body, str):
            raise not_comfyui(answer)
        return answer.body

    def _post(self, path: str, body: Mapping[str, Any], *, also_accept: tuple[int, ...] = ()) -> HttpAnswer:
        try:
            data = json.dumps(body, ensure_ascii=True, allow_nan=False).encode("ascii")
        except (ValueError, TypeError, RecursionError) as error:
            raise WorkflowError(f"cannot be written as JSON: {error}", where=self.address.http(path)) from error
        answer = self._request("POST", path, data)
        if answer.status != 200 and answer.status not in also_accept:
            raise refused(answer)
        return answer

    def _request(self, method: str, path: str, data: bytes | None) -> HttpAnswer:
        headers = {"Content-Type": "application/json"} if data is not None else {}
        with self._asked(method, path, body=data, headers=headers) as response:
            return self._answer(response, path)

    def _answer(self, response: urllib3.BaseHTTPResponse, path: str) -> HttpAnswer:
        return answer_of(response, self.address.http(path), secret=self._api_key)

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | UploadForm | None = None,
        seconds: float | None = None,
        timeout: tuple[float, float] | None = None,
        shown: str | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        url = self.address.http(path if shown is None else shown)
        with at_most(self._timeouts.answer if seconds is None else seconds, url, self._hurry), translated(url):
            response = self._connections.ask(
                method,
                path,
                query={**self.address.query, **(params or {})},
                headers={**self._headers, **(headers or {})},
                body=body,
                timeout=timeout or (self._timeouts.connect, self._timeouts.read),
            )
            try:
                yield response
            finally:
                response.close()  # which it is already where all of it was read
                response.release_conn()


def _is_html(response: urllib3.BaseHTTPResponse) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")


def _params(filename: str, subfolder: str, kind: str) -> dict[str, bytes]:
    # The names may be the server's own, which JSON lets be no text at all.
    names = {"filename": filename, "subfolder": subfolder, "type": kind}
    return {name: value.encode("utf-8", "replace") for name, value in names.items()}
