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

import copy
import dataclasses
import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar, cast

import peft
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from pydantic import Field, TypeAdapter, create_model
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel
from typing_extensions import override

from methods.anatomy import Anatomy, UnsupportedBackbone
from methods.base import Card, Method, MethodBase, PeftForm, Phase, TaskInfo
from methods.composition.exchange import INSIDE
from methods.composition.inputs import count_positions, length_out_of_range
from methods.library.peft_prompts import ADAPTER, CACHES, WRAPPERS, Tasks, forward_with_prompt
from methods.library.peft_trials import few_tokens, on_purpose, quiet, without_weights
from methods.library.peft_types import FAMILIES
from methods.papers import PAPERS
from records.text import one_line

REVISION = f"peft-{peft.__version__}"

# Fields of peft's configurations that say where a model comes from or what is done with it, which is not the user's
# choice here; and the number of training steps, which the budget decides.
_OURS = {
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "revision",
    "runtime_config",
    "task_type",
    "total_step",
}
# What a cell has no place for.
_OUT_OF_PLACE = {"xlora": "mixes LoRAs that were trained before, where a cell starts from the backbone alone"}
# Where peft has no default, or one that does not suit a process without a terminal.
_DEFAULTS: dict[str, Any] = {"num_virtual_tokens": 20, "progressbar": False}
# In a model of ours, before the name of what belongs to a tuner of peft's, or to its wrapper.
SHARED = "peft_"
_PROMPT = f"{SHARED}prompt_encoder"


def names() -> list[str]:
    """Every type that the installed version has, in its own order."""
    return [kind.value.lower() for kind in PEFT_TYPE_TO_CONFIG_MAPPING]


@cache
def get(kind: str) -> type[MethodBase]:
    """The method for a type, or for `path` that of adapters which were trained elsewhere. Raises KeyError where the
    installed version has none of that name."""
    if kind == "path":
        from methods.library.peft_adapter import PeftAdapter  # which itself puts types of ours on a model

        return PeftAdapter
    config_class = _config_classes()[kind]
    fields = dict(_fields(config_class))
    made = create_model(f"Peft_{kind}", __base__=_PeftMethod, __module__=__name__, **fields)
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
        bibtex=PAPERS.bibtex(["mangrulkar2022peft"]),
    )


@dataclasses.dataclass
class _Handle:
    """What peft made of a model. The model keeps it: in an object that is no module, since it holds the model."""

    tuner: Any
    gradients: dict[nn.Parameter, Tensor] = dataclasses.field(default_factory=dict)


class _PeftMethod(Method):
    """A method of peft. Subclasses are made by `get`, one for each type."""

    identical_at_start: ClassVar[bool] = False
    revision: ClassVar[int] = 2
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
            options["task_type"] = task_type(self.kind, anatomy)
            if options.get("token_dim") is None:
                # Which some architectures have another size for than for their hidden states.
                embeddings = cast("Tensor", anatomy.model.get_input_embeddings().weight)
                cached = _type(self.kind) in CACHES
                options["token_dim"] = anatomy.num_heads * anatomy.head_dim if cached else embeddings.shape[1]
        elif "target_modules" in known and options.get("target_modules") is None:
            options |= self._targets(anatomy)
        return self.config_class(**options)

    @property
    @override
    def extra_positions(self) -> int:
        """A prompt's, and those of keys and values in a cache, after which models count on."""
        prompts = issubclass(self.config_class, peft.PromptLearningConfig)
        return int(getattr(self, "num_virtual_tokens", None) or 0) if prompts else 0

    @property
    @override
    def acts_between_steps(self) -> bool:
        return hasattr(PEFT_TYPE_TO_TUNER_MAPPING.get(_type(self.kind)), "update_and_allocate")

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

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        if self.model_fields_set - Method.model_fields.keys():
            try:
                with quiet():
                    config = self.config(anatomy)
            except Exception as error:
                if not on_purpose(error):
                    raise
                return one_line(error)
            if config.is_prompt_learning and config.peft_type not in CACHES:
                return length_out_of_range(cast("Any", config).num_virtual_tokens, anatomy)
        return None

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        """What peft says when it is tried: without weights first; and since some types look at weights, what fails
        there is tried on a copy of the model. An error that nobody raised on purpose is no reason, and is raised."""
        if self.kind in _OUT_OF_PLACE:
            return _OUT_OF_PLACE[self.kind]
        try:
            self._try(without_weights(anatomy), anatomy, task)
        except Exception:
            try:
                self._try(copy.deepcopy(anatomy.model), anatomy, task)
            except Exception as error:
                if not on_purpose(error):
                    raise
                return one_line(error)
        return None

    def _try(self, model: PreTrainedModel, anatomy: Anatomy, task: TaskInfo) -> None:
        with quiet(), torch.random.fork_rng():
            self.adapt(Anatomy(model, anatomy.head), task)
            model.train()
            model(**few_tokens(model)).logits.sum().backward()

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        """Raises UnsupportedBackbone where there is nothing to adapt, or the task head would be."""
        model = anatomy.model
        if reason := _not_offered(self.kind, anatomy):
            raise UnsupportedBackbone(reason)
        with quiet():
            put_on(self.kind, anatomy, self.config(anatomy))
        parameters = dict(model.named_parameters())
        if gone := sorted(anatomy.head - parameters.keys()):
            raise UnsupportedBackbone(f"{self.card.name} would take the place of the task head ({gone[0]}); exclude it")
        if not any(p.requires_grad for name, p in parameters.items() if name not in anatomy.head):
            raise UnsupportedBackbone(f"{self.card.name} finds nothing to adapt in {type(model).__name__}")
        for name in anatomy.head:
            parameters[name].requires_grad_(True)

    @override
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

    @override
    def after_backward(self, anatomy: Anatomy, step: int) -> None:
        """peft's allocation of rank wants gradients after the optimiser's step, by when they are gone."""
        if hasattr(_tuner(anatomy.model), "update_and_allocate"):
            kept = {p: p.grad for p in anatomy.model.parameters() if p.grad is not None}
            _handle(anatomy.model).gradients = kept

    @override
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

    @override
    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """What is trainable, and the whole of a prompt: a cartridge's first vectors are drawn and not trained. What
        else peft draws and does not train, it draws from a seed among the options."""
        return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad or n.startswith(_PROMPT)}

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        """peft's configuration and tensors as they are, but for the names of what the layers share and of a prompt."""
        config = _tuner(anatomy.model).peft_config[ADAPTER]
        known = [field.name for field in dataclasses.fields(config) if field.init]
        options = {name: getattr(config, name) for name in known if name not in _OURS or name == "total_step"}
        learnt = {name: value for name, value in self.state(anatomy.model).items() if name not in anatomy.head}
        shared = {name: value for name, value in anatomy.model.state_dict().items() if name.startswith(SHARED)}
        tensors = {_name_in_peft(name): value for name, value in (shared | learnt).items()}
        return PeftForm(config.peft_type.value, options, tensors)

    @override
    def merge(self, model: nn.Module) -> bool:
        """By peft's own merging, where it has one and the predictions stay: both are tried on a copy first."""
        if not isinstance(_tuner(model), BaseTuner):
            return False
        try:
            with quiet(), torch.no_grad():
                twin = copy.deepcopy(model).eval()
                before = twin(**few_tokens(twin)).logits
                _merge(twin)
                after = twin(**few_tokens(twin)).logits
        except Exception:
            return False
        if not torch.allclose(before, after, rtol=1e-2, atol=1e-3):
            return False
        with quiet():
            _merge(model)
        return True


