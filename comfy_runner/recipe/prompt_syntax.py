r"""Syntax of other programs in prompts, which ComfyUI reads as words: where it is, and what to write instead.

ComfyUI's own text encoders know ``(words)``, ``(words:1.2)``, ``\(`` and ``embedding:name`` (``comfy/sd1_clip.py``); nodes of some
packs know more. What is known of other programs is from the documentation of AUTOMATIC1111's web UI, dynamic prompts, SwarmUI,
InvokeAI, NovelAI and Midjourney.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from comfy_runner.yaml_loader import got

_LORA = "lora|lyco|lycoris|locon|loha|dora"
_EMBEDDING = "embedding|ti|textual_inversion"
_STEPS = "prompts cannot change from step to step"
_CHOICE = "to have one of them chosen, or each of them rendered, give `alternatives: random` or `alternatives: combine`"
_WILDCARD = "to use the lines of a file, give `alternatives` and `wildcards: FOLDER`; or sweep over the lines of a file"
_JOINED = "parts of prompts are joined by nodes, such as ConditioningConcat and ConditioningCombine, in your own template"
_WEIGHT = "put a weight in parentheses: (words:1.2)"
_STEP = r"[^\[\]\n]{0,200}:[^\[\]:\n]{0,20}[0-9][^\[\]:\n]{0,20}\]"
_KNOWN_EMBEDDINGS = (
    r"easynegative(?:v2)?|ng_deepnegative_v1_75t|bad_?hand\w{0,9}v[0-9]|bad-hands-[0-9]|bad_prompt_version2(?:-neg)?|bad-artist(?:-anime)?"
    r"|bad-(?:image|picture)-[\w-]{2,20}|verybadimagenegative_v[0-9.-]{1,9}|fastnegativev2|baddream|unrealisticdream|negative_hand(?:-neg)?"
    r"|negativexl_d|unaestheticxl\w{0,9}"
)

# For each kind: texts of which a prompt has one if it has the kind, for speed; how it is written; what to do. What is repeated is
# bounded, so that no text takes the square of its length.
_KINDS = tuple(
    (signs, re.compile(pattern, flags), advice)
    for signs, pattern, flags, advice in (
        (("<",), rf"<(?:{_LORA}):[^<>]{{0,200}}>", re.I, "remove it, and give the LoRA under loras:"),
        (("<",), "<hypernet:[^<>]{0,200}>", re.I, "remove it; a hypernetwork needs a HypernetworkLoader in your own template"),
        (("<",), rf"<(?:{_EMBEDDING}):[^<>]{{0,200}}>", re.I, "write embedding:name"),
        (
            ("<",),
            rf"<(?!(?:{_LORA}|hypernet|{_EMBEDDING}):)[a-z_]{{1,30}}(?:\[[^\[\]<>]{{0,50}}\])?:[^<>]{{0,200}}>",
            re.I,
            "remove it, or use a template whose nodes understand it",
        ),
        (("[",), rf"(?<!\\)\[{_STEP}", 0, _STEPS),
        (("[",), r"(?<!\\)\[[^\[\]|\n]{0,200}\|[^\[\]\n]{0,200}\]", 0, _STEPS),
        (
            ("[",),
            rf'(?<!\\)\[(?!{_STEP}|[0-9.]+\])[^\[\]|"\n]{{0,200}}\w[^\[\]|"\n]{{0,20}}\]',
            0,
            "for less weight, write (words:0.909)",
        ),
        (("{",), r'(?<!\\)\{[^{}|"\n]{0,200}\|[^{}"\n]{0,200}\}', 0, _CHOICE),
        (("__",), r"__[\w*/-]{1,100}?__", 0, _WILDCARD),
        (
            ("{",),
            r'(?<!\\)\{[^{}|"\n]{0,200}\w[^{}|"\n]{0,20}\}',
            0,
            "for more weight, write (words:1.05); for a variable, give it under vars",
        ),
        (("BREAK", "ADD", "AND"), r"\b(?:BREAK|ADDBASE|ADDCOMM|ADDCOL|ADDROW)\b|(?<=\s)AND(?=\s)", 0, _JOINED),
        (
            ("mbedding:", "MBEDDING:"),
            r"(?:\bE|(?<=[^\s()<])e|\bE)mbedding:[^\s,()]{0,100}|\bEMBEDDING:",
            0,
            "write embedding:name, in lower case, after a space",
        ),
        (
            ("neg", "Neg", "NEG", "bad", "Bad", "BAD", "Dream", "dream", "unaes"),
            rf"(?<![\w:/\\.-])(?:{_KNOWN_EMBEDDINGS})(?![\w-])",
            re.I,
            "if it is an embedding, write embedding: before it",
        ),
        (("::",), r"\b\w{1,30}::-?[0-9.]{0,9}", 0, _WEIGHT),
        ((":",), r"(?<![\w:])[a-zA-Z]{1,30}:[0-9]{0,3}\.[0-9]{1,9}(?=[\s,]|$)", 0, _WEIGHT),
        ((")",), r"\)(?:[0-9]{0,3}\.[0-9]{1,9}|[+-]{1,9})(?=[\s,]|$)", 0, _WEIGHT),
    )
)


_SIGNS = tuple((sign, number) for number, (signs, _, _) in enumerate(_KINDS) for sign in signs)

# What other programs do not take as a part of the prompt: A1111's "prompts from file" its options, many their comments.
_OPTION = (re.compile(r"(?<!\S)--[A-Za-z][\w-]*"), "options are read as part of the prompt; sweep the field instead")
_COMMENT = (
    re.compile(r"(?<!\S)//|^\s*#(?!\d)|\s#(?=\s)|/\*"),
    "comments are read as part of the prompt; only a line that starts with # in a file of prompts is a comment",
)


def foreign_syntax(prompts: Sequence[str], *, comments: bool = True) -> Iterator[tuple[int, str]]:
    """Yield what ComfyUI does not know in prompts, each kind once: the number of the first prompt that has it, and a sentence.

    Args:
        prompts: The prompts.
        comments: Whether to look for comments too; where a picture says a prompt, they are what was painted.
    """
    signs = _SIGNS
    for number, prompt in enumerate(prompts):
        for kind in {kind: None for sign, kind in signs if sign in prompt}:
            _, pattern, advice = _KINDS[kind]
            found = pattern.search(prompt)
            # In a prompt that is all in capitals, AND is a word.
            if found and not (found[0].isupper() and prompt.isupper()):
                signs = tuple(other for other in signs if other[1] != kind)
                yield number, f"ComfyUI reads {got(found[0])} as words: {advice}"
    for pattern, what in (_OPTION, _COMMENT) if comments else (_OPTION,):
        matches = [(number, match) for number, prompt in enumerate(prompts) if (match := pattern.search(prompt))]
        if matches:
            number, match = matches[0]
            more = f", {len(matches) - 1} more such" if matches[1:] else ""
            yield number, f"{what} (got {got(match.string[match.start() :].strip()[:40])}{more})"
