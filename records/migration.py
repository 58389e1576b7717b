"""How a file of an older schema is brought up to date, and one of a newer schema refused.

A change of the schema raises `records.record.SCHEMA` and adds one step here: from plain data of the version before to
plain data of the next. Steps are never changed afterwards, so that a folder of any age can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from records.record import SCHEMA, Manifest, Record

File = TypeVar("File", Record, Manifest)


class NewerSchema(Exception):
    """The file was written by a version that knows more than this one; the message follows the file's path."""


def read(model: type[File], data: bytes) -> File:
    """The file as today's schema has it. Raises NewerSchema, and ValidationError on what is no such file."""
    fault: ValidationError | None = None
    try:
        found = model.model_validate_json(data)
        if found.schema_version == SCHEMA:
            return found
    except ValidationError as error:
        fault = error
    try:
        plain = from_json(data)
    except ValueError:
        plain = None
    version = plain.get("schema_version", 1) if isinstance(plain, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise NewerSchema(
            f"was written by a newer version of adaptbench (its schema is {version}, this version reads up to"
            f" {SCHEMA}); update adaptbench to go on with it"
        )
    if isinstance(plain, dict) and version in STEPS:
        while version != SCHEMA:
            plain, version = STEPS[version](plain), version + 1
        return model.model_validate_json(to_json(plain | {"schema_version": SCHEMA}))
    if fault is not None:
        raise fault
    return found  # of a version that never was, which whoever reads it refuses


def _undefined_as_words(plain: dict[str, Any]) -> dict[str, Any]:
    """From 1 to 2: a score that is undefined was written as null, and is written as "NaN"."""

    def named(scores: Any) -> Any:
        if not isinstance(scores, dict):
            return scores
        return {name: "NaN" if value is None else value for name, value in scores.items()}

    plain = plain | {key: named(plain[key]) for key in ("test", "validation", "forgetting") if key in plain}
    if isinstance(plain.get("history"), list):
        lines = [line for line in plain["history"] if isinstance(line, dict)]
        plain["history"] = [line | {"validation": named(line.get("validation"))} for line in lines]
    return plain


def _unchanged(plain: dict[str, Any]) -> dict[str, Any]:
    """From 2 to 3: what is new, `kept` and `published`, is empty."""
    return plain


STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _undefined_as_words, 2: _unchanged}
