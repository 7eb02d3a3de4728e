r"""Prompts of AUTOMATIC1111's web UI and of Forge, written so that ComfyUI reads them alike.

LoRAs are cut out, embeddings get ``embedding:`` before their names, and ``[words]`` becomes ``(words:0.909)``. Both programs know
``(words)`` and ``(words:1.2)``, but a weight within another one multiplies it there, and replaces it in ComfyUI
(``comfy/sd1_clip.py``): a part that the two would read differently is written anew, with the weights as the web UI counts them.
What has no counterpart, such as ``[a:b:0.5]``, ``AND`` and ``BREAK``, is left as it is; `recipe.prompt_syntax` warns of it.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from comfy_runner.errors import UsageError
from comfy_runner.yaml_loader import got

_MORE, _LESS = 1.1, 1 / 1.1
_MOST_EMBEDDINGS = 200
_DEEPEST = 50  # brackets within each other; each level is gone through once
_LORA = re.compile(r"<(?:lora|lyco|lycoris|locon|loha):([^<>]{1,500})>", re.IGNORECASE)
_HYPERNET = re.compile(r"<hypernet:([^<>]{1,500})>", re.IGNORECASE)
# A mark in place of each of them, then what of commas and spaces goes with the marks.
_CUTS = tuple(
    (re.compile(pattern, re.IGNORECASE), instead)
    for pattern, instead in (
        (r"[ \t]*<(?:lora|lyco|lycoris|locon|loha|hypernet):[^<>]{1,500}>[ \t]*", "\x00"),
        (r"\x00(?:,?\x00)+", "\x00"),
        (r"\A\x00,?[ \t]*|(?<=[(\n])\x00,?[ \t]*|(?<=,)\x00,|,?\s{0,9}\x00\Z|\x00(?=[,)\]\n])", ""),
        (r"\x00", " "),
    )
)
_ATTENTION = re.compile(
    r"\\[()\[\]\\]|[(\[\])]|:[ \t]*(?P<weight>[+-]?(?:[0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9}))[ \t]*\)|[^()\[\]\\:]+|[\\:]"
)
_STEP = re.compile(r":\s*[0-9]*\.?[0-9]+\s*\Z")
_MARK = re.compile("\0([0-9]+)\0")

Segments = list[tuple[str, float]]
"""The parts of a prompt with their weights, neighbours of one weight joined."""


@dataclass(frozen=True, slots=True)
class PromptLora:
    """A LoRA that a prompt names.

    Attributes:
        name: Its name, without a suffix.
        strength_model: For the model that denoises (``unet``).
        strength_clip: For the text encoder (``te``).
    """

    name: str
    strength_model: float
    strength_clip: float


def loras_of(prompt: str) -> tuple[list[PromptLora], list[str]]:
    """Return the LoRAs and the hypernetworks that a prompt names, in their order.

    Args:
        prompt: With ``<lora:NAME>``, ``<lora:NAME:TE>``, ``<lora:NAME:TE:UNET>`` or ``<lora:NAME:te=TE:unet=UNET>``.

    Raises:
        UsageError: One has no name, or a strength that is no number from -100 to 100.
    """
    return [_lora(found[1]) for found in _LORA.finditer(prompt)], [found[1] for found in _HYPERNET.finditer(prompt)]


def _lora(text: str) -> PromptLora:
    name, *rest = (part.strip() for part in text.split(":"))
    if not name:
        raise UsageError(f"a LoRA has no name (got {got(text)})", where="prompt")
    named = dict(part.split("=", 1) for part in rest if "=" in part)
    plain = [part for part in rest if "=" not in part]
    clip = _strength(named.get("te", plain[0] if plain else "1"), text)
    model = _strength(named.get("unet", plain[1] if plain[1:] else ""), text, default=clip)
    return PromptLora(name, model, clip)


def _strength(text: str, of: str, *, default: float = 1.0) -> float:
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -100 <= value <= 100:
        raise UsageError(f"a LoRA's strength must be a number from -100 to 100 (got {got(of)})", where="prompt")
    return value


def without_networks(prompt: str) -> str:
    """Return a prompt without its LoRAs and hypernetworks, and without the commas that would be left over."""
    text = prompt
    for pattern, instead in _CUTS:
        text = pattern.sub(instead, text)
    return text.strip()


def with_embeddings(prompt: str, names: Collection[str]) -> str:
    """Return a prompt in which embeddings are called as ComfyUI calls them: ``embedding:NAME``, apart from other words.

    Args:
        prompt: A prompt of the web UI, which has their names alone.
        names: The embeddings that it used.
    """
    known = {name.casefold(): name for name in sorted(names, key=len, reverse=True)[:_MOST_EMBEDDINGS] if 0 < len(name) <= 200}
    if not known:
        return prompt
    pattern = rf"(?<![\w:.-])({'|'.join(map(re.escape, known))})(?![\w.-]*\w)(,(?=\S))?"

    def called(found: re.Match[str]) -> str:
        name = known.get(found[1].casefold(), found[1])
        return f"{_apart(found)}embedding:{name}{', ' if found[2] else ''}"

    return re.sub(pattern, called, prompt, flags=re.IGNORECASE)


def _apart(found: re.Match[str]) -> str:
    """Return the space that an embedding needs before it."""
    before = found.string[max(0, found.start() - 1) : found.start()]
    return " " if before and not before.isspace() and before not in "([" else ""


def with_comfyui_weights(prompt: str) -> str:
    """Return a prompt whose parts have the same weights in ComfyUI as they have in the web UI."""
    if _depth(prompt) > _DEEPEST:
        return prompt
    kept: list[str] = []
    marked = _without_schedules(prompt, kept)
    groups = _groups(marked)
    rewritten = "".join(_alike(group) for group in groups) if groups is not None else _flat(web_ui_weights(marked))
    return _MARK.sub(lambda found: kept[int(found[1])], rewritten)


def _alike(part: str) -> str:
    """Return a part of a prompt as it is where both read it alike, or else written anew."""
    meant = web_ui_weights(part)
    return part if _same(meant, comfyui_weights(part)) else _flat(meant)


def _same(first: Segments, second: Segments) -> bool:
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(one == other and abs(a - b) < 1e-6 for (one, a), (other, b) in pairs)


def web_ui_weights(prompt: str) -> Segments:
    """Return the parts of a prompt with their weights, as the web UI reads it; what is not closed counts until the end."""
    parts: list[_Part] = []
    rounds: list[int] = []
    squares: list[int] = []
    for found in _ATTENTION.finditer(prompt):
        piece, weight = found[0], found["weight"]
        if piece == "(":
            rounds.append(len(parts))
        elif piece == "[":
            squares.append(len(parts))
        elif weight is not None and rounds:
            _multiply(parts, rounds.pop(), float(weight))
        elif piece == ")" and rounds:
            _multiply(parts, rounds.pop(), _MORE)
        elif piece == "]" and squares:
            _multiply(parts, squares.pop(), _LESS)
        else:
            parts.append(_Part(piece[1] if piece[0] == "\\" and piece[1:] in ("(", ")", "[", "]") else piece))
    for start in rounds:
        _multiply(parts, start, _MORE)
    for start in squares:
        _multiply(parts, start, _LESS)
    return _joined((part.text, part.weight) for part in parts)


@dataclass(slots=True)
class _Part:
    text: str
    weight: float = 1.0


def _multiply(parts: Sequence[_Part], start: int, by: float) -> None:
    for part in parts[start:]:
        part.weight *= by


def comfyui_weights(prompt: str) -> Segments:
    r"""Return the parts of a prompt with their weights, as ComfyUI's text encoders read it (``token_weights``)."""
    hidden = prompt.replace("\\)", "\1").replace("\\(", "\2")
    found = _joined(_comfyui(hidden, 1.0))
    return [(text.replace("\1", ")").replace("\2", "("), weight) for text, weight in found]


