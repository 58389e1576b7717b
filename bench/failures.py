"""What a record says of a cell that came to nothing."""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path

from bench.backbones import BackboneError
from bench.contract import DataError
from bench.memory import OutOfMemory, is_out_of_memory
from bench.ranks import RanksDiffer
from bench.registry import PluginError
from bench.scoring import Diverged, ScoreError
from bench.sharding import NotShardable
from records.redaction import redacted
from records.text import one_line
from tasks.base import TaskUnavailable

# Characters of the reason why a cell failed.
LONGEST_REASON = 500

# Exceptions whose message is meant for the user; of others the report shows the type as well.
EXPECTED = (
    BackboneError,
    DataError,
    Diverged,
    NotShardable,
    OutOfMemory,
    PluginError,
    RanksDiffer,
    ScoreError,
    TaskUnavailable,
)


class NotApplicable(Exception):
    """The method does not apply to this backbone or task; the message is the reason."""


def failure(error: BaseException) -> str:
    """The reason for a record, after the traceback has gone to the log."""
    with contextlib.suppress(Exception):  # the log's disk may be full, or its descriptor closed
        print(redacted("".join(traceback.format_exception(error))), file=sys.stderr)
    text = said(error)
    if isinstance(error, SystemExit):
        code = redacted(repr(error.code))[:LONGEST_REASON]
        return f"a plugin's code, or a library, ended the process: sys.exit({code}) {_place(error)}"
    if is_out_of_memory(error):
        return f"out of memory: {text}"
    if isinstance(error, RuntimeError) and "DTensor" in text:  # torch's word for weights that ranks have divided
        return str(NotShardable("the method reads or writes them beside the passes through their layers"))
    return text if isinstance(error, EXPECTED) else f"{type(error).__name__}: {text}"


def said(error: BaseException) -> str:
    """An exception's text, fit for a record."""
    return redacted(one_line(error, LONGEST_REASON))


def _place(error: BaseException) -> str:
    """Where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
