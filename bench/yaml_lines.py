"""YAML with the line of every entry, so that an error can name its place.

Scalars are read as in YAML 1.2, and more narrowly where readers differ: `true` and `false` are the only booleans;
`yes`, `010`, `1:30`, `1_000` and `2024-01-01` are text, which then does where a name is meant, and is refused where a
number is. Keys are text; the only tags are those of what is written here without one.
"""

from __future__ import annotations

import bisect
import codecs
import re
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]

# What a person writes is far below these; a file of a few lines of aliases can stand for billions of entries.
LARGEST_FILE = 2**20
MOST_ENTRIES = 50_000
MOST_DIGITS = 40

_CORE = "tag:yaml.org,2002:"
_NULL, _BOOL, _INT, _FLOAT, _TEXT, _MERGE, _LIST, _MAPPING = (
    _CORE + name for name in ("null", "bool", "int", "float", "str", "merge", "seq", "map")
)
_SCALARS = {
    _NULL: re.compile(r"~|null|Null|NULL|"),
    _BOOL: re.compile(r"true|True|TRUE|false|False|FALSE"),
    _INT: re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    _FLOAT: re.compile(
        r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
    _MERGE: re.compile("<<"),
}


class YamlError(Exception):
    """A file is not readable YAML; the message is one line with file and line."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; what they are worth is told by `_Reader`."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012
    entries = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise yaml.composer.ComposerError(None, None, _too_many(), self.peek_event().start_mark)  # type: ignore[no-untyped-call, unused-ignore]
        return super().compose_node(parent, index)


for _tag, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern.pattern})\Z"), None)


def load(path: Path) -> tuple[Any, dict[Place, int]]:
    """The document as plain data, and for each place in it (a path of keys and indices) its line, from 1.

    Raises YamlError on a file that cannot be read, is too large, or is bad YAML; on a key that occurs twice (which
    readers otherwise settle silently in favour of the last) or is no text, on an alias within itself, on other tags.
    """
    text = _text(path)
    reader = _Reader(path, text)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        reader.measure(node)
        return reader.read(node, ()), reader.lines
    except yaml.MarkedYAMLError as error:
        line = reader.line(error.problem_mark) if error.problem_mark else 1
        problem = str(error.problem)
        if problem == "second occurrence":
            problem = str(error.context).partition(";")[0]
        if problem == "but found another document":
            problem = "a second document begins here; a file holds one"
        raise YamlError(f"{path}:{line}: not valid YAML: {problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"{path}:{line}: holds the character U+{ord(text[error.position]):04X}; take it out") from None
    except (ValueError, OverflowError):  # of chr()
        raise YamlError(f"{path}: not valid YAML: an escape names a character that there is not") from None
    except RecursionError:
        raise YamlError(f"{path}: its lists and mappings are nested too deeply") from None


def line_of(lines: dict[Place, int], place: Place) -> int:
    """The line of a place, or of the nearest enclosing one that the file has."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise YamlError(f"{path}: is {'a folder' if path.is_dir() else 'no file'}; name a YAML file")
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise YamlError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > LARGEST_FILE:
        raise YamlError(f"{path}: is larger than {LARGEST_FILE // 2**20} MiB, which no file written by hand is")
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise YamlError(f"{path}:{line}: is not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from None


def _too_many() -> str:
    return f"stands for more than {MOST_ENTRIES:,} entries"


class _Reader:
    """From nodes to data. A node may be in several places, by aliases, and is read in each of them."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines: dict[Place, int] = {}
        # As editors count them: for PyYAML some rarer characters end a line as well.
        self.starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]
        self.sizes: dict[int, int] = {}

    def line(self, mark: Any) -> int:
        return bisect.bisect_right(self.starts, mark.index)

    def fault(self, node: yaml.Node, message: str) -> YamlError:
        return YamlError(f"{self.path}:{self.line(node.start_mark)}: {message}")

    def measure(self, node: yaml.Node, within: frozenset[int] = frozenset()) -> int:
        """How many entries a node stands for once its aliases are written out, each node looked at once."""
        if id(node) in within:
            raise self.fault(node, "an alias stands within what it is an alias of; write it out")
        if id(node) not in self.sizes:
            within |= {id(node)}
            size = 1
            for child in _children(node):
                size += self.measure(child, within)
            if size > MOST_ENTRIES:
                raise self.fault(node, _too_many())
            self.sizes[id(node)] = size
        return self.sizes[id(node)]

    def read(self, node: yaml.Node, place: Place) -> Any:
        self.lines.setdefault(place, self.line(node.start_mark))
        if isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
            return self.mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == _LIST:
            return [self.read(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        raise self.fault(node, _unknown_tag(node))

    def scalar(self, node: yaml.ScalarNode) -> Any:
        tag, value = node.tag, node.value
        if tag in (_TEXT, _MERGE):
            return value
        if tag not in _SCALARS:
            raise self.fault(node, _unknown_tag(node))
        if not _SCALARS[tag].fullmatch(value):
            raise self.fault(node, f"{value!r} is no {tag.removeprefix(_CORE)}")
        if tag == _NULL:
            return None
        if tag == _BOOL:
            return value.lower() == "true"
        if tag == _INT:
            if len(value) > MOST_DIGITS:
                raise self.fault(node, f"a number of {len(value):,} digits is too large")
            return int(value)
        return float(value.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            key = self.key(key_node)
            here = (*place, key)
            if key in found:
                raise self.fault(key_node, f"{key!r} is here a second time (first in line {self.lines[here]})")
            # Read in another place before, by an alias, it has that line; here its own counts.
            self.lines[here] = self.line(key_node.start_mark)
            found[key] = self.read(value_node, here)
        for other in merged:
            if not isinstance(other, yaml.MappingNode):
                raise self.fault(other, "<<: takes a mapping, or a list of mappings")
            for key, value in self.mapping(other, (*place, "<<")).items():
                if key not in found:
                    found[key] = value
                    self.lines[(*place, key)] = self.lines[(*place, "<<", key)]
        return found

    def key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            kind = "list" if isinstance(node, yaml.SequenceNode) else "mapping"
            raise self.fault(node, f"a {kind} stands where a key is expected; keys are text")
        key = self.scalar(node)
        if not isinstance(key, str):
            raise self.fault(node, f"the key {node.value or 'null'} is no text; put it into quotes")
        return key


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _unknown_tag(node: yaml.Node) -> str:
    tag = node.tag.replace(_CORE, "!!")
    return f"the tag {tag} is not read here; write plain text, numbers, lists and mappings"
