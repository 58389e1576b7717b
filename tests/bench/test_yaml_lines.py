"""YAML as suites are written in: read narrowly, and refused with the right line."""

from __future__ import annotations

import os
import time

import pytest
import yaml

from bench import yaml_lines
from bench.suite import BUILT_IN
from bench.yaml_lines import YamlError


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "file.yaml"

    def load(content: str | bytes):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return yaml_lines.load(path)

    return load


@pytest.fixture
def refused(read):
    def message(content: str | bytes) -> str:
        with pytest.raises(YamlError) as caught:
            read(content)
        assert "\n" not in str(caught.value)
        return str(caught.value).partition("file.yaml")[2]

    return message


# By the core schema of YAML 1.2.2 (section 10.3.2), but for what is refused or text on purpose.
SCALARS = [
    ("8", 8), ("-3", -3), ("+7", 7), ("0", 0), ("1e-3", 1e-3), ("1E3", 1000.0), ("1.", 1.0), (".5", 0.5),
    ("-1.5e+2", -150.0), (".inf", float("inf")), ("-.INF", float("-inf")), ("true", True), ("FALSE", False),
    ("~", None), ("null", None), ("", None), ("'8'", "8"), ("!!str 8", "8"), ("!!float 8", 8.0),
    ("yes", "yes"), ("No", "No"), ("on", "on"), ("y", "y"), ("010", "010"), ("0o10", "0o10"), ("0x10", "0x10"),
    ("0b11", "0b11"), ("1:30", "1:30"), ("190:20:30.15", "190:20:30.15"), ("1_000", "1_000"), ("1,000", "1,000"),
    ("2024-01-01", "2024-01-01"), ("2024-01-01 10:00:00", "2024-01-01 10:00:00"), ("=", "="), ("1e", "1e"),
    ("truE", "truE"), ("nan", "nan"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars(read, text, value):
    (found,) = read(f"a: {text}\n")[0].values()
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_built_in_suites_are_read_as_everybody_reads_them(path):
    assert yaml_lines.load(path)[0] == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_are_told_by_their_mark(read, encoding):
    assert read("größe: [ü, 中]\n".encode(encoding)) == (
        {"größe": ["ü", "中"]},
        {(): 1, ("größe",): 1, ("größe", 0): 1, ("größe", 1): 1},
    )


def test_merged_keys_keep_the_line_they_are_written_in(read):
    data, lines = read("a: &x\n  lr: 1\n  rank: 2\nb:\n  <<: *x\n  lr: 3\n")
    assert data["b"] == {"lr": 3, "rank": 2}
    assert lines[("b", "lr")] == 6
    assert lines[("b", "rank")] == 5 or lines[("b", "rank")] == 3


WRONG = {
    "a sequence in itself": ("b: 1\na: &x [1, *x]\n", ":2: an alias stands within"),
    "a mapping in itself": ("a: &x\n  b: {c: *x}\n", ":1: an alias stands within"),
    "a list as key": ("a: 1\n? [a, b]\n: 2\n", ":2: a list stands where a key"),
    "a mapping as key": ("a: 1\n? {a: 1}\n: 2\n", ":2: a mapping stands where a key"),
    "a number as key": ("a: 1\n1: 2\n", ":2: the key 1 is no text"),
    "a truth value as key": ("a: 1\ntrue: 2\n", ":2: the key true is no text"),
    "nothing as key": ("a: 1\n~: 2\n", ":2: the key ~ is no text"),
    "a key twice": ("a: 1\nb:\n  c: 1\n  'c': 2\n", ":4: 'c' is here a second time (first in line 3)"),
    "a key twice beyond a rare line break": ("a: 'x\u2028y\x85z'\nb: 1\nb: 2\n", ":3: 'b' is here a second time"),
    "old line ends": (b"a: 1\rb: 2\rb: 3\r", ":3: 'b' is here a second time (first in line 2)"),
    "a tag that runs code": ("a: 1\nb: !!python/object/apply:os.system [ls]\n", ":2: the tag !!python/object"),
    "bytes": ("a: 1\nb: !!binary aGk=\n", ":2: the tag !!binary is not read"),
    "a set": ("a: 1\nb: !!set {x}\n", ":2: the tag !!set is not read"),
    "a tag of one's own": ("a: 1\nb: !mine 3\n", ":2: the tag !mine is not read"),
    "a tag that does not fit": ("a: 1\nb: !!int 010\n", ":2: '010' is no int"),
    "two documents": ("a: 1\n---\nb: 1\n", ":2: not valid YAML: a second document"),
    "an alias of nothing": ("a: 1\nb: *x\n", ":2: not valid YAML: found undefined alias"),
    "an anchor twice": ("a: &x 1\nb: &x 2\n", ":2: not valid YAML: found duplicate anchor"),
    "a tab": ("a:\n\tb: 1\n", ":2: not valid YAML: found character '\\t'"),
    "a null byte": (b"a: 1\nb: \x00\n", ":2: holds the character U+0000"),
    "another encoding": ("a: 1\nb: grün\n".encode("latin-1"), ":2: is not UTF-8 (byte 10"),
    "an escape beyond Unicode": ('a: "\\UFFFFFFFF"\n', ": not valid YAML: an escape"),
    "a huge number": (f"a: 1\nb: {'9' * 5000}\n", ":2: a number of 5,000 digits is too large"),
    "a merge with a number": ("a: 1\nb:\n  <<: 3\n", ":3: <<: takes a mapping"),
    "deep lists": ("[" * 5000, ": its lists and mappings are nested too deeply"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_no_suite_is_one_line_with_the_place(refused, fault):
    content, message = WRONG[fault]
    assert refused(content).startswith(message)


def test_a_few_lines_that_stand_for_billions_are_refused_at_once(refused):
    """Each line holds nine of the one before: nine to the power of twelve."""
    lists = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lists += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    began = time.process_time()
    assert "stands for more than 50,000 entries" in refused("\n".join(lists))
    wide = f"a: &a [{'x, ' * 1000}]\nb: [{'*a, ' * 1000}]\n"
    assert refused(wide).startswith(":2: stands for more than")
    maps = ["a0: &a0 {x: 1, y: 2}", *(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 40))]
    assert "stands for more than" in refused("\n".join(maps))
    assert time.process_time() - began < 30


def test_a_file_too_large_is_not_read(refused):
    assert "is larger than 1 MiB" in refused(b"#" * (2**20 + 1))


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", tmp_path / "none"):
        with pytest.raises(YamlError):
            yaml_lines.load(place)
