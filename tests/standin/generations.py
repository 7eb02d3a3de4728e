"""What ComfyUI's protocol could do when: each generation as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Generation:
    """One state of the protocol.

    Attributes:
        version: As ``/system_stats`` says it; empty where it does not.
        client_prompt_id: ``POST /prompt`` takes the client's ``prompt_id`` (v0.3.45); before, it chooses one and ignores ours.
        targeted_interrupt: ``POST /interrupt`` heeds ``prompt_id`` (v0.3.57); before, it interrupts whatever runs.
        success_message: ``execution_success`` and timestamps exist (July 2024).
        refuses_unknown_classes: With a 400 that names the class; early 2024 answers 500.
        tells_cached_outputs: A cached output has an ``executed`` frame.
        api_prefix: Every route is under ``/api`` too.
        models_routes: ``/models`` exists (August 2024).
        progress_state: ``progress_state``, ``/features`` and attributable previews exist (v0.3.45).
        cached_need_client_id: A cached output is in the history only with a client id (0.3.64 to July 2026).
        uuid_only: A ``prompt_id`` that is no canonical UUID is refused (mid 2026).
        jobs_routes: ``/api/jobs`` exists (December 2025).
        missing_node_type: An unknown class has an error type of its own (February 2026).
        cancels_jobs: ``POST /api/jobs/{id}/cancel`` exists (0.26).
        checks_v3_combos: ``["COMBO", {"options": …}]`` is validated (by 0.38.1).
        preview_method: A prompt can ask for previews (0.5).
        newer_nodes: Some nodes have inputs that bring others (0.4), and ``/node_replacements`` exists (0.14).
        compares_uploads: An upload with the content of the file that has its name already keeps the name; early 2024 renames it.
    """

    version: str
    client_prompt_id: bool = True
    targeted_interrupt: bool = True
    success_message: bool = True
    refuses_unknown_classes: bool = True
    tells_cached_outputs: bool = True
    api_prefix: bool = True
    models_routes: bool = True
    progress_state: bool = True
    cached_need_client_id: bool = True
    uuid_only: bool = False
    jobs_routes: bool = False
    missing_node_type: bool = False
    cancels_jobs: bool = False
    checks_v3_combos: bool = False
    compares_uploads: bool = True
    preview_method: bool = False
    newer_nodes: bool = False


V0_3_75 = Generation("0.3.75")
V0_3_40 = Generation("0.3.40", client_prompt_id=False, targeted_interrupt=False, progress_state=False, cached_need_client_id=False)
EARLY_2024 = replace(
    V0_3_40,
    version="",
    success_message=False,
    refuses_unknown_classes=False,
    tells_cached_outputs=False,
    api_prefix=False,
    models_routes=False,
    compares_uploads=False,
)
V0_38 = Generation(
    "0.38.1",
    cached_need_client_id=False,
    uuid_only=True,
    jobs_routes=True,
    missing_node_type=True,
    cancels_jobs=True,
    checks_v3_combos=True,
    newer_nodes=True,
    preview_method=True,
)
V0_33 = replace(V0_38, version="0.33.0", checks_v3_combos=False)
