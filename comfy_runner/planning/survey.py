"""What a run folder already has of a plan, and why the rest is to be made, or made again.

Only looks: nothing is rendered or written here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from comfy_runner.planning.draft import Draft
from comfy_runner.recipe.schema import METADATA_MARK, Recipe
from comfy_runner.store.about import metadata_of
from comfy_runner.store.job_files import JobFiles
from comfy_runner.store.ledger import Ledger
from comfy_runner.store.ledger_rows import FileRow, KnownJob, PlanRow
from comfy_runner.store.media_types import PICTURES, has_media_type, suffix_of
from comfy_runner.store.sidecar import FileRecord, Sidecar
from comfy_runner.templating.lookup import SUFFIX
from comfy_runner.wording import counted

_DEFAULTS = Recipe().model_dump(mode="json", exclude_none=True)  # of fields that older versions did not have
_MOST_CHANGES = 3
_LONGEST_VALUE = 40


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there.

    Attributes:
        done: The jobs whose pictures are there and need not be made.
        submitted: The jobs that an earlier process has submitted, and that have not changed since.
        again: Why jobs that the run folder knows are to be made again, by job id.
        found: The files of jobs that are done and of which the ledger does not know that, by job id and output role.
    """

    done: frozenset[str]
    submitted: frozenset[str]
    again: Mapping[str, str]
    found: Mapping[str, Mapping[str, tuple[FileRecord, ...]]]

    @property
    def requeued(self) -> dict[str, str]:
        """Return why jobs are to be pending again; of those that are found, the ledger has another opinion, which is taken back."""
        return {**self.again, **dict.fromkeys(self.found, "its pictures were found")}


def survey(drafts: Sequence[Draft], folder: JobFiles, ledger: Ledger | None, *, forced: Collection[str] = ()) -> Survey:
    """Look at what a run folder has.

    Args:
        drafts: The jobs to look for.
        folder: The run folder.
        ledger: Its ledger, which may be read-only; None where there is none.
        forced: The jobs that are to be made again in any case.

    Raises:
        RunFolderError: A sidecar that matters is damaged.
    """
    known = ledger.known() if ledger else {}
    done: set[str] = set()
    submitted: set[str] = set()
    again: dict[str, str] = {}
    found_files: dict[str, Mapping[str, tuple[FileRecord, ...]]] = {}
    for draft in drafts:
        found = known.get(draft.job_id)
        if found is not None and found.state == "submitted":
            if found.content_hash == draft.content_hash:
                submitted.add(draft.job_id)
            else:
                again[draft.job_id] = "has changed since it was submitted"
            continue
        if draft.job_id in forced:
            folder.sidecar(draft.job_id)  # a damaged one has to show before anything is rendered, not after
        reusable = _reusable_files(draft, found, folder, ledger)
        if not isinstance(reusable, str) and draft.job_id not in forced:
            done.add(draft.job_id)
            if reusable is not None:
                found_files[draft.job_id] = reusable
        elif found is not None and reusable != "":
            again[draft.job_id] = reusable if isinstance(reusable, str) else "is made again"
    return Survey(frozenset(done), frozenset(submitted), again, found_files)


def plan_rows(drafts: Sequence[Draft], leaders: Mapping[str, str], again: Mapping[str, str]) -> Iterator[PlanRow]:
    """Yield what the ledger is to know of each job."""
    for position, draft in enumerate(drafts):
        yield PlanRow(
            job_id=draft.job_id,
            position=position,
            recipe=draft.recipe_name,
            content_hash=draft.content_hash,
            pixel_hash=draft.pixel_hash,
            shares=leaders.get(draft.job_id, ""),
            assignments=draft.assignments,
            requeue=again.get(draft.job_id, ""),
        )


def metadata_in(pixel_hash: str) -> str | None:
    """Return what pictures say of themselves, as a hash of a plan has it; None where it is not known."""
    return pixel_hash.partition(METADATA_MARK)[2] if pixel_hash else None


