"""Comfy Cloud's routes, told as those of one ComfyUI: https://docs.comfy.org/development/cloud/overview, as of August 2026.

It takes graphs as ComfyUI does. It chooses the ids of prompts itself, tells of jobs in place of a history, and sends whoever wants
a file on to a storage with a signed URL. There, the API key is not sent. The only route that interrupts what runs does so for all
that the account has running: it is never asked. What of this was never tried is told in docs/services.md.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote, urlsplit

import urllib3

from comfy_runner.engine.comfyui.address import Address, is_loopback
from comfy_runner.engine.comfyui.client import CHUNK, ComfyHttp
from comfy_runner.engine.comfyui.responses import HttpAnswer, not_comfyui, refused
from comfy_runner.engine.comfyui.submit import file_prefixes
from comfy_runner.engine.timeouts import RequestTimeouts
from comfy_runner.errors import ServerRefused

HOST: Final = "cloud.comfy.org"
"""Where it is."""

_ENDS = {"completed": "execution_success", "failed": "execution_error", "cancelled": "execution_interrupted"}
_REDIRECTS = (302, 303, 307)
_REFUSALS = {
    401: ("does not take the API key", "look at COMFY_API_KEY, or comfy_api_key in the config file"),
    402: ("says that the account has too few credits", "buy some, and run the same command again"),
}


class CloudHttp(ComfyHttp):
    """A client for Comfy Cloud; see `ComfyHttp` for what its methods do.

    Args:
        address: Where it is, without ``/api``.
        api_key: Opens it, and pays for partner nodes.
        timeouts: How long to wait.
    """

    def __init__(self, address: Address, *, api_key: str, timeouts: RequestTimeouts | None = None) -> None:
        self._root, root = address, address.url.removesuffix("/api")
        headers = {**address.headers, "X-API-Key": api_key}
        inside = Address(f"{root}/api", headers, address.query, address.cacert, address.insecure)
        super().__init__(inside, timeouts=timeouts, api_key=api_key)
        self._client_id = ""
        self._names_there: dict[str, str] = {}
        self._storages: dict[str, ComfyHttp] = {}
        self._lock = threading.Lock()

    def _answer(self, response: urllib3.BaseHTTPResponse, path: str) -> HttpAnswer:
        answer = super()._answer(response, path)
        if answer.status in _REFUSALS:
            what, hint = _REFUSALS[answer.status]
            error = ServerRefused(f"{what} (status {answer.status})", where=answer.url, hint=hint)
            error.status = answer.status
            raise error
        return answer

    def submit(self, workflow: Mapping[str, Any], *, client_id: str, **given: Any) -> HttpAnswer:
        """Queue a workflow; the answer has an id of the cloud's own."""
        self._client_id = client_id
        return super().submit(workflow, client_id=client_id, **given)

    def object_info(self, class_type: str | None = None) -> Any:
        """Return every node class, or one, which cannot be asked for alone; empty if there is none."""
        found = super().object_info()
        if class_type is None or not isinstance(found, dict):
            return found
        return {name: node for name, node in found.items() if name == class_type}

    def queue(self) -> dict[str, Any]:
        """Return running and pending items as ComfyUI's are."""
        found = super().queue()
        return {name: list(map(self._item, items)) for name, items in found.items() if isinstance(items, list)}

    def _item(self, item: Any) -> Any:
        if not isinstance(item, list) or len(item) < 3:
            return item
        # Who has posted it is not told. Our file prefixes have an id that nobody else's have.
        return [*item[:3], {"client_id": self._client_id}, *item[3:4]]

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """Return what became of a job as an entry of ComfyUI's history; None while it waits or runs, or where it is unknown."""
        try:
            job = self._get(f"/jobs/{quote(prompt_id, safe='', errors='replace')}")
        except ServerRefused as error:
            if error.status != 404:
                raise
            return None
        return self._entry(prompt_id, job) if isinstance(job, dict) else None

    def _entry(self, prompt_id: str, job: Mapping[str, Any]) -> dict[str, Any] | None:
        end = _ENDS.get(str(job.get("status")))
        if end is None:
            return None
        error, timeline = job.get("execution_error"), job.get("execution_status")
        # As in ComfyUI's history, it seems: the documentation does not say.
        messages = timeline.get("messages") if isinstance(timeline, dict) else None
        if not isinstance(messages, list) or not any(isinstance(each, list) and each[:1] == [end] for each in messages):
            messages = [[end, error if isinstance(error, dict) else {}]]
        return {
            "prompt": [0, prompt_id, job.get("workflow"), {"client_id": self._client_id}, []],
            "outputs": self._named(job.get("outputs"), job.get("workflow")),
            "meta": job.get("execution_meta"),
            "status": {"completed": end == "execution_success", "messages": messages},
        }

    def _named(self, outputs: Any, workflow: Any) -> Any:
        """Return outputs with files called as SaveImage would have called them, which tells whose they are: hashes do not."""
        if not isinstance(outputs, dict) or not isinstance(workflow, dict):
            return outputs
        found = {}
        for node_id, output in outputs.items():
            stem = next(iter(file_prefixes({node_id: workflow.get(node_id)})), "").rpartition("/")[2]
            numbers = itertools.count(1)
            found[node_id] = {
                kind: [self._renamed(item, stem, numbers) for item in items] if stem and isinstance(items, list) else items
                for kind, items in (output if isinstance(output, dict) else {}).items()
            }
        return found

    def _renamed(self, item: Any, stem: str, numbers: Iterator[int]) -> Any:
        name = item.get("filename") if isinstance(item, dict) else None
        if not isinstance(name, str) or stem in name:
            return item
        told = f"{stem}_{next(numbers):05}_{PurePosixPath(name).suffix}"
        self._names_there[told] = name
        return {**item, "filename": told}

    def recent_history(self, most: int) -> dict[str, Any]:
        """Return the newest jobs that have ended, as entries of ComfyUI's history; each is asked for by itself."""
        found = self._get(f"/jobs?limit={most}&status={','.join(_ENDS)}")
        jobs = found.get("jobs") if isinstance(found, dict) else None
        ids = [job["id"] for job in jobs or () if isinstance(job, dict) and isinstance(job.get("id"), str)]
        entries = {job_id: self.history(job_id) for job_id in ids[:most]}
        return {job_id: entry for job_id, entry in entries.items() if entry is not None}

    def cancel_job(self, prompt_id: str) -> bool:
        """Take a job back: out of the queue, or by its id where the second version of the routes knows it."""
        self.delete_pending([prompt_id])
        with contextlib.suppress(ServerRefused):
            self._post(f"/v2/jobs/{quote(prompt_id, safe='', errors='replace')}/cancel", {})
        return True  # whatever comes of it: interrupting would hit everybody's jobs

    def model_folders(self) -> list[str]:
        """Return the folders that models are in."""
        return self._listed("/experiment/models")

    def models_in(self, folder: str) -> list[str]:
        """Return the files in a folder."""
        return self._listed(f"/experiment/models/{quote(folder, safe='', errors='replace')}")

    def _listed(self, path: str) -> list[str]:
        found = self._get(path)
        items = found if isinstance(found, list) else []
        return [item["name"] for item in items if isinstance(item, dict) and isinstance(item.get("name"), str)]

    @contextmanager
    def view(self, filename: str, *, subfolder: str, kind: str) -> Iterator[Iterator[bytes]]:
        """Stream a file, from the storage that the cloud names."""
        names = {"filename": self._names_there.get(filename, filename), "subfolder": subfolder, "type": kind}
        params = {name: value.encode("utf-8", "replace") for name, value in names.items()}
        with self._asked("GET", "/view", params=params) as response:
            if response.status not in _REDIRECTS:
                raise (
                    refused(self._answer(response, "/view"))
                    if response.status != 200
                    else not_comfyui(HttpAnswer(self.address.http("/view"), 200, ""))
                )
            target = str(response.headers.get("Location", ""))
        with self._stored(target) as chunks:
            yield chunks

    @contextmanager
    def _stored(self, target: str) -> Iterator[Iterator[bytes]]:
        parts = urlsplit(target)
        origin = f"{parts.scheme}://{parts.netloc}"
        is_safe = parts.scheme == "https" or (is_loopback(origin) and is_loopback(self.address.url))
        if not is_safe or not parts.hostname or parts.username is not None:
            raise not_comfyui(HttpAnswer(self.address.http("/view"), 302, ""))
        with self._lock:
            storage = self._storages.setdefault(origin, ComfyHttp(Address(origin, cacert=self.address.cacert)))
        # The query is what opens the storage: no message has it.
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        with storage._asked("GET", path, shown=parts.path, seconds=self._timeouts.download) as response:
            if response.status != 200:
                error = ServerRefused(f"answered with status {response.status}", where=f"{origin}{parts.path}")
                error.status = response.status
                raise error
            yield response.stream(CHUNK, decode_content=True)

    def size_of(self, filename: str, *, subfolder: str, kind: str) -> int | None:
        """Return None: files are stored by their content, and are not found by the names that they were saved under."""
        del filename, subfolder, kind
        return None

    def free(self) -> None:
        """Do nothing: which machine does the next job is not known."""
