"""The worker: prompts one at a time off the heap, with their frames in the real order, then the history entry.

Imitated on purpose: the history is written after ``execution_success``; a cached output of a prompt without a client id is not in
it; an exception that the real worker does not catch (a node without inputs, two prompts alike in number and id) ends it for good.
"""

from __future__ import annotations

import asyncio
import heapq
import io
import time
from dataclasses import replace
from typing import Any

from PIL import Image

from tests.standin.faults import NodeFault
from tests.standin.files import SaveError, save
from tests.standin.graph import Made, make, passes, picture, signatures, steps
from tests.standin.nodes import object_info
from tests.standin.order import needed, next_node
from tests.standin.partners import PARTNER, complaint
from tests.standin.records import CachedNode, Item, Ran
from tests.standin.sockets import publish, publish_latent, publish_picture, publish_preview, publish_status
from tests.standin.state import State
from tests.standin.uploads import FILE_NODES, read

_TICK = 0.003
_TIPS = (
    "\nTIPS: If you have any workflow that uses a lot of memory, try using a lower resolution or a smaller batch size."
    "\nAllocation on device 0 would exceed allowed memory."
)


class _Interrupted(Exception):
    pass


class _NodeError(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


async def work(state: State) -> None:
    """Run prompts until one of them kills the worker."""
    while True:
        while state.frozen or not state.memory.pending:
            _free(state)
            await state.idle()
        try:
            item = heapq.heappop(state.memory.pending)
            state.memory.running.append(item)
            publish_status(state)
            await _Run(state, item).run()
        except Exception as error:
            state.memory.worker_died_of = repr(error)
            return
        _free(state)


def _free(state: State) -> None:
    """Do what ``POST /free`` asked for: between two prompts, so a prompt that was posted just after it may run before."""
    memory = state.memory
    if memory.free_cache:
        memory.cache.clear()
    if memory.free_cache or memory.unload_models:
        memory.free_cache = memory.unload_models = False
        state.freed()


class _Run:
    def __init__(self, state: State, item: Item) -> None:
        self.state, self.item, self.memory = state, item, state.memory
        self.number, self.prompt_id, self.graph, self.extra, self.outputs = item
        self.client_id: str | None = self.extra.get("client_id")
        self.messages: list[list[Any]] = []
        self.ui: dict[str, Any] = {}
        self.read = read(state, self.graph)
        self.keys = signatures(self.read)
        self.seeds = {node_id: seed + state.look for node_id, seed in signatures(self.read, prefixes=False).items()}
        self.passes = passes(self.graph)
        self.made: dict[str, Made] = {}
        self.progress: dict[str, Any] = {}
        self.executed: list[str] = []
        self.samplers = 0

    async def run(self) -> None:
        self.memory.interrupted = False
        self.memory.client_id = self.client_id
        self.message("execution_start", {})
        if self.state.forgetful:
            self.memory.cache.clear()
        if self.state.cache_mode == "classic":
            kept = set(self.keys.values())
            for key in [key for key in self.memory.cache if key not in kept]:
                del self.memory.cache[key]
        cached = {node_id: self.keys[node_id] in self.memory.cache for node_id in self.graph}
        self.message("execution_cached", {"nodes": [node_id for node_id in self.graph if cached[node_id]]})
        good = await self.run_nodes(cached)
        await self.stay("history")
        await asyncio.sleep(self.state.history_delay)
        self.record(good)
        publish_status(self.state)
        if self.client_id is not None:
            publish(self.state, "executing", {"node": None, "prompt_id": self.prompt_id}, self.client_id)

    async def run_nodes(self, cached: dict[str, bool]) -> bool:
        info = object_info(self.state.models, newer=self.state.generation.newer_nodes)
        output_nodes = {node_id for node_id, node in self.graph.items() if info[node["class_type"]]["output_node"]}
        self.made = {node_id: self.memory.cache[self.keys[node_id]].made for node_id in self.graph if cached[node_id]}
        waiting = needed(self.graph, self.outputs, cached)
        node_id = ""
        try:
            while waiting:
                node_id = next_node(self.graph, waiting, output_nodes)
                # Also what a node like it has made meanwhile, but for a server without a cache.
                known = self.memory.cache.get(self.keys[node_id])
                if known is not None:
                    self.made[node_id] = known.made
                    self.tell_cached(node_id, known)
                else:
                    ui = await self.run_node(node_id, is_output=node_id in output_nodes)
                    # It says of itself that it has changed, whatever its inputs.
                    if self.state.cache_mode != "none" and self.graph[node_id]["class_type"] != "SaveImageWebsocket":
                        self.memory.cache[self.keys[node_id]] = CachedNode(self.made[node_id], ui)
                waiting.remove(node_id)
        except _Interrupted:
            self.message("execution_interrupted", self.place(node_id), broadcast=True)
            return False
        except (_NodeError, SaveError) as error:
            self.message("execution_error", {**self.place(node_id), **_exception(error, self.graph[node_id])})
            return False
        if self.state.generation.success_message:
            self.message("execution_success", {})
        return True

    async def run_node(self, node_id: str, *, is_output: bool) -> dict[str, Any] | None:
        node = self.graph[node_id]
        self.memory.node = node_id
        self.tell_progress(node_id, 0, 1, "running")
        self.tell("executing", {"node": node_id, "display_node": node_id, "prompt_id": self.prompt_id})
        await self.stay(node_id, node["class_type"])
        self.fail(node_id, node["class_type"])
        total = steps(node)
        for step in range(1, total + 1):
            await asyncio.sleep(self.state.step_seconds)
            self.check_interrupt()
            self.tell_progress(node_id, step, total, "running")
            data = {"value": step, "max": total, "prompt_id": self.prompt_id, "node": node_id}
            publish(self.state, "progress", data, self.client_id)
            publish_preview(self.state, self.client_id)
            self.preview(node_id, total)
        self.made[node_id] = make(self.read[node_id], self.seeds[node_id], self.made)
        if self.state.trouble("flat", node_id, node["class_type"]):
            self.made[node_id] = replace(self.made[node_id], color=0)
        ui = None
        if self.state.node_faults.get(node_id) is NodeFault.BLOCKED:
            blocked = _exception(_NodeError("ExecutionBlocked", "Execution Blocked: no faces"), node)
            publish(self.state, "execution_error", {**self.place(node_id), **blocked}, self.client_id)
        elif node["class_type"] == "SaveImageWebsocket":
            await self.stream(node_id)
        elif is_output:
            ui = save(self.state, self.graph, node_id, self.made[node_id], self.extra)
        if ui is not None:
            self.ui[node_id] = ui
            self.tell("executed", {"node": node_id, "display_node": node_id, "output": ui, "prompt_id": self.prompt_id})
        self.executed.append(node_id)
        files = tuple(f"{image['subfolder']}/{image['filename']}" for image in (ui or {}).get("images", ()))
        what = node["class_type"], self.seeds[node_id], self.passes[node_id], files
        self.state.note(Ran(self.prompt_id, node_id, *what))
        self.tell_progress(node_id, 1, 1, "finished")
        return ui

    def preview(self, node_id: str, total: int) -> None:
        """Send what a sampler is at, where the prompt asks for that and the server knows of it."""
        asked = self.extra.get("preview_method", "none") != "none" and self.state.generation.preview_method
        if asked and total > 1:
            buffer = io.BytesIO()
            Image.new("RGB", (64, 36), (200, 120, 40)).save(buffer, "JPEG")
            publish_latent(self.state, buffer.getvalue(), self.prompt_id, node_id, self.client_id)

    async def stream(self, node_id: str) -> None:
        made = self.made[node_id]
        for number in range(made.count):
            data = {"value": number, "max": made.count, "prompt_id": self.prompt_id, "node": node_id}
            publish(self.state, "progress", data, self.client_id)
            publish_preview(self.state, self.client_id)
            buffer = io.BytesIO()
            picture(made, number).save(buffer, "PNG")
            publish_picture(self.state, buffer.getvalue(), self.prompt_id, node_id, self.client_id)
            await self.stay(f"{node_id} {number}")

    def fail(self, node_id: str, class_type: str) -> None:
        fault = self.state.node_faults.get(node_id)
        if steps(self.graph[node_id]):
            self.samplers += 1
            fault = NodeFault.OUT_OF_MEMORY if self.samplers == self.state.failing_sampler else fault
        if self.state.trouble("out of memory", node_id, class_type):
            fault = NodeFault.OUT_OF_MEMORY
        if fault is NodeFault.OUT_OF_MEMORY:
            kind = "torch.OutOfMemoryError" if self.state.generation.success_message else "torch.cuda.OutOfMemoryError"
            raise _NodeError(kind, "Allocation on device 0 would exceed allowed memory. (out of memory)" + _TIPS)
        if self.state.trouble("broken gpu", node_id, class_type):
            raise _NodeError("torch.AcceleratorError", "CUDA error: an illegal memory access was encountered")
        if class_type in FILE_NODES and "content" not in self.read[node_id]["inputs"]:
            raise _NodeError(
                "FileNotFoundError", f"[Errno 2] No such file or directory: '{self.graph[node_id]['inputs']['image']}'"
            )
        if class_type == PARTNER and (said := complaint(self.memory.api_keys.get(self.prompt_id, ""))):
            raise _NodeError("Exception", said)
        if fault is NodeFault.ERROR:
            raise _NodeError("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (77x768 and 2048x640)")

    async def stay(self, *places: str) -> None:
        while (gate := self.state.gate(*places)) is not None and gate.reach():
            if places != ("history",):
                self.check_interrupt()
            await asyncio.sleep(_TICK)
        if places != ("history",):
            self.check_interrupt()

    def check_interrupt(self) -> None:
        if self.memory.interrupted:
            self.memory.interrupted = False
            raise _Interrupted

    # Frames

    def message(self, event: str, data: dict[str, Any], *, broadcast: bool = False) -> None:
        data = {"prompt_id": self.prompt_id, **data}
        if self.state.generation.success_message:
            data["timestamp"] = int(time.time() * 1000)
        self.messages.append([event, data])
        if broadcast:
            publish(self.state, event, data, self.client_id)
        else:
            self.tell(event, data)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        if self.client_id is not None:
            publish(self.state, event, data, self.client_id)

    def tell_progress(self, node_id: str, value: int, total: int, how: str) -> None:
        if self.state.generation.progress_state:
            ids = {
                "node_id": node_id,
                "prompt_id": self.prompt_id,
                "display_node_id": node_id,
                "parent_node_id": None,
                "real_node_id": node_id,
            }
            self.progress = {**self.progress, node_id: {"value": value, "max": total, "state": how, **ids}}
            publish(self.state, "progress_state", {"prompt_id": self.prompt_id, "nodes": self.progress}, self.client_id)

    def tell_cached(self, node_id: str, cached: CachedNode) -> None:
        if self.state.generation.tells_cached_outputs:
            self.tell("executed", {"node": node_id, "display_node": node_id, "output": cached.ui, "prompt_id": self.prompt_id})
        if cached.ui is not None and (self.client_id is not None or not self.state.generation.cached_need_client_id):
            self.ui[node_id] = cached.ui
        self.tell_progress(node_id, 1, 1, "finished")

    def place(self, node_id: str) -> dict[str, Any]:
        return {"node_id": node_id, "node_type": self.graph[node_id]["class_type"], "executed": list(self.executed)}

    # History

    def record(self, good: bool) -> None:
        self.memory.node = None
        self.memory.running.remove(self.item)
        status = {"status_str": "success" if good else "error", "completed": good, "messages": self.messages}
        entry: dict[str, Any] = {"prompt": list(self.item), "outputs": self.ui, "status": status}
        if self.state.generation.progress_state:
            meta = {"display_node": None, "parent_node": None}
            entry["meta"] = {node_id: {"node_id": node_id, "real_node_id": node_id, **meta} for node_id in self.ui}
        self.memory.history[self.prompt_id] = entry


def _exception(error: _NodeError | SaveError, node: dict[str, Any]) -> dict[str, Any]:
    return {
        "exception_message": str(error),
        "exception_type": error.kind if isinstance(error, _NodeError) else "Exception",
        "traceback": ['  File "execution.py", line 1, in execute\n'],
        "current_inputs": {name: [str(value)] for name, value in node["inputs"].items()},
        "current_outputs": [],
    }
