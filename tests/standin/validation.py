"""What ``POST /prompt`` checks, and its complaints, word for word: each output is judged alone.

A graph of which one output is good is taken, with complaints about the other. Errors that the real server does not
catch are not caught here either: they become its bare 500.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tests.standin.generations import Generation
from tests.standin.newer import with_dynamic
from tests.standin.nodes import JUDGED

_LIST_SHOWN = 20


@dataclass(slots=True)
class Validated:
    """The server's opinion of a graph.

    Attributes:
        error: Why nothing of it can run; None where something can.
        outputs: Ids of the output nodes that can run.
        node_errors: Complaints by node id.
    """

    error: dict[str, Any] | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def validate(graph: dict[str, Any], info: dict[str, Any], generation: Generation, files: Collection[str] = ()) -> Validated:
    """Judge a graph; numbers and texts in it are coerced in place, as the server does. `files` are those that LoadImage finds."""
    outputs = []
    for node_id in graph:
        node = graph[node_id]
        if "class_type" not in node:
            what = "Cannot execute because a node is missing the class_type property."
            return Validated(_missing(generation, what, node_id, None))
        if node["class_type"] not in info and generation.refuses_unknown_classes:
            what = f"Cannot execute because node {node['class_type']} does not exist."
            return Validated(_missing(generation, what, node_id, node["class_type"]))
        if info[node["class_type"]]["output_node"]:
            outputs.append(node_id)
    if not outputs:
        return Validated(_error("prompt_no_outputs", "Prompt has no outputs", ""))
    return _Validation(graph, info, generation, files).run(outputs)


class _Validation:
    def __init__(self, graph: dict[str, Any], info: dict[str, Any], generation: Generation, files: Collection[str]) -> None:
        self.graph, self.info, self.generation, self.files = graph, info, generation, files
        self.verdicts: dict[str, tuple[bool, list[dict[str, Any]]]] = {}

    def run(self, outputs: list[str]) -> Validated:
        found = Validated()
        own_errors: list[str] = []
        for output in outputs:
            try:
                good, reasons = self.node(output)
            except Exception as error:
                good, reasons = False, [_exception("exception_during_validation", "Exception when validating node", error)]
                self.verdicts[output] = (good, reasons)
            if good:
                found.outputs.append(output)
                continue
            own_errors += [f"{reason['message']}: {reason['details']}" for reason in reasons]
            for node_id, (fine, errors) in self.verdicts.items():
                if not fine and errors:
                    entry = {"errors": errors, "dependent_outputs": [], "class_type": self.graph[node_id]["class_type"]}
                    found.node_errors.setdefault(node_id, entry)["dependent_outputs"].append(output)
        if not found.outputs:
            found.error = _error("prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(own_errors))
        return found

    def node(self, node_id: str) -> tuple[bool, list[dict[str, Any]]]:
        if node_id in self.verdicts:
            return self.verdicts[node_id]
        inputs = self.graph[node_id]["inputs"]
        class_type = self.graph[node_id]["class_type"]
        known = with_dynamic(self.info[class_type]["input"], inputs)
        errors: list[dict[str, Any]] = []
        sound = True
        for category in ("required", "optional"):
            for name, spec in known.get(category, {}).items():
                if name not in inputs:
                    if category == "required":
                        errors.append(_input_error("required_input_missing", "Required input is missing", name, name))
                elif isinstance(inputs[name], list):
                    sound = self.link(inputs[name], name, spec, errors) and sound
                else:
                    self.literal(inputs, name, [None] if (class_type, name) in JUDGED else spec, errors)
        self.verdicts[node_id] = (sound and not errors, errors)
        return self.verdicts[node_id]

    def link(self, value: list[Any], name: str, spec: list[Any], errors: list[dict[str, Any]]) -> bool:
        extra = {"input_config": spec, "received_value": value}
        if len(value) != 2:
            what = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(_input_error("bad_linked_input", what, name, name, **extra))
            return True
        received = tuple(self.info[self.graph[value[0]]["class_type"]]["output"])[value[1]]
        wanted = spec[0] if isinstance(spec[0], str) else "COMBO"
        if received not in wanted.split(",") and "*" not in (received, wanted) and "COMFY_MATCHTYPE_V3" not in (received, wanted):
            details = f"{name}, received_type({received}) mismatch input_type({wanted})"
            what = "Return type mismatch between linked nodes"
            extra = {"input_config": spec, "received_type": received, "linked_node": value}
            errors.append(_input_error("return_type_mismatch", what, name, details, **extra))
            return True
        try:
            return self.node(value[0])[0]
        except Exception as error:
            reason = _exception("exception_during_inner_validation", "Exception when validating inner node", error)
            reason["extra_info"].update(input_name=name, input_config=spec, linked_node=value)
            self.verdicts[value[0]] = (False, [reason])
            return False

    def literal(self, inputs: dict[str, Any], name: str, spec: list[Any], errors: list[dict[str, Any]]) -> None:
        kind, options = spec[0], spec[1] if len(spec) > 1 else {}
        value = inputs[name]
        extra = {"input_config": spec, "received_value": value}
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[name] = value["__value__"]
        try:
            coerce = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}.get(kind if isinstance(kind, str) else "")
            value = inputs[name] = coerce(value) if coerce else value
        except (ValueError, TypeError, OverflowError) as error:
            what = f"Failed to convert an input value to a {kind} value"
            extra["exception_message"] = str(error)
            errors.append(_input_error("invalid_input_type", what, name, f"{name}, {value}, {error}", **extra))
            return
        extra["received_value"] = value
        if "min" in options and value < options["min"]:
            what = f"Value {value} smaller than min of {options['min']}"
            errors.append(_input_error("value_smaller_than_min", what, name, name, **extra))
        elif "max" in options and value > options["max"]:
            what = f"Value {value} bigger than max of {options['max']}"
            errors.append(_input_error("value_bigger_than_max", what, name, name, **extra))
        else:
            self.option(value, name, spec, errors)

    def option(self, value: Any, name: str, spec: list[Any], errors: list[dict[str, Any]]) -> None:
        if len(spec) > 1 and spec[1].get("image_upload"):
            # Its own check is in place of the list's.
            if value not in self.files:
                details = f"{name} - Invalid image file: {value}"
                extra = {"input_config": spec, "received_value": value}
                what = "Custom validation failed for node"
                errors.append(_input_error("custom_validation_failed", what, name, details, **extra))
            return
        choices = spec[0]
        if choices == "COMBO" and self.generation.checks_v3_combos:
            choices = spec[1].get("options")
        if not isinstance(choices, list) or value in choices:
            return
        many = len(choices) > _LIST_SHOWN
        shown = f"(list of length {len(choices)})" if many else str(choices)
        extra = {"input_config": None if many else spec, "received_value": value}
        errors.append(_input_error("value_not_in_list", "Value not in list", name, f"{name}: '{value}' not in {shown}", **extra))


def _error(kind: str, message: str, details: str, **extra: Any) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _input_error(kind: str, message: str, name: str, details: str, **extra: Any) -> dict[str, Any]:
    return _error(kind, message, details, input_name=name, **extra)


def _exception(kind: str, message: str, error: Exception) -> dict[str, Any]:
    return _error(kind, message, str(error), exception_type=type(error).__name__, exception_message=str(error), traceback=[])


def _missing(generation: Generation, message: str, node_id: str, class_type: str | None) -> dict[str, Any]:
    if generation.missing_node_type:
        return _error("missing_node_type", message, f"Node ID '#{node_id}'", node_id=node_id, class_type=class_type)
    return _error("invalid_prompt", message, f"Node ID '#{node_id}'")
