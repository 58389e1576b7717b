"""`bench estimate`: what methods cost on a backbone of any size, as a table."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

from bench.folders import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from bench.estimate import Estimate, Shape

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "GIB": 2**30, "MIB": 2**20}


def add_command(commands: Any) -> None:
    """To the parser of the command line."""
    told = "what methods cost on a backbone of any size: parameters, bytes, FLOPs; counted, nothing is run"
    estimate = commands.add_parser("estimate", help=told)
    estimate.add_argument("backbone", help="as a suite names it; of a folder or a hub id `config:` needs no weights")
    estimate.add_argument("--methods", help="some, as lora,full (default: all of ours)")
    estimate.add_argument("--batch", type=_count, default=32, help="texts of a training step (default: 32)")
    estimate.add_argument("--length", type=_count, default=128, help="tokens of a text (default: 128)")
    estimate.add_argument("--outputs", type=_count, default=2, help="of the head (default: 2)")
    estimate.add_argument("--text", action="store_true", help="the language model's own head, every token a target")
    estimate.add_argument("--precision", choices=("bf16", "no"), default="bf16", help="as in a suite (default: bf16)")
    held = "how what is not trained is held (default: fp32, as our cells do)"
    estimate.add_argument("--weights", choices=("fp32", "bf16", "nf4"), default="fp32", help=held)
    kept = "layers keep their inputs alone, and compute the rest twice"
    estimate.add_argument("--checkpointing", action="store_true", help=kept)
    estimate.add_argument("--fits", type=_bytes, metavar="SIZE", help="the largest batch in a memory such as 80GB")
    estimate.set_defaults(command=_estimate)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not int(text):
        raise argparse.ArgumentTypeError(f"takes a whole number from 1, not {text!r}")
    return int(text)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)", text.strip(), re.IGNORECASE)
    if not found or found[2].upper() not in UNITS:
        raise argparse.ArgumentTypeError(f"takes a size such as 80GB or 24GiB, not {text!r}")
    return round(float(found[1]) * UNITS[found[2].upper()])


def _estimate(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from bench.backbones import Backbone, BackboneError
    from bench.estimate import Shape

    shape = Shape(
        batch=arguments.batch,
        length=arguments.length,
        outputs=arguments.outputs,
        text=arguments.text,
        autocast=arguments.precision == "bf16",
        weights=arguments.weights,
        checkpointing=arguments.checkpointing,
    )
    names = _names(arguments.methods)
    try:
        table, notes = _table(Backbone.find(arguments.backbone), names, shape, arguments.fits)
    except BackboneError as error:
        raise UsageError(str(error)) from None
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    console.print(
        "counted on a model without weights, as a profile counts, with attention that keeps no probabilities; what is"
        " trained, its gradients and AdamW's moments are in fp32; temporary buffers come on top",
        soft_wrap=True,
    )
    return 0


def _names(given: str | None) -> list[str]:
    from bench.registry import Registry
    from records.vocabulary import nearest

    known = Registry().names("methods")
    names = [name.strip() for name in given.split(",")] if given else known
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--methods: unknown method {unknown[0]!r}{nearest(unknown[0], known)}")
    return names


def _table(backbone: Any, names: list[str], shape: Shape, memory: int | None) -> tuple[Table, list[str]]:
    from rich.table import Table

    columns = [
        "method",
        "trained",
        "%",
        "stored",
        "weights",
        "gradients",
        "optimiser",
        "activations",
        "in all",
        "FLOPs",
    ]
    table = Table(*columns, *(["batch that fits"] if memory else []), box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    notes = []
    for name, found, fitting in _estimates(backbone, names, shape, memory):
        if isinstance(found, str):
            notes.append(f"{name}: not counted: {found}")
        else:
            table.add_row(name, *_cells(found), *([str(fitting)] if memory else []))
    return table, notes


def _estimates(
    backbone: Any, names: list[str], shape: Shape, memory: int | None
) -> Iterator[tuple[str, Estimate | str, int]]:
    """By method its estimate, or why there is none; and the largest batch within so many bytes."""
    from rich.progress import track

    from bench.estimate import NotCounted, estimate, largest_batch
    from bench.forms.base import NoSuchForm
    from bench.registry import PluginError, Registry
    from methods.anatomy import UnsupportedBackbone

    registry = Registry()
    for name in track(names, "counting", transient=True, disable=not sys.stderr.isatty()):
        try:
            method = registry.get("methods", name).cls()
            found = estimate(backbone, method, shape)
            yield name, found, largest_batch(backbone, method, shape, memory) if memory else 0
        except (NotCounted, NoSuchForm, UnsupportedBackbone, PluginError) as reason:
            yield name, str(reason), 0


def _cells(found: Estimate) -> list[str]:
    held = (found.weights_bytes, found.gradient_bytes, found.optimizer_bytes, found.activation_bytes)
    sizes = [size(each) for each in (found.stored_bytes, *held, found.memory_bytes)]
    return [f"{found.trained:,}", f"{found.percent:.3g}", *sizes, f"{found.train_flops:.3g}"]


def size(count: float) -> str:
    """Bytes in the largest decimal unit of which there is one, with three digits."""
    unit, factor = next(
        ((name, each) for name, each in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if count >= each), ("B", 1)
    )
    value = count / factor
    return f"{value:.{0 if value >= 100 or factor == 1 else 1 if value >= 10 else 2}f} {unit}"
