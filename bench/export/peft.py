"""A cell's adapter in the format of huggingface/peft: what `PeftModel.from_pretrained` loads beside the backbone.

peft writes the files itself, of a model of its own around the plain backbone that has been given what was learnt.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.export.base import ExportError, Learnt
from methods.base import NotInPeft, PeftForm
from records.text import one_line

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# Types that learn several tasks at once, and must be told of each example which it is from.
_OF_SEVERAL_TASKS = ("POLY", "MULTITASK_PROMPT_TUNING")


def form_of(learnt: Learnt) -> PeftForm:
    """What the cell's method has learnt, in peft's words. Raises ExportError where peft cannot express it, or is not
    installed."""
    if importlib.util.find_spec("peft") is None:
        raise ExportError("an export to peft needs that library: pip install peft")
    try:
        return learnt.method.as_peft(learnt.anatomy)
    except NotInPeft as reason:
        raise ExportError(f"{reason}; {learnt.instead()}") from None


def write(folder: Path, learnt: Learnt, form: PeftForm) -> None:
    """Raises ExportError where peft refuses the backbone, or has no place for its task head."""
    import peft

    plain = learnt.plain()
    config_class = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(form.type)]
    heads = head_modules(plain, learnt.anatomy.head)
    if heads and "modules_to_save" not in {field.name for field in dataclasses.fields(config_class) if field.init}:
        raise ExportError(f"peft's {form.type} keeps no task head beside it; {learnt.instead()}")
    options: dict[str, Any] = {"modules_to_save": [*heads]} if heads else {}
    config = config_class(task_type=task_type(learnt), **copy.deepcopy(form.options), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wrapped = peft.get_peft_model(plain, config)
        except (ValueError, TypeError, KeyError) as error:
            raise ExportError(f"peft refuses the backbone: {one_line(error)}; {learnt.instead()}") from None
        _fill(wrapped, learnt, form, heads)
        # Where peft puts what it finds in the model, and names of heads that there are not.
        written = wrapped.active_peft_config
        written.base_model_name_or_path, written.revision = learnt.backbone, learnt.commit
        if heads:
            written.modules_to_save = heads
        for name, value in vars(written).items():
            if isinstance(value, set):  # which would be written in another order each time
                setattr(written, name, sorted(value))
        wrapped.save_pretrained(str(folder), safe_serialization=True)


def load(folder: Path, learnt: Learnt) -> Any:
    """The written adapter on a fresh plain backbone, by peft's own loader."""
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.PeftModel.from_pretrained(learnt.plain(), folder).eval()


def with_tasks(inputs: dict[str, Tensor], form: PeftForm) -> dict[str, Tensor]:
    """A batch as peft's model wants it, all of it of the first task."""
    if form.type not in _OF_SEVERAL_TASKS:
        return inputs
    return inputs | {"task_ids": inputs["input_ids"].new_zeros(len(inputs["input_ids"]))}


def head_modules(plain: PreTrainedModel, head: Collection[str]) -> list[str]:
    """The modules of which every parameter is one of the head's, the outermost of them."""
    fresh = frozenset(head)
    own = {name: [f"{name}.{p}" for p, _ in module.named_parameters()] for name, module in plain.named_modules()}
    whole = {name for name, parameters in own.items() if name and parameters and fresh.issuperset(parameters)}
    return sorted(name for name in whole if name.rpartition(".")[0] not in whole)


def task_type(learnt: Learnt) -> str:
    """peft's name for what the model gives."""
    if learnt.head.kind == "language":
        return "SEQ_2_SEQ_LM" if learnt.anatomy.encodes_and_decodes else "CAUSAL_LM"
    return {"sequence": "SEQ_CLS", "token": "TOKEN_CLS"}[learnt.head.kind]


def _fill(wrapped: Any, learnt: Learnt, form: PeftForm, heads: list[str]) -> None:
    """Copies what was learnt into peft's model, name by name."""
    import torch

    own = wrapped.state_dict(keep_vars=True)
    inside = "base_model." if wrapped.active_peft_config.is_prompt_learning else "base_model.model."
    given = dict(form.tensors)
    for name, value in learnt.head_state().items():
        module = next(each for each in heads if name.startswith(f"{each}."))
        given[f"{inside}{module}.modules_to_save.default.{name.removeprefix(f'{module}.')}"] = value
    with torch.no_grad():
        for name, value in given.items():
            if name not in own or own[name].shape != value.shape:
                raise ExportError(f"peft has no place for {name} of shape {list(value.shape)}; {learnt.instead()}")
            own[name].copy_(value)
