"""How a submission ended on its engine, as plain values; what an engine said is read elsewhere (`comfyui.history`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

# (what the exception's type or text contains, the way out); the first that fits is given
_HINTS = (
    ("outofmemory", "the GPU ran out of memory: use a smaller upscale.factor, or start ComfyUI with --lowvram"),
    ("mat1 and mat2", "the models are of different families, such as SD1.5 and SDXL: check checkpoint, vae and loras"),
    ("headertoolarge", "the model file is damaged or incomplete: download it again"),
    ("incomplete metadata", "the model file is damaged or incomplete: download it again"),
    ("invalid header", "the model file is damaged or incomplete: download it again"),
    ("errno 28", "the server's disk is full"),
    ("no space left", "the server's disk is full"),
    ("cuda error", "the server's GPU is in a bad state: restart ComfyUI"),
    ("acceleratorerror", "the server's GPU is in a bad state: restart ComfyUI"),
)
# As PyTorch calls what a kernel that failed leaves behind, for NVIDIA and for AMD.
_BROKEN_GPU = ("AcceleratorError", "CUDA error", "CUDNN_STATUS_", "CUBLAS_STATUS_", "HIP error")


class Conclusion(Enum):
    """How a prompt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class ServerFile:
    """A file as the server names it; never to be used as a path here.

    Attributes:
        filename: Its name.
        subfolder: The folder that it lies in, verbatim.
        kind: ``output``, ``temp`` or ``input``; empty where its node tells of the bare name alone, so that it may be nowhere.
    """

    filename: str
    subfolder: str
    kind: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a prompt failed.

    Attributes:
        node: The id of the node.
        class_type: Its class.
        exception: The exception's type on the server.
        message: Its text, shortened; never the inputs, which hold prompt texts and tensors.
    """

    node: str
    class_type: str
    exception: str
    message: str

    @property
    def out_of_memory(self) -> bool:
        """Return whether the server ran out of GPU memory."""
        return "OutOfMemory" in self.exception

    @property
    def hint(self) -> str:
        """Return the way out of a well-known failure; empty for others."""
        text = f"{self.exception} {self.message}".casefold()
        return next((hint for sign, hint in _HINTS if sign in text), "")

    @property
    def gpu_is_broken(self) -> bool:
        """Return whether the GPU is in a state that mostly lasts until ComfyUI is restarted, whatever it is given to do."""
        said = f"{self.exception}: {self.message}"
        return not self.out_of_memory and any(sign in said for sign in _BROKEN_GPU)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a prompt.

    Attributes:
        outcome: How it ended.
        files: The files by node id; also of a failed prompt, whose finished outputs are kept.
        cached: The ids of the nodes that came from the server's cache.
        failure: Why it failed, where it did.
        seconds: How long the server worked on it, by its own clock; None where it does not say.
        texts: What nodes have shown as text, by node id. It is nowhere but in the history: a server that has forgotten the prompt
            has no texts.
        pictures: PNG files by node id that came over the websocket while the prompt ran, for nodes whose pictures are nowhere else;
            none where not all came.
    """

    outcome: Conclusion
    files: Mapping[str, tuple[ServerFile, ...]]
    cached: tuple[str, ...]
    failure: Failure | None
    seconds: float | None
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
