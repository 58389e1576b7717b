"""Weights in the format safetensors: the files of a folder, and what their headers say. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records.text import reason

# Under these names `save_pretrained` writes them: in one file, or in several with an index.
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What weights are kept in that were not quantised.
FULL_PRECISION = ("F64", "F32", "F16", "BF16")
POINTER = b"version https://git-lfs"


class BackboneError(Exception):
    """A backbone cannot be had; the message says in one line why, and what to do."""


def files(folder: Path) -> list[Path]:
    """The files with the folder's weights. Raises BackboneError where one is missing, or all are."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if not (folder / INDEX).is_file():
        raise BackboneError(f"backbone '{folder}' has no {WHOLE}{_other(folder)}")
    try:
        parts = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        found = [folder / Path(part).name for part in parts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackboneError(f"'{folder / INDEX}' is no index of weights: {reason(error)}") from error
    if lacking := [path.name for path in found if not path.is_file()]:
        raise BackboneError(f"backbone '{folder}' lacks {lacking[0]}, which {INDEX} names; copy the folder once more")
    return found


def _other(folder: Path) -> str:
    """What the folder has in its place, and what to do."""
    pickled = [path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)]
    if pickled:
        return (
            f"; {pickled[0]} is pickled, which can run code, and is not read: load it once with transformers and"
            " save_pretrained() it, which writes safetensors"
        )
    strange = sorted(path.name for path in folder.glob("*.safetensors"))
    return f", only {strange[0]}; save_pretrained() writes it" if strange else "; save_pretrained() writes it"


def check(folder: Path) -> None:
    """Raises BackboneError where a file is missing, cut off, or no safetensors, or its weights are quantised."""
    for path in files(folder):
        for name, entry in _header(path):
            kind = entry.get_dtype()
            if name.endswith("weight") and kind not in FULL_PRECISION:
                raise BackboneError(
                    f"'{path}' keeps {name} in {kind}: its weights are quantised, and those are neither trained nor"
                    " compared; name the model in full precision, and for four bits the method qlora"
                )


def shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every tensor, by its name."""
    return {name: entry.get_shape() for path in files(folder) for name, entry in _header(path)}


def tensors(folder: Path) -> dict[str, Any]:
    """Every tensor by its name, as a slice that torch reads once it is asked for its content."""
    return {name: entry for path in files(folder) for name, entry in _header(path, "pt")}


def _header(path: Path, framework: str = "numpy") -> Iterator[tuple[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        opened = safe_open(path, framework=framework)
        entries = [(name, opened.get_slice(name)) for name in opened.keys()]  # noqa: SIM118 - it is no dictionary
    except (SafetensorError, OSError, ValueError) as error:
        raise BackboneError(f"'{path}' is no whole file of safetensors: {_cause(path, error)}") from error
    yield from entries


def _cause(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            return "it is what git-lfs leaves in its place; have the file itself with: git lfs pull"
    return f"{reason(error)}; copy or download it once more"