def _comfyui(text: str, weight: float) -> Iterator[tuple[str, float]]:
    for part in _top_level(text):
        if len(part) < 2 or part[0] != "(" or part[-1] != ")":
            yield part, weight
            continue
        inner, own = part[1:-1], weight * _MORE
        words, _, number = inner.rpartition(":")
        if words:
            with contextlib.suppress(ValueError):
                inner, own = words, float(number)
        yield from _comfyui(inner, own)


def _top_level(text: str) -> Iterator[str]:
    """Yield the groups in parentheses of a text, and what is between them."""
    start = depth = 0
    for found in re.finditer(r"[()]", text):
        at = found.start()
        if found[0] == "(":
            if not depth and text[start:at]:
                yield text[start:at]
                start = at
            depth += 1
        else:
            depth -= 1
            if not depth:
                yield text[start : at + 1]
                start = at + 1
    if text[start:]:
        yield text[start:]


def _joined(parts: Iterator[tuple[str, float]]) -> Segments:
    texts: list[tuple[list[str], float]] = []
    for text, weight in parts:
        if not text:
            continue
        if texts and abs(texts[-1][1] - weight) < 1e-9:
            texts[-1][0].append(text)
        else:
            texts.append(([text], weight))
    return [("".join(pieces), weight) for pieces, weight in texts]


