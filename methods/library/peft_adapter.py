"""An adapter that was trained elsewhere, in the format of huggingface/peft: evaluated and profiled as it is.

    peft:path@mine: {path: ./adapter}     a folder, seen from the suite's file; or organisation/name@revision of the hub

Nothing is trained. What the folder holds is the cell's identity, and not where it lies. It is put on the backbone as
the bridge puts peft's methods there, and every tensor must find its place: those of another backbone do not. The task
head must be among them, unless the task is put to the backbone in words.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import peft
import safetensors.torch
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from pydantic import Field, PrivateAttr, ValidationInfo, model_validator
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, MethodBase, TaskInfo
from methods.library.peft import SHARED, put_on, task_type
from methods.library.peft_prompts import ADAPTER
from methods.library.peft_trials import on_purpose, quiet, without_weights
from methods.papers import PAPERS
from records.files import Unreadable, read_within
from records.text import described, reason

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LONGEST_CONFIG, LONGEST_WEIGHTS = 2**20, 8 * 2**30
HUB = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")
_FRONT = ("base_model.model.", "base_model.")


class Misfit(ValueError):
    """An adapter is none of this backbone or task; the message is the reason."""


class PeftAdapter(MethodBase):
    """An adapter of huggingface/peft that was trained elsewhere."""

    path: str = Field(min_length=1, description="folder of the adapter, or organisation/name of the hub")
    digest: str = Field("", description="of its files; found by itself")

    _config: dict[str, Any] = PrivateAttr()
    _weights: bytes = PrivateAttr()

    @model_validator(mode="after")
    def _read(self, info: ValidationInfo) -> Self:
        base = (info.context or {}).get("base", Path())
        folder = base / Path(self.path).expanduser()
        files = _local(folder) if folder.exists() or not HUB.fullmatch(self.path) else _fetched(self.path)
        self._config, self._weights = _configuration(files[CONFIG], self.path), files[WEIGHTS]
        _check(self._weights, self.path)
        digest = hashlib.sha256(files[CONFIG] + b"\0" + files[WEIGHTS]).hexdigest()[:12]
        if self.digest and self.digest != digest:
            raise ValueError(f"{self.path} was changed since; run the suite again")
        object.__setattr__(self, "digest", digest)
        return self

    @property
    @override
    def location(self) -> str:
        return self.path

    @property
    @override
    def trained_on(self) -> str:
        return str(self._config.get("base_model_name_or_path") or "")

    @override
    def hyperparameters(self) -> dict[str, Any]:
        """What the files are, wherever they lie."""
        return {"digest": self.digest}

    @property
    def kind(self) -> str:
        """peft's type, in lower case."""
        return str(self._config["peft_type"]).lower()

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return safetensors.torch.load(self._weights)

    @property
    @override
    def extra_positions(self) -> int:
        return int(self._config.get("num_virtual_tokens") or 0)

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        return self._misfit(anatomy, with_head=False)

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        return self._misfit(anatomy, with_head=True)

    def _misfit(self, anatomy: Anatomy, with_head: bool) -> str | None:
        """What goes wrong when it is put on a model without weights; or, since some types look at weights, on a copy of
        one that has them."""
        try:
            self._try(without_weights(anatomy), anatomy, with_head)
        except Misfit as misfit:
            return str(misfit)
        except Exception:
            if anatomy.word_embeddings.weight.is_meta:
                return None  # which its cells will say
            try:
                self._try(copy.deepcopy(anatomy.model), anatomy, with_head)
            except Exception as error:
                # The files are a stranger's: what peft stumbles over in them is a reason, as what it refuses.
                told = isinstance(error, Misfit) or on_purpose(error)
                return reason(error) if told else f"peft cannot put it on: {described(error)[:300]}"
        return None

    def _try(self, model: PreTrainedModel, anatomy: Anatomy, with_head: bool) -> None:
        with torch.random.fork_rng():
            self._put_on(Anatomy(model, anatomy.head), with_head)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        self._put_on(anatomy)

    def _put_on(self, anatomy: Anatomy, with_head: bool = True) -> None:
        anatomy.freeze()
        with quiet():
            tuner = put_on(self.kind, anatomy, self._as_config(task_type(self.kind, anatomy)))
            _load(tuner, self._for(anatomy, with_head), anatomy, with_head)
        for parameter in anatomy.model.parameters():
            parameter.requires_grad_(False)

    def _as_config(self, task_type: str) -> peft.PeftConfig:
        """Without what the installed version does not know, and without the heads, which are found by their names."""
        config_class = PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(self.kind.upper())]
        ours = {"task_type": task_type, "modules_to_save": None, "inference_mode": True}
        config: peft.PeftConfig = config_class.from_peft_type(**self._config | ours)  # type: ignore[no-untyped-call]
        return config

    def _for(self, anatomy: Anatomy, with_head: bool) -> dict[str, Tensor]:
        """The tensors, in the backbone's precision; those of a head where that is asked for."""
        heads = {name.partition(".")[0] for name in anatomy.head} | {"classifier", "score"}
        like = anatomy.word_embeddings.weight.dtype
        return {
            name: value.to(like) if value.is_floating_point() else value
            for name, value in self._tensors.items()
            if with_head or _plain(name).partition(".")[0] not in heads
        }

    @override
    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """All that the file holds."""
        return dict(self._tensors)

    card: ClassVar[Card] = Card(
        name="peft:path",
        title="Adapter from a file (peft)",
        family="trained elsewhere",
        composition="parameter",
        formula=r"y = f_{\theta \oplus \phi}(x)",
        summary=(
            "An adapter in the format of huggingface/peft that was trained elsewhere, on data and with a budget that"
            " this benchmark does not know. It is evaluated and profiled as it is; nothing is trained."
        ),
        citation="mangrulkar2022peft",
        bibtex=PAPERS.bibtex(["mangrulkar2022peft"]),
    )


