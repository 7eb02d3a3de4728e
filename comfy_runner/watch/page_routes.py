"""What a browser that watches a run may ask: the page, its pictures, what has changed; to keep picks, and that the run ends.

Reading changes nothing. What has changed comes as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html),
or is asked for again and again where something between holds such a stream back.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from comfy_runner.errors import ComfyRunnerError, InputError
from comfy_runner.report import picks
from comfy_runner.watch.watching import Watching

MOST_STREAMS = 500
"""Browsers that may hold a stream at a time; others ask again and again."""

_PAUSE = 0.25  # between two messages to a browser
_BEAT_SECONDS = 15.0
_CHUNK = 256 * 1024
_UPLOAD_SECONDS = 60.0
_JSON = "application/json"
# A proxy that buffers, such as nginx, is told not to.
_STREAM_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


class Routes:
    """The routes of a run that is watched.

    Args:
        watching: The run.

    Attributes:
        streams: How many browsers have a stream now.
        app: The application.
    """

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self.streams = 0
        routes = [
            Route("/", self._page),
            Route("/events", self._events),
            Route("/changes", self._changes),
            Route("/details", self._details),
            Route("/preview", self._preview),
            Route("/cancel", self._cancel, methods=["POST"]),
            Route(f"/{picks.FILE}", self._picks),
            Route(f"/{picks.FILE}", self._save_picks, methods=["PUT"]),
            Route("/{key:path}", self._file),
        ]
        self.app = Starlette(routes=routes, exception_handlers={ComfyRunnerError: _refused, Exception: _failed})

    async def _page(self, _request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(self._watching.html))

    async def _changes(self, request: Request) -> Response:
        """Answer with what has changed since a cursor, and the cursor to ask with next time."""
        watching = self._watching
        watching.seen()
        number, text = watching.feed.since(watching.feed.number(request.query_params.get("since", "")))
        return Response(f'{{"cursor":"{watching.feed.cursor_at(number)}","changes":{text}}}', media_type=_JSON)

    async def _events(self, request: Request) -> Response:
        if self.streams >= MOST_STREAMS:
            return PlainTextResponse("too many streams: ask for changes\n", status_code=503)
        asked = request.headers.get("last-event-id") or request.query_params.get("since", "")
        stream = self._stream(self._watching.feed.number(asked))
        return StreamingResponse(stream, media_type="text/event-stream", headers=_STREAM_HEADERS)

    async def _stream(self, number: int) -> AsyncIterator[str]:
        """Yield events for a browser; one that reads slowly is given the newest values when it reads again."""
        watching, feed = self._watching, self._watching.feed
        self.streams += 1
        told_at = -_BEAT_SECONDS
        try:
            is_last = False
            while not is_last:
                is_last = watching.is_closing.is_set()
                watching.seen()
                if feed.changes > number:
                    number, text = feed.since(number)
                    yield f"id: {feed.cursor_at(number)}\nevent: changes\ndata: {text}\n\n"
                    told_at = time.monotonic()
                elif time.monotonic() - told_at >= _BEAT_SECONDS:
                    # The comment is for what stands between, the event for the page.
                    yield ": still here\n\nevent: beat\ndata: \n\n"
                    told_at = time.monotonic()
                await asyncio.sleep(_PAUSE)
        finally:
            self.streams -= 1

    async def _details(self, request: Request) -> Response:
        found = await run_in_threadpool(self._watching.page.details, request.query_params.get("job", ""))
        return _missing() if found is None else JSONResponse(found)

    async def _preview(self, request: Request) -> Response:
        found = self._watching.source.preview(request.query_params.get("job", ""))
        # The job may have ended since the page was told of it.
        return Response(status_code=204) if found is None else Response(found, media_type="image/jpeg")

    async def _cancel(self, _request: Request) -> Response:
        await run_in_threadpool(self._watching.source.cancel)
        return Response(status_code=202)

    async def _picks(self, _request: Request) -> Response:
        return Response(await run_in_threadpool(self._watching.page.picks), media_type=_JSON)

    async def _save_picks(self, request: Request) -> Response:
        """Add to what was said of the pictures, and answer with all of it; other pages are told that there is something new."""
        content = bytearray()
        async with asyncio.timeout(_UPLOAD_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > picks.MOST_BYTES:
                    return PlainTextResponse("too large\n", status_code=413)
        said = await run_in_threadpool(self._watching.page.save_picks, bytes(content))
        self._watching.feed.put({"picks": hashlib.sha256(said).hexdigest()})
        return Response(said, media_type=_JSON)

    async def _file(self, request: Request) -> Response:
        found = await run_in_threadpool(self._watching.page.file, request.path_params["key"])
        if found is None:
            return _missing()
        # A picture that is rendered again has the same name.
        headers = {"ETag": f'"{found.tag}"', "Cache-Control": "private, no-cache"} if found.tag else {}
        if found.tag and request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        try:
            opened = await run_in_threadpool(found.store.open, found.key)
        except (OSError, ComfyRunnerError):
            return _missing()
        return StreamingResponse(_chunks(opened), media_type=found.media_type, headers=headers)


def _chunks(opened: BinaryIO) -> Iterator[bytes]:
    with opened:
        while chunk := opened.read(_CHUNK):
            yield chunk


def _missing() -> Response:
    return PlainTextResponse("not found\n", status_code=404)


async def _refused(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", status_code=400 if isinstance(error, InputError) else 409)


async def _failed(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"a fault in comfy_runner: {type(error).__name__}\n", status_code=500)
