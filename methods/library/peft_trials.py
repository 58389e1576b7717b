"""Trying peft out on a model: without a word, on few tokens; and which of its errors are a reason that it gives."""

from __future__ import annotations

import contextlib
import copy
import linecache
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import peft
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from methods.anatomy import Anatomy, UnsupportedBackbone


def without_weights(anatomy: Anatomy) -> PreTrainedModel:
    """Another model of the same configuration, on the meta device."""
    with torch.device("meta"):
        return type(anatomy.model)(copy.deepcopy(anatomy.config))


def few_tokens(model: nn.Module) -> dict[str, Tensor]:
    """One example, of which some heads read the end."""
    device = next(model.parameters()).device
    end = getattr(model.config, "eos_token_id", None)
    ids = torch.tensor([[3, 4, 5, end if isinstance(end, int) else 6]], device=device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if getattr(model.config, "is_encoder_decoder", False) and cast("PreTrainedModel", model).can_generate():
        inputs["decoder_input_ids"] = ids
    return inputs


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it warnings are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def on_purpose(error: Exception) -> bool:
    """Whether peft, or this bridge, says that something is not to be had: it stands in a `raise` of theirs, where a
    mistake comes out of something that was tried."""
    if isinstance(error, UnsupportedBackbone):
        return True
    if not isinstance(error, (ValueError, TypeError, AttributeError, NotImplementedError)) or not str(error).strip():
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    file = trace.tb_frame.f_code.co_filename
    line = linecache.getline(file, trace.tb_lineno).strip()
    return Path(file).is_relative_to(Path(peft.__file__).parent) and line.startswith("raise ")
