"""All jobs of a plan held against a server before the first is posted, without making a hundred thousand graphs for it.

A check looks at nodes one by one, so it is enough that every value of every input is looked at once: the jobs that together have
all values are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from comfy_runner.errors import InputError, Note, Problem, RecipeError
from comfy_runner.plans.drafts import Draft
from comfy_runner.plans.planned import fit
from comfy_runner.workflow.object_info import ObjectInfo

_MOST_PROBLEMS = 50


def fit_all(drafts: Sequence[Draft], info: ObjectInfo, *, allow_partial: bool = False) -> tuple[Note, ...]:
    """Return what a server changes of these jobs, or raise one error with the problems of all.

    Args:
        drafts: The jobs.
        info: What the server says of its nodes.
        allow_partial: Whether outputs that the server would refuse are left out, as long as one remains.

    Raises:
        InputError: The server would refuse one, or run it otherwise.
    """
    notes: dict[Note, None] = {}
    problems: dict[Problem, type[InputError]] = {}
    for draft in _covering(drafts):
        planned = draft.planned()
        try:
            fitted = fit(planned, info, allow_partial=allow_partial)
        except InputError as error:
            problems.update(dict.fromkeys(error.problems, type(error)))
            if len(problems) > _MOST_PROBLEMS:
                break
        else:
            notes |= dict.fromkeys(fitted.notes[len(planned.notes) :])
    if problems:
        kinds = set(problems.values())
        raise (kinds.pop() if len(kinds) == 1 else RecipeError).of(problems)
    return tuple(notes)


def _covering(drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Yield jobs until every literal of every shape has been in one of them."""
    seen: dict[int, list[set[str]]] = {}
    for draft in drafts:
        literals = draft.filled.literals
        known = seen.setdefault(id(draft.filled.shape), [set() for _ in literals])
        # As text, for True, 1 and 1.0 are equal and not the same to a server, and some values have no hash.
        texts = [repr(value) for value in literals]
        if not literals or any(text not in texts_seen for texts_seen, text in zip(known, texts, strict=True)):
            for texts_seen, text in zip(known, texts, strict=True):
                texts_seen.add(text)
            yield draft