def _load(tuner: Any, tensors: Mapping[str, Tensor], anatomy: Anatomy, with_head: bool) -> None:
    """By peft's own loading; raises Misfit where a tensor has no place, or a place no tensor."""
    holder = tuner if isinstance(tuner, peft.PeftModel) else _Holder(tuner)
    # What peft would save of such an adapter, which is what has to be there; what layers share is there twice.
    saved = get_peft_model_state_dict(holder, adapter_name=ADAPTER, save_embedding_layers=False)
    expected = {name for name in saved if not _plain(name).startswith(SHARED)}
    there = {_plain(name) for name in tensors}
    parameters = dict(anatomy.model.named_parameters())
    if strange := sorted(_plain(name) for name in tensors.keys() - expected if _plain(name) not in parameters):
        raise Misfit(f"was trained for another backbone: this one has no place for {strange[0]}")
    if missing := sorted(_plain(name) for name in expected - tensors.keys()):
        raise Misfit(f"lacks {missing[0]}, for which the backbone has a place")
    if whole := sorted(n for n in expected if saved[n].is_floating_point() != tensors[n].is_floating_point()):
        raise Misfit(f"has whole numbers in {_plain(whole[0])}, or fractions where these belong")
    if with_head and (lacking := sorted(anatomy.head - there)):
        raise Misfit(f"holds no task head ({lacking[0]}); `form: text` puts the task to the backbone in words")
    try:
        set_peft_model_state_dict(holder, dict(tensors), ADAPTER)
    except RuntimeError as error:  # of other shapes
        raise Misfit(f"was trained for another backbone or task: {reason(error)}") from None


class _Holder(nn.Module):
    """In a tuner's place in a `PeftModel`, from which its tensors have their names."""

    def __init__(self, tuner: Any) -> None:
        super().__init__()
        self.base_model = tuner
        self.peft_config = tuner.peft_config


def _plain(name: str) -> str:
    """Without what a `PeftModel` puts in front."""
    return next((name.removeprefix(prefix) for prefix in _FRONT if name.startswith(prefix)), name)


def _local(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder, and no organisation/name of the hub")
    found = {}
    for name, longest in ((CONFIG, LONGEST_CONFIG), (WEIGHTS, LONGEST_WEIGHTS)):
        try:
            found[name] = read_within(folder, name, longest=longest)
        except FileNotFoundError:
            raise ValueError(f"{folder} lacks {name}{_pickled(folder)}") from None
        except Unreadable as error:
            raise ValueError(f"{folder / name} {error}") from None
    return found


def _pickled(folder: Path) -> str:
    found = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in folder.glob(pattern))
    if not found:
        return ""
    return (
        f"; {found[0]} is pickled, which can run code, and is not read: load it once with peft and save_pretrained()"
        " it, which writes safetensors"
    )


def _fetched(spec: str) -> dict[str, bytes]:
    """From the hub, or its cache."""
    from huggingface_hub import hf_hub_download

    named = HUB.fullmatch(spec)
    assert named is not None
    found = {}
    for name in (CONFIG, WEIGHTS):
        try:
            path = Path(hf_hub_download(named["repo"], name, revision=named["revision"]))
        except Exception as error:  # of the many kinds that a network has
            raise ValueError(f"{spec}: {name} cannot be had from the hub: {reason(error)}") from None
        found[name] = path.read_bytes()
    return found


def _configuration(data: bytes, path: str) -> dict[str, Any]:
    try:
        config = json.loads(data, parse_constant=_no_number)
        kind = peft.PeftType(config["peft_type"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"the {CONFIG} of {path} is none of peft's: {reason(error)}") from None
    if kind not in PEFT_TYPE_TO_TUNER_MAPPING:
        raise ValueError(f"the {CONFIG} of {path} names the type {kind.value}, which peft {peft.__version__} lacks")
    return dict(config)


def _no_number(word: str) -> float:
    raise ValueError(f"holds {word}, which is no number")


def _check(weights: bytes, path: str) -> None:
    try:
        found = list(_finite(safetensors.torch.load(weights)))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"the {WEIGHTS} of {path} is no whole file of safetensors: {reason(error)}") from None
    if found:
        raise ValueError(f"the {WEIGHTS} of {path} has entries that are no numbers, in {found[0]}")


def _finite(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Names of those that are not."""
    return (name for name, value in tensors.items() if not torch.isfinite(value.float()).all())