def _reusable_files(
    draft: Draft, known: KnownJob | None, folder: JobFiles, ledger: Ledger | None
) -> str | Mapping[str, tuple[FileRecord, ...]] | None:
    """Return why a job is to be made, empty where it never was; where it is done, its files, None if the ledger knows them."""
    is_known = known is not None and known.content_hash == draft.content_hash and known.state == "done"
    if ledger and known and is_known and metadata_in(known.pixel_hash) == metadata_in(draft.pixel_hash):
        rows = ledger.files(draft.job_id)
        if rows and _as_planned(draft, rows, folder):
            gone = next((row.path for row in rows if not folder.is_untouched(row)), None)
            return None if gone is None else f"{gone} is gone or was changed"
    sidecar = folder.sidecar(draft.job_id)
    if sidecar is None:
        if known is None or known.state == "pending":
            return ""
        return "its sidecar is gone" if known.state == "done" else "was not finished"
    if sidecar.content_hash != draft.content_hash:
        return _changes(sidecar, draft)
    planned = draft.planned()
    metadata = metadata_of(planned.repeatable)
    reusable = folder.reusable_files(draft.job_id, draft.content_hash, planned.outputs, metadata=metadata)
    missing = [role for role in sidecar.expected(planned.workflow) if role not in reusable]
    lying = [(path, record) for role, path in planned.outputs.items() if role in missing for record in sidecar.files.get(role, ())]
    if any(not has_media_type(record, path) for path, record in lying):
        return f"output.format is {draft.variant.loaded.recipe.output.format} now"
    if lying and metadata != metadata_of(sidecar.recipe):
        return f"output.metadata is {' and '.join(metadata) or 'none'} now"
    if not missing:
        return reusable
    pictures = f"the {' and the '.join(missing)} picture"
    # Of what was never collected, the sidecar knows no file.
    return f"{pictures} is missing or was changed" if any(map(sidecar.files.get, missing)) else f"{pictures} was not finished"


def _as_planned(draft: Draft, rows: Sequence[FileRow], folder: JobFiles) -> bool:
    """Return whether files lie where the recipe wants them, and are of the kind that it wants."""
    output = draft.variant.loaded.recipe.output
    nodes, made = draft.filled.shape.bare.nodes, draft.filled.shape.outputs
    own = {} if output.roles else {role: f"{draft.job_id}/{role}." for role in made}
    outputs = own or draft.planned().outputs
    starts = {role: path.rpartition(".")[0] for role, path in outputs.items()}
    missing = starts.keys() - {row.role for row in rows}
    if not all(nodes[made[role]].may_be_silent for role in missing):
        return False
    if not all(row.role in starts and row.path.startswith(starts[row.role]) for row in rows):
        return False
    others = [row.path for row in rows if not row.path.endswith(output.suffix) and suffix_of(row.path) in PICTURES]
    if not others:
        return True
    # What the server gave may be of another kind, and is good then; its sidecar tells.
    sidecar = folder.sidecar(draft.job_id)
    records = {record.path: record for found in (sidecar.files.values() if sidecar else ()) for record in found}
    return all(path in records and has_media_type(records[path], output.suffix) for path in others)


def _changes(sidecar: Sidecar, draft: Draft) -> str:
    """Return what is other than it was, such as ``upscale.denoise 0.4 → 0.5``."""
    planned = draft.planned()
    before, now = dict(_flat({**_DEFAULTS, **sidecar.recipe})), dict(_flat(planned.repeatable))
    old_files = {str(file.get("param")): file for file in sidecar.inputs}
    files = {f"params.{file.param}": (file, old_files[file.param]) for file in planned.inputs if file.param in old_files}
    # The same content is the same, wherever it lies.
    same = {"name", *(field for field, (file, old) in files.items() if file.sha256 == old.get("sha256"))}
    fields = [
        field
        for field in {**before, **now}
        if before.get(field) != now.get(field) and field not in same and not field.startswith(("expect.", "find."))
    ]
    # A template lies where its content says, if it was imported: its name alone tells people something.
    templates = [_template_name(each.get("template")) for each in (before, now)]
    if templates[0] == templates[1]:
        fields = [field for field in fields if field != "template"]
    told = [
        f"template {templates[0]} → {templates[1]}"
        if field == "template"
        else f"{field} {_shown(before.get(field))} → {_shown(now.get(field))}"
        for field in fields[:_MOST_CHANGES]
    ]
    if len(fields) > _MOST_CHANGES:
        told.append(counted(len(fields) - _MOST_CHANGES, "more change"))
    edited = [file for field, (file, old) in files.items() if field not in same and file.path == old.get("path")]
    told += [f"the content of {_shown(Path(file.path).name)} has changed" for file in edited]
    if sidecar.template.get("sha256") != planned.template.sha256:
        told.append(f"the template {planned.template.name} has changed")
    return ", ".join(told) or "its graph has changed"


def _template_name(value: Any) -> str:
    """Return what a template is called, wherever its file is."""
    return _shown(value if value is None else PurePath(str(value)).name.removesuffix(SUFFIX))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{number}")
    else:
        yield name, value


def _shown(value: Any) -> str:
    text = "not given" if value is None else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
