"""YAML with the line of every entry, so that an error can name its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]


class YamlError(Exception):
    """A file is not readable YAML; the message is one line with file and line."""


def load(path: Path) -> tuple[Any, dict[Place, int]]:
    """The document as plain data, and for each place in it (a path of keys and indices) its line, from 1.

    Raises YamlError on a file that cannot be read, on bad syntax and on a key that occurs twice (which
    YAML readers otherwise settle silently in favour of the last).
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise YamlError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise YamlError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    lines: dict[Place, int] = {}

    def visit(node: yaml.Node, place: Place) -> None:
        lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                key = key_node.value
                here = (*place, key)
                line = key_node.start_mark.line + 1
                if here in lines:
                    raise YamlError(f"{path}:{line}: {key!r} is here a second time (first in line {lines[here]})")
                lines[here] = line
                visit(value_node, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                visit(item, (*place, index))

    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        visit(node, ())
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    finally:
        loader.dispose()


def line_of(lines: dict[Place, int], place: Place) -> int:
    """The line of a place, or of the nearest enclosing one that the file has."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)
