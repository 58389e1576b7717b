"""Templates of the site's made pages, and tables of fields from the schemas of types."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NamedTuple

import jinja2

from reports.model.resources import TEMPLATES


class Field(NamedTuple):
    """A key that a file may have. `default` is empty where it has to be given."""

    name: str
    type: str
    default: str
    range: str
    description: str


def render(template: str, **values: Any) -> str:
    """A page of templates/site."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES / "site"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = cell
    return environment


def cell(text: object) -> str:
    """As it can stand in a cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def fields(schema: dict[str, Any], name: str) -> list[Field]:
    """The fields of a type, from its JSON schema; of the part `name` of its definitions, where one is given."""
    part = schema["$defs"][name] if name else schema
    required = part.get("required", ())
    return [
        Field(
            key,
            _type(of, schema.get("$defs", {})),
            "" if key in required else _default(of.get("default")),
            _range(of),
            of.get("description", ""),
        )
        for key, of in part["properties"].items()
    ]


def _default(value: Any) -> str:
    if isinstance(value, dict):
        return "as below" if value else "`{}`"
    return "none" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(of: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in of:
        return str(of["$ref"]).rpartition("/")[2]
    if "anyOf" in of:
        return " or ".join(dict.fromkeys(_type(each, definitions) for each in of["anyOf"] if each != {"type": "null"}))
    if "enum" in of:
        return ", ".join(f"`{value}`" for value in of["enum"])
    if "const" in of:
        return f"`{of['const']}`"
    if of.get("type") == "array":
        return f"list of {_type(of.get('items', {}), definitions)}"
    if of.get("type") == "object" and isinstance(of.get("additionalProperties"), dict):
        return f"by name: {_type(of['additionalProperties'], definitions)}"
    known = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    return known.get(str(of.get("type")), "mapping" if of.get("type") == "object" else "any")


def _range(of: dict[str, Any]) -> str:
    for each in (of, *of.get("anyOf", ()), of.get("items") or {}):
        limits = [
            f"{word} {_number(each[key])}"
            for key, word in (
                ("minimum", "from"),
                ("exclusiveMinimum", "above"),
                ("maximum", "to"),
                ("exclusiveMaximum", "below"),
            )
            if key in each
        ]
        if limits:
            return " ".join(limits)
    return ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