def _flat(segments: Segments) -> str:
    return "".join(_weighed(text, weight) for text, weight in segments)


def _weighed(text: str, weight: float) -> str:
    words = re.sub(r"[()]", r"\\\g<0>", text)
    number = f"{weight:.3f}".rstrip("0").rstrip(".")
    inner = words.strip()
    if number == "1" or not inner:
        return words
    before = words[: len(words) - len(words.lstrip())]
    return f"{before}({inner}:{number}){words[len(words.rstrip()) :]}"


def _groups(prompt: str) -> list[str] | None:
    """Return the groups in brackets of a prompt, and what is between them; None where brackets have no partners."""
    found: list[str] = []
    opened: list[str] = []
    start = 0
    for at, bracket in _brackets(prompt):
        if bracket in "([":
            if not opened and at > start:
                found.append(prompt[start:at])
                start = at
            opened.append(bracket)
        elif not opened or opened.pop() + bracket not in ("()", "[]"):
            return None
        elif not opened:
            found.append(prompt[start : at + 1])
            start = at + 1
    return None if opened else [*found, prompt[start:]]


def _brackets(prompt: str) -> Iterator[tuple[int, str]]:
    for found in re.finditer(r"\\.|[()\[\]]", prompt, re.DOTALL):
        if len(found[0]) == 1:
            yield found.start(), found[0]


def _depth(prompt: str) -> int:
    depth = deepest = 0
    for _, bracket in _brackets(prompt):
        depth = depth + 1 if bracket in "([" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _without_schedules(prompt: str, kept: list[str]) -> str:
    """Return a prompt in which marks stand for what changes from step to step: ``[a:b:0.5]``, ``[a|b]``; these are collected."""
    spans: list[tuple[int, int]] = []
    opened: list[int] = []
    bar = -1
    for found in re.finditer(r"\\.|[\[\]|]", prompt, re.DOTALL):
        if found[0] == "[":
            opened.append(found.start())
        elif found[0] == "|":
            bar = found.start()
        elif found[0] == "]" and opened:
            start, end = opened.pop(), found.start()
            if bar > start or _STEP.search(prompt, max(start, end - 40), end):
                while spans and spans[-1][0] > start:
                    spans.pop()
                spans.append((start, end + 1))
                bar = -1
    return _marked(prompt, spans, kept)


def _marked(prompt: str, spans: Sequence[tuple[int, int]], kept: list[str]) -> str:
    pieces, at = [], 0
    for start, end in spans:
        pieces += [prompt[at:start], f"\0{len(kept)}\0"]
        kept.append(prompt[start:end])
        at = end
    return "".join([*pieces, prompt[at:]])
