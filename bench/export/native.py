"""What a cell has learnt as it was kept, with all that is needed to put it on its backbone again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.export.base import ExportError
from records.cell import Cell
from records.files import Unreadable, read_within, write_atomically
from records.text import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

STATE, ABOUT = "state.safetensors", "adaptbench.json"
LONGEST_ABOUT, LONGEST_STATE = 2**20, 64 * 2**30
FORMAT = 1


class About(BaseModel):
    """The file beside a state: the cell, the optimiser steps of its training, the head that its model has (as
    `bench.forms.base.Head`), what pads, and what a method may know of the task."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    cell: Cell
    steps: int
    head: str
    outputs: int
    pad: int
    task_kind: str
    members: tuple[str, ...]
    labels: tuple[str, ...] = ()


def write(folder: Path, state: bytes, about: About) -> None:
    """Raises OSError where the disk refuses."""
    write_atomically(folder / STATE, state)
    write_atomically(folder / ABOUT, about.model_dump_json(indent=1))


def load(
    folder: Path | str, base: Path | str = ".", plugins: Sequence[Path | str] = ()
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The adapted model of a native export, in evaluation mode and full precision, and its tokenizer. A backbone that
    is a folder is seen from `base`; `plugins` are the files that the method comes from, where it is not built in.

    Raises ExportError where the folder is no such export, or backbone and method are not those that it was made with.
    """
    import torch

    from bench.backbones import Backbone, BackboneError
    from bench.forms.base import Head
    from bench.forms.heads import pad_and_read_last
    from bench.keeping import BrokenState, check_finite, restore, state_from_bytes
    from bench.registry import PluginError, Registry
    from methods.anatomy import Anatomy

    folder = Path(folder)
    about, cell = (found := _about(folder)), found.cell
    try:
        plugin = Registry(tuple(map(Path, plugins)), Path(base)).get("methods", cell.method)
        if plugin.revision != cell.method_revision:
            raise ExportError(f"{folder}: was trained by another version of {cell.method} ({cell.method_revision})")
        backbone = Backbone.find(cell.backbone, Path(base), cell.backbone_revision)
        if backbone.revision != cell.backbone_revision:
            raise ExportError(f"{folder}: was trained on another {cell.backbone} ({cell.backbone_revision})")
        model, head = backbone.load(Head(about.head, about.outputs), cell.seed)  # type: ignore[arg-type]
        pad_and_read_last(model, about.pad, about.head)
        method, anatomy = plugin.cls(**cell.hyperparameters), Anatomy(model, head)
        task: Any = SimpleNamespace(name=cell.task, kind=about.task_kind, members=about.members)
        with torch.random.fork_rng():
            torch.manual_seed(cell.seed)
            method.adapt(anatomy, task)
        state = state_from_bytes(_read(folder, STATE, LONGEST_STATE))
        check_finite(state)
        restore(method, anatomy, state, about.steps)
        return model.eval(), backbone.tokenizer()
    except KeyError:
        raise ExportError(f"{folder}: there is no method {cell.method!r} here; name its file in `plugins`") from None
    except BrokenState as error:
        raise ExportError(f"{folder / STATE}: {error}") from None
    except (PluginError, BackboneError, ValidationError) as error:
        raise ExportError(f"{folder}: {one_line(error)}") from None


def _about(folder: Path) -> About:
    data = _read(folder, ABOUT, LONGEST_ABOUT)
    try:
        if (found := json.loads(data).get("format")) != FORMAT:
            raise ExportError(f"{folder / ABOUT}: has the format {found!r}, and this version reads {FORMAT}")
        return About.model_validate_json(data)
    except (ValueError, AttributeError) as error:
        raise ExportError(f"{folder / ABOUT}: describes no adapter ({one_line(error, 200)})") from None


def _read(folder: Path, name: str, longest: int) -> bytes:
    try:
        return read_within(folder, name, longest=longest)
    except FileNotFoundError:
        raise ExportError(f"{folder}: is no native export, which has {STATE} and {ABOUT}{_other(folder)}") from None
    except Unreadable as error:
        raise ExportError(f"{folder / name}: {error}") from None


def _other(folder: Path) -> str:
    """What lies there in its place, and what to do with it."""
    if (folder / "adapter_config.json").is_file():
        return "; load this one with peft's PeftModel.from_pretrained"
    if (folder / "config.json").is_file():
        return "; load this one with transformers' from_pretrained"
    if found := sorted(path.name for ending in ("*.bin", "*.pt", "*.pkl") for path in folder.glob(ending)):
        return f"; {found[0]} is pickled, which can run code, and is not read"
    return ""
