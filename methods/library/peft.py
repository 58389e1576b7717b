"""Any method of an installed huggingface/peft, as `peft:<type>`: the library's own code in this benchmark's frame.

A type is offered under its lower-case name, with the options of its configuration class. Only modules' names are added
to what peft does by itself: where it knows no modules to adapt in an architecture, those of query and value are
taken (and those of the feed-forward block's output, for methods which treat it apart).

Most types are *injected*: peft replaces modules of the backbone in place. Types that learn a prompt act in a wrapper's
`forward` instead; there the model's own `forward` is the wrapper's, which calls a view of the same model (the same
submodules) whose `forward` is the plain one. Either way the model is called as before, all parameters are found in it,
and the task head stays where it is: peft's own copy of it is not made.

Mangrulkar et al. PEFT: State-of-the-art Parameter-Efficient Fine-Tuning methods. 2022.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import types
import typing
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar, cast

import peft
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.peft_model import PeftModel, PeftModelForSequenceClassification
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from pydantic import Field, TypeAdapter, create_model
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from methods.anatomy import Anatomy
from methods.base import Card, Method, Phase, TaskInfo
from methods.library.peft_types import FAMILIES

REVISION = f"peft-{peft.__version__}"

_BIBTEX = r"""@misc{mangrulkar2022peft,
  author = {Mangrulkar, Sourab and Gugger, Sylvain and Debut, Lysandre and Belkada, Younes and Paul, Sayak and
    Bossan, Benjamin and Tietz, Marian},
  title = {{PEFT}: State-of-the-art Parameter-Efficient Fine-Tuning methods},
  year = {2022},
  url = {https://github.com/huggingface/peft},
}"""

# Fields of peft's configurations that say where a model comes from or what is done with it, which is not the user's
# choice here; and the number of training steps, which the budget decides.
_OURS = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "modules_to_save", "peft_type", "peft_version",
    "revision", "runtime_config", "task_type", "total_step",
}  # fmt: skip
# What a cell has no place for.
_OUT_OF_PLACE = {"xlora": "mixes LoRAs that were trained before, where a cell starts from the backbone alone"}
# Where peft has no default, or one that does not suit a process without a terminal.
_DEFAULTS: dict[str, Any] = {"num_virtual_tokens": 20, "progressbar": False}
ADAPTER = "default"
_PROMPT = "peft_prompt_encoder"


def names() -> list[str]:
    """Every type that the installed version has, in its own order."""
    return [kind.value.lower() for kind in PEFT_TYPE_TO_CONFIG_MAPPING]


@cache
def get(kind: str) -> type[Method]:
    """The method for a type. Raises KeyError where the installed version has none of that name."""
    config_class = _config_classes()[kind]
    fields = dict(_fields(config_class))
    made = create_model(f"Peft_{kind}", __base__=_Bridge, __module__=__name__, **fields)
    made.card = _card(kind, config_class)
    made.kind = kind
    made.config_class = config_class
    made.__doc__ = f"{kind} of huggingface/peft {peft.__version__}."
    return made


def _type(kind: str) -> peft.PeftType:
    return peft.PeftType(kind.upper())


def _config_classes() -> dict[str, type[peft.PeftConfig]]:
    return {kind.value.lower(): config_class for kind, config_class in PEFT_TYPE_TO_CONFIG_MAPPING.items()}


def _fields(config_class: type[peft.PeftConfig]) -> Iterator[tuple[str, Any]]:
    """The options of a configuration, with its own types where pydantic knows them and its own defaults."""
    try:
        hints = typing.get_type_hints(config_class)
    except (NameError, TypeError):  # a type that is there for the type checker only
        hints = {}
    for field in dataclasses.fields(config_class):
        if field.name in _OURS or not field.init:
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        default = _DEFAULTS.get(field.name, default)
        described = " ".join(str(field.metadata.get("help", "")).split())
        yield field.name, (_hint(hints.get(field.name, Any), default), Field(default, description=described))


def _hint(hint: Any, default: Any) -> Any:
    """Any where the default, written down and read again, would not be what it was."""
    try:
        adapter = TypeAdapter(hint)
        if adapter.validate_python(adapter.dump_python(default, mode="json")) == default:
            return hint
    except Exception:
        pass
    return Any


def _card(kind: str, config_class: type[peft.PeftConfig]) -> Card:
    # A type that is newer than the table counts as a prompt, or as of low rank.
    entry = FAMILIES[-1 if issubclass(config_class, peft.PromptLearningConfig) else 0]
    entry = next((each for each in FAMILIES if kind in each[-1]), entry)
    family, composition, formula, table = entry
    title, clause = table.get(kind, (kind, "what is learnt is told by its documentation"))
    return Card(
        name=f"peft:{kind}",
        title=f"{title} (peft)",
        family=family,
        composition=composition,
        formula=formula,
        summary=(
            f"{title} as huggingface/peft {peft.__version__} implements it: {clause}. The code is the library's, and"
            " so are all defaults but the learning rate; budget, data, task head and measurements are those of every"
            " other method here. The entry cited is the library's, whose documentation names the method's paper."
        ),
        citation="mangrulkar2022peft",
        bibtex=_BIBTEX,
    )


class _Tasks:
    """Which task each example of the present batch is from, for the types that learn several at once: without
    `task_ids` among the inputs, the first."""

    def __init__(self) -> None:
        self.ids: Tensor | None = None

    def take(self, model: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        ids = (kwargs := dict(kwargs)).pop("task_ids", None)
        if ids is None:
            tokens = args[0] if args else kwargs["input_ids"]
            ids = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        self.ids = ids
        return args, kwargs

    def give(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return args, kwargs | {"task_ids": self.ids}


class _Prompted(PeftModelForSequenceClassification):
    """peft's wrapper around a model with a prompt, without the copy that it makes of the task head."""

    def __init__(self, model: PreTrainedModel, config: peft.PeftConfig, head: str) -> None:
        PeftModel.__init__(self, model, config, ADAPTER)
        self.cls_layer_name = head
        self.tasks = _Tasks()
        self.ends: Tensor | None = None

    def add_adapter(self, *args: Any, **kwargs: Any) -> None:
        PeftModel.add_adapter(self, *args, **kwargs)

    def bring_forward(self, backbone: nn.Module, args: tuple, output: Any) -> Any:
        """A decoder's head reads the last position when it gets embeddings, be it padding or not: what stands at
        each example's last token is put there."""
        if self.ends is None:
            return output
        hidden = output[0]
        last = hidden[torch.arange(len(hidden), device=hidden.device), self.ends][:, None]
        hidden = torch.cat([hidden[:, :-1], last], dim=1)
        if isinstance(output, tuple):
            return (hidden, *output[1:])
        output.last_hidden_state = hidden
        return output


@dataclasses.dataclass
class _Handle:
    """What peft made of a model. The model keeps it: in an object that is no module, since it holds the model."""

    tuner: Any
    gradients: dict[nn.Parameter, Tensor] = dataclasses.field(default_factory=dict)


def _forward_with_prompt(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
    prompted = _handle(self).tuner
    if args:
        kwargs["input_ids"], *_ = args
    if prompted.active_peft_config.peft_type == peft.PeftType.MULTITASK_PROMPT_TUNING:
        _, kwargs = prompted.tasks.take(self, (), kwargs)
        kwargs["task_ids"] = prompted.tasks.ids
    mask = kwargs.get("attention_mask")
    front = prompted.active_peft_config.peft_type not in (peft.PeftType.PREFIX_TUNING, peft.PeftType.CARTRIDGE)
    if front and mask is not None:
        places = torch.arange(mask.shape[1], device=mask.device)
        prompted.ends = prompted.active_peft_config.num_virtual_tokens + (mask.long() * places).argmax(dim=1)
    try:
        return prompted(**kwargs)
    finally:
        prompted.ends = None


class _Bridge(Method):
    """A method of peft. Subclasses are made by `get`, one for each type."""

    kind: ClassVar[str]
    config_class: ClassVar[type[peft.PeftConfig]]

    def config(self, anatomy: Anatomy, steps: int = 1_000_000) -> peft.PeftConfig:
        """peft's configuration. Raises whatever peft raises on options that it does not take."""
        options = {name: getattr(self, name) for name in type(self).model_fields if name not in Method.model_fields}
        options = copy.deepcopy(options)
        known = {field.name for field in dataclasses.fields(self.config_class)}
        if "total_step" in known:  # AdaLoRA's, which the budget tells when training begins
            options["total_step"] = steps
        if issubclass(self.config_class, peft.PromptLearningConfig):
            options["task_type"] = "SEQ_CLS"
        elif "target_modules" in known and options.get("target_modules") is None:
            options |= self._targets(anatomy)
        return self.config_class(**options)

    def _targets(self, anatomy: Anatomy) -> dict[str, Any]:
        """The modules to adapt where peft knows none for the architecture; nothing where it does."""
        tuner = PEFT_TYPE_TO_TUNER_MAPPING[_type(self.kind)]
        mapping = getattr(tuner, "target_module_mapping", None)
        if not mapping or anatomy.config.model_type in mapping:
            return {}
        targets = {site.attribute for name in ("query", "value") for site in anatomy.sites([name])}
        if "feedforward_modules" not in type(self).model_fields:
            return {"target_modules": sorted(targets)}
        inner = {site.attribute for site in anatomy.sites(["ffn_out"])}
        return {"target_modules": sorted(targets | inner), "feedforward_modules": sorted(inner)}

    def out_of_range(self, anatomy: Anatomy) -> str | None:
        if self.model_fields_set - Method.model_fields.keys():
            try:
                with _quiet():
                    self.config(anatomy)
            except Exception as error:
                return _one_line(error)
        return None

    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        """What peft says when it is tried: without weights first; and since some types look at weights, what fails
        there is tried on a copy of the model."""
        if self.kind in _OUT_OF_PLACE:
            return _OUT_OF_PLACE[self.kind]
        reason = None
        for trial in (_without_weights, _copy):
            try:
                with _quiet(), torch.random.fork_rng():
                    model = trial(anatomy)
                    twin = Anatomy(model, anatomy.head)
                    self.adapt(twin, task)
                    model.train()
                    model(**_few_tokens(model)).logits.sum().backward()
                return None
            except Exception as error:
                reason = _one_line(error)
            if next(anatomy.model.parameters()).is_meta:
                break
        return reason

    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        model = anatomy.model
        with _quiet():
            config = self.config(anatomy)
            tuner = self._prompt(anatomy, config) if config.is_prompt_learning else self._inject(model, config)
        object.__setattr__(model, "peft_handle", _Handle(tuner))
        parameters = dict(model.named_parameters())
        if gone := sorted(anatomy.head - parameters.keys()):
            raise ValueError(f"{self.card.name} would take the place of the task head ({gone[0]}); exclude it")
        for name in anatomy.head:
            parameters[name].requires_grad_(True)

    def _inject(self, model: PreTrainedModel, config: peft.PeftConfig) -> nn.Module:
        tuner = PEFT_TYPE_TO_TUNER_MAPPING[_type(self.kind)](model, {ADAPTER: config}, ADAPTER)
        for name, shared in list(tuner.named_children()):
            if name != "model":  # what the layers share belongs to the model, which is what is moved and trained
                model.add_module(f"peft_{name}", shared)
        if self.kind == "poly":
            tasks = _Tasks()
            model.register_forward_pre_hook(tasks.take, with_kwargs=True)
            for module in model.modules():
                if isinstance(module, tuner.tuner_layer_cls):
                    module.register_forward_pre_hook(tasks.give, with_kwargs=True)
        return tuner

    def _prompt(self, anatomy: Anatomy, config: peft.PeftConfig) -> nn.Module:
        model = anatomy.model
        anatomy.freeze()
        # A shallow copy: the dictionaries of submodules, parameters and buffers are the model's own.
        view = copy.copy(model)
        prompted = _Prompted(view, config, min(anatomy.head).partition(".")[0])
        model.add_module(_PROMPT, prompted.prompt_encoder)
        model.forward = types.MethodType(_forward_with_prompt, model)
        if anatomy.causal:
            anatomy.backbone.register_forward_hook(prompted.bring_forward)
        return prompted

    def on_phase(self, anatomy: Anatomy, phase: Phase, steps: int) -> None:
        tuner = _tuner(anatomy.model)
        if (allocator := getattr(tuner, "rankallocator", None)) is not None:
            config = tuner.peft_config[ADAPTER]
            if config.tinit >= steps - config.tfinal:
                raise ValueError(
                    f"tinit {config.tinit} and tfinal {config.tfinal} leave no step of {steps} between them; lower them"
                )
            config.total_step = steps
            allocator.set_total_step(steps)

    def after_backward(self, anatomy: Anatomy, step: int) -> None:
        """peft's allocation of rank wants gradients after the optimiser's step, by when they are gone."""
        if hasattr(_tuner(anatomy.model), "update_and_allocate"):
            kept = {p: p.grad for p in anatomy.model.parameters() if p.grad is not None}
            _handle(anatomy.model).gradients = kept

    def after_step(self, anatomy: Anatomy, step: int, optimizer: Optimizer) -> None:
        tuner = _tuner(anatomy.model)
        if not hasattr(tuner, "update_and_allocate"):
            return
        gradients = _handle(anatomy.model).gradients
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        tuner.update_and_allocate(step)
        for parameter in gradients:
            parameter.grad = None
        gradients.clear()

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """What is trainable, and the whole of a prompt: a cartridge's first vectors are drawn and not trained. What
        else peft draws and does not train, it draws from a seed among the options."""
        return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad or n.startswith(_PROMPT)}

    def merge(self, model: nn.Module) -> bool:
        """By peft's own merging, where it has one and the predictions stay: both are tried on a copy first."""
        if not isinstance(_tuner(model), BaseTuner):
            return False
        try:
            with _quiet(), torch.no_grad():
                twin = copy.deepcopy(model).eval()
                before = twin(**_few_tokens(twin)).logits
                _merge(twin)
                after = twin(**_few_tokens(twin)).logits
        except Exception:
            return False
        if not torch.allclose(before, after, rtol=1e-2, atol=1e-3):
            return False
        with _quiet():
            _merge(model)
        return True


def _merge(model: nn.Module) -> None:
    tuner = _tuner(model)
    shared = [f"peft_{name}" for name, _ in tuner.named_children() if name != "model"]
    head = {name: p.requires_grad for name, p in model.named_parameters()}
    tuner.merge_and_unload()
    if any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        raise ValueError("peft left layers of its own behind")
    for name in shared:
        delattr(model, name)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(head.get(name, False))
    del model.peft_handle


def _handle(model: nn.Module) -> _Handle:
    return cast("_Handle", model.peft_handle)


def _tuner(model: nn.Module) -> Any:
    """A tuner of peft's, or, for a prompt, its wrapper."""
    return _handle(model).tuner


def _without_weights(anatomy: Anatomy) -> PreTrainedModel:
    with torch.device("meta"):
        return type(anatomy.model)(copy.deepcopy(anatomy.config))


def _copy(anatomy: Anatomy) -> PreTrainedModel:
    return copy.deepcopy(anatomy.model)


def _few_tokens(model: nn.Module) -> dict[str, Tensor]:
    """One example, of which some heads read the end."""
    device = next(model.parameters()).device
    end = getattr(model.config, "eos_token_id", None)
    ids = torch.tensor([[3, 4, 5, end if isinstance(end, int) else 6]], device=device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _one_line(error: Exception) -> str:
    """What peft says; with the type of the error where it is not said on purpose."""
    text = " ".join(str(error).split())
    return text if text and isinstance(error, ValueError) else f"{type(error).__name__}: {text}".removesuffix(": ")
