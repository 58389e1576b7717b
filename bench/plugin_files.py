"""Plugin files, and what a plugin's code is: a digest of all that it imports, so that results of other code have
another name.

A plugin file finds modules that lie beside it, its helpers, by their plain names. They come after everything that is
installed, so that a `datasets.py` or `random.py` in that folder takes no library's place, and only those are found that
the file or a helper imports by a name written down: what is imported is what the digest is of.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.contained import contained
from records.text import described

# Seconds after which an import hangs. torch takes ten, and some minutes from a slow network's disk.
LONGEST_IMPORT = 300.0

# How the modules of plugin files are called.
PREFIX = "bench_plugin_"

# No part of a digest: a cell's identity holds the revisions of our own, and its record the versions of what we require.
OURS = frozenset({"bench", "methods", "records", "reports", "tasks", "templates"})
REQUIRED = frozenset({
    "accelerate", "bibtexparser", "datasets", "gguf", "huggingface_hub", "jinja2", "matplotlib", "numpy", "pandas",
    "psutil", "pyarrow", "pydantic", "pydantic_core", "rich", "rouge_score", "safetensors", "scipy", "seqeval",
    "sklearn", "tokenizers", "torch", "tqdm", "transformers", "typing_extensions", "yaml",
})  # fmt: skip


class PluginError(Exception):
    """A plugin is missing or broken; the message is one line."""


class BrokenPlugin(PluginError):
    """A plugin is there, and its code cannot be used: the fault of whoever wrote it, and not of who names it."""


@contextlib.contextmanager
def importing(what: str, file: Path | None = None) -> Iterator[None]:
    """Whatever is raised in there is a BrokenPlugin: also an exit, a hang, and what test frameworks raise to skip."""
    try:
        with contained(LONGEST_IMPORT):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BrokenPlugin(f"{what} cannot be imported: {described(error, file)}") from error


@dataclass(frozen=True)
class Imported:
    """A plugin file's module, and the digest of its code as it was then."""

    module: ModuleType
    digest: str


class _Helpers:
    """Finds helpers: by name, the file or the package's folder."""

    def __init__(self) -> None:
        self.places: dict[str, Path] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        place = self.places.get(name)
        return None if place is None or path is not None else _spec(name, place)

    def offer(self, name: str, place: Path) -> None:
        """From now on `name` is this one, as it is now, whatever it was for plugins of another suite. A plugin file
        that was imported already, and is another's helper too, is that module."""
        for loaded in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
            del sys.modules[loaded]
        self.places[name] = place
        if (plugin := _imported.get(place)) is not None and plugin.digest == _code_of(place).digest():
            sys.modules[name] = plugin.module
        if self not in sys.meta_path:
            # First, so that stray folders without code in them do not count: what is installed is not among the places.
            sys.meta_path.insert(0, self)

    def loaded(self, place: Path) -> ModuleType | None:
        """The module of a helper that has been imported."""
        return next(
            (sys.modules[name] for name, at in self.places.items() if at == place and name in sys.modules), None
        )


_helpers = _Helpers()
# By path: a file is executed once in a process, unless its code has changed since.
_imported: dict[Path, Imported] = {}


def import_file(path: Path, helpers: dict[str, Path]) -> Imported:
    """A plugin file's module. `helpers` are those of the plugin files before it, and are added to. Raises
    PluginError."""
    name = f"{PREFIX}{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
    try:
        there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    spec = importlib.util.spec_from_file_location(name, path) if there else None
    if spec is None:
        raise PluginError(f"{path}: no such plugin file; `plugins` takes paths of Python files, seen from the suite")
    try:
        code = _code_of(path)
        known = _imported.get(path)
        changed = known is None or known.digest != code.digest()
    except OSError as error:
        raise PluginError(f"{path}: cannot be read: {error}") from None
    for helper, place in code.helpers.items():
        if helper not in helpers and (changed or _helpers.places.get(helper) != place):
            _helpers.offer(helper, place)
        if (other := helpers.setdefault(helper, place)) != place:
            raise PluginError(f"{path}: imports {place}, and a plugin before it {other}; give one of them another name")
    if known is None or changed:
        helper_of_another = _helpers.loaded(path) if path in helpers.values() else None
        module = helper_of_another or _executed(spec, path)
        # The digest is taken once more: the file may have added folders to the path.
        known = _imported[path] = Imported(module, _code_of(path).digest())
    return known


def _executed(spec: ModuleSpec, path: Path) -> ModuleType:
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with importing(f"{path}:", path):
        assert spec.loader is not None
        spec.loader.exec_module(module)
    return module


def _code_of(path: Path) -> _Code:
    """Raises OSError."""
    code = _Code(path.parent)
    code.follow(path, "")
    return code


def digest_of(module: str) -> str:
    """Of an installed plugin's code: its whole package, and what that imports. Raises OSError."""
    code = _Code(None)
    code.add(module.partition(".")[0], own=True)
    return code.digest()


class _Code:
    """The files that a plugin's code is in, by names that do not say where they lie; and which of them are helpers, by
    the names under which they are imported."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self.helpers: dict[str, Path] = {}
        self.seen: set[str] = set()

    def digest(self) -> str:
        found = hashlib.sha256()
        for name, path in sorted(self.files.items()):
            content = path.read_bytes()
            found.update(f"{name} {len(content)}\n".encode() + content)
        return found.hexdigest()[:8]

    def follow(self, file: Path, name: str) -> None:
        """Takes a file in, and what it imports."""
        self.files[name] = file
        for imported in _imports(file):
            self.add(imported)

    def add(self, name: str, own: bool = False) -> None:
        """Takes a module or a package in by its name; of a library, which is not the plugin's `own`, the library's own
        files only."""
        if name in self.seen or name in sys.stdlib_module_names or (name in OURS | REQUIRED and not own):
            return
        self.seen.add(name)
        spec = _installed(name)
        place = _place(spec)
        # A folder without code of its own, wherever it lies, does not count as installed.
        helper = _beside(self.folder, name) if self.folder and (spec is None or spec.origin is None) else None
        if helper is not None:
            place = self.helpers[name] = helper
        if place is None:
            return
        library = not own and bool({"site-packages", "dist-packages"} & set(place.parts))
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            relative = file.relative_to(place.parent).as_posix()
            if library or file.suffix != ".py":
                self.files[relative] = file
            else:
                self.follow(file, relative)


def _imports(file: Path) -> Iterator[str]:
    """The first parts of the names of the modules that a file imports, wherever it does; also by `import_module`."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # which importing it will say better
    for node in ast.walk(tree):
        names: Iterable[str] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            first = node.args[0] if node.args else None
            names = [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
        yield from (name.partition(".")[0] for name in names)


def _installed(name: str) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if finder is _helpers or not hasattr(finder, "find_spec"):
            continue
        if (spec := finder.find_spec(name, None)) is not None:
            return spec
    return None


def _place(spec: ModuleSpec | None) -> Path | None:
    """A module's file, or a package's folder; None of what is built into Python."""
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and spec.has_location else None


def _beside(folder: Path, name: str) -> Path | None:
    if (folder / name).is_dir() and any((folder / name).glob("*.py")):
        return folder / name
    return file if (file := folder / f"{name}.py").is_file() else None


def _spec(name: str, place: Path) -> ModuleSpec | None:
    if place.is_file():
        return importlib.util.spec_from_file_location(name, place)
    if (place / "__init__.py").is_file():
        return importlib.util.spec_from_file_location(
            name, place / "__init__.py", submodule_search_locations=[str(place)]
        )
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(place)]
    return spec