def put_on(kind: str, anatomy: Anatomy, config: peft.PeftConfig) -> Any:
    """Has peft change the model by a type's configuration, and returns its tuner, or its wrapper for a prompt."""
    tuner = _prompt(anatomy, config) if config.is_prompt_learning else _inject(kind, anatomy.model, config)
    object.__setattr__(anatomy.model, "peft_handle", _Handle(tuner))
    return tuner


def _inject(kind: str, model: PreTrainedModel, config: peft.PeftConfig) -> nn.Module:
    tuner = PEFT_TYPE_TO_TUNER_MAPPING[_type(kind)](model, {ADAPTER: config}, ADAPTER)
    for name, shared in list(tuner.named_children()):
        if name != "model":  # what the layers share belongs to the model, which is what is moved and trained
            model.add_module(f"{SHARED}{name}", shared)
    if kind == "poly":
        tasks = Tasks()
        model.register_forward_pre_hook(tasks.take, with_kwargs=True)
        for module in model.modules():
            if isinstance(module, tuner.tuner_layer_cls):
                module.register_forward_pre_hook(tasks.give, with_kwargs=True)
    return tuner


def _prompt(anatomy: Anatomy, config: peft.PeftConfig) -> nn.Module:
    model = anatomy.model
    anatomy.freeze()
    # A shallow copy: the dictionaries of submodules, parameters and buffers are the model's own.
    view = copy.copy(model)
    wrapper = WRAPPERS[str(config.task_type)]
    prompted = wrapper(view, config, min(anatomy.head).partition(".")[0] if anatomy.head else None)
    model.add_module(_PROMPT, prompted.prompt_encoder)
    model.forward = types.MethodType(forward_with_prompt, model)
    if anatomy.causal:
        # What is padded on the left must not drift away from the prompt.
        anatomy.reader.register_forward_pre_hook(count_positions, with_kwargs=True)
        if anatomy.head:
            anatomy.backbone.register_forward_hook(prompted.bring_forward)
    return prompted


def task_type(kind: str, anatomy: Anatomy) -> str:
    """peft's name for what the model gives: without a head of the task's own, words."""
    if kind == "cpt":
        return "CAUSAL_LM"
    if anatomy.head:
        return "SEQ_CLS"
    return "SEQ_2_SEQ_LM" if anatomy.encodes_and_decodes else "CAUSAL_LM"


def _not_offered(kind: str, anatomy: Anatomy) -> str | None:
    """What peft's wrappers have no place for, and say in no words of their own."""
    prompts = kind != "cpt" and issubclass(_config_classes()[kind], peft.PromptLearningConfig)
    if prompts and anatomy.head and anatomy.encodes_and_decodes:
        return "peft puts no prompt before an encoder-decoder under a task head; it does where it is asked in words"
    if kind == "cpt" and (anatomy.head or anatomy.encodes_and_decodes):
        return "peft offers CPT for CAUSAL_LM alone: for a decoder that is asked in words"
    if kind == "multitask_prompt_tuning" and not anatomy.head and anatomy.encodes_and_decodes:
        return "peft offers multitask prompt tuning of an encoder-decoder in training alone, where it knows the answer"
    return None


def _name_in_peft(name: str) -> str:
    """What a `PeftModel` calls a tensor of ours."""
    if name.startswith(_PROMPT):
        return name.removeprefix(SHARED)
    return f"base_model.{name.removeprefix(SHARED)}" if name.startswith(SHARED) else f"{INSIDE}{name}"


def _merge(model: nn.Module) -> None:
    tuner = _tuner(model)
    shared = [f"{SHARED}{name}" for name, _ in tuner.named_children() if name != "model"]
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
