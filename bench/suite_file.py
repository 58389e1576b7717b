"""What a suite file may say: its keys and their types, strictly. What looks alike and is not is told apart here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from bench.cluster_options import SlurmOptions
from bench.durations import seconds_of
from bench.sizes import bytes_of
from bench.yaml_lines import Place
from records.cell import Budget, FormName
from records.text import composed
from records.tuning import Tuning, tuned_label
from records.vocabulary import nearest

# NumPy's generators of old, which libraries draw from, take no other.
MOST_SEED = 2**32 - 1
MOST_INTEGER = 2**63 - 1
# As need of memory: what the cost profiles of the same cells have found.
AS_PROFILED = "auto"


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError("a name is empty")
    if odd := [char for char in text if not char.isprintable()]:
        raise ValueError(f"a name is printable, on one line, and has no U+{ord(odd[0]):04X} in it")
    return text


def _way_to_profile(value: object) -> object:
    """Said here, since of two types pydantic would say two things."""
    if isinstance(value, bool) or value == "brief":
        return value
    raise ValueError(f"{value!r} is no way to profile; write true or false, or brief")


Name = Annotated[str, AfterValidator(_name)]
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]


class Keep(BaseModel):
    """What of a cell is kept beside its record. Nothing of it changes a result, or a cell's identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    predictions: bool = Field(True, description="what the model answered on each test example")
    texts: bool = Field(True, description="the test examples themselves, once for all cells of a task")
    state: Literal["all", "adapters", "none"] = Field(
        "adapters", description="what the method learnt, head included: `adapters` are states below 25 MB"
    )


class SuiteFile(BaseModel):
    """The YAML file, as it is written. `tasks` and `methods` are mappings from a name to its options, or
    plain lists of names. A method's key may carry a label after an @, as in `lora@r64`."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field("", description="a sentence on what it is for, as `bench list suites` shows it")
    notes: str = Field("", description="said in the report's limitations, as on how learning rates were found")
    backbones: list[Name] = Field(
        min_length=1, description="`embedded:<name>`, a folder, a GGUF file, or organisation/name@revision on the hub"
    )
    tasks: dict[Name, dict[str, Any]] = Field(
        min_length=1,
        description="names, with options where there are some; values of the budget are for the task alone",
    )
    methods: dict[Name, dict[str, Any]] = Field(
        min_length=1, description="names, with hyperparameters where there are some; `lora@r64` is a second `lora`"
    )
    seeds: list[Seed] = Field(min_length=1, description="of data, heads and methods: each gives a cell")
    budget: Budget = Field(Budget(), description="what every cell may spend")
    precision: Literal["auto", "bf16", "no"] = Field(
        "auto", description="arithmetic of training: `auto` is bf16 where the device computes in it, `no` is fp32"
    )
    form: FormName = Field("head", description="how tasks that allow both are put to a backbone")
    margin: float = Field(
        1.0,
        gt=0,
        le=100,
        strict=True,
        description="a difference of fewer points than this is none in practice: within it, two are called practically"
        " equal; of a metric that is no fraction, the same share in percent",
    )
    forgetting: Name | None = Field(None, description="a task whose test texts tell what a language model forgot")
    profile: Annotated[bool | Literal["brief"], BeforeValidator(_way_to_profile)] = Field(
        True,
        description="whether the cost of every configuration is profiled (a search needs scores alone); `brief`: times"
        " are those of one round, and too rough to compare",
    )
    keep: Keep = Field(Keep(), description="what of a cell is kept beside its record")
    time_limit: str = Field("12 h", description="how long a cell may train, and be profiled; `none` is without end")
    checkpoint: str = Field(
        "5 min", description="how often a training is saved, to be gone on with where it is cut off; `none` is never"
    )
    processes: int = Field(1, ge=1, le=64, description="processes that a cell trains in, each on a GPU of its own")
    shard: bool = Field(False, strict=True, description="whether a cell's processes divide the backbone's weights")
    share: int | None = Field(None, ge=1, description="cells at a time on one GPU; one by default")
    gpu_memory: str | None = Field(
        None, description="what a cell takes of a GPU's memory, as '8 GB', or `auto`: no more share a GPU than fit"
    )
    slurm: SlurmOptions = Field(SlurmOptions(), description="what `--launcher slurm` asks of the cluster for a job")
    tuning: Tuning | None = Field(None, description="how `bench tune` searches the methods' hyperparameters")
    plugins: list[Path] = Field([], description="files of methods and tasks, as seen from this one")

    @field_validator("time_limit", "checkpoint", mode="before")
    @classmethod
    def _length_of_time(cls, value: Any) -> str:
        text = "none" if value is None else str(value)
        seconds_of(text)
        return text

    @field_validator("gpu_memory")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value not in (None, AS_PROFILED):
            bytes_of(value)
        return value

    @field_validator("tasks", "methods", mode="before")
    @classmethod
    def _names_to_mapping(cls, value: Any) -> Any:
        if isinstance(value, list):
            if odd := [name for name in value if not isinstance(name, str)]:
                raise ValueError(f"takes names, or a mapping from names to options; {odd[0]!r} is no name")
            if doubled := {name for name in value if value.count(name) > 1}:
                raise ValueError(f"{', '.join(sorted(doubled))}: named twice")
            return {name: {} for name in value}
        if isinstance(value, dict):
            return {key: {} if options is None else options for key, options in value.items()}
        return value

    @field_validator("backbones", "seeds")
    @classmethod
    def _unique(cls, value: list[Any]) -> list[Any]:
        if len(set(value)) != len(value):
            raise ValueError("an entry is there twice")
        return value

    @field_validator("backbones", "tasks")
    @classmethod
    def _names_that_look_alike(cls, value: Any) -> Any:
        _refuse_twins(value, composed, "in how their letters are composed")
        return value

    @field_validator("methods")
    @classmethod
    def _labels_that_look_alike(cls, value: Any) -> Any:
        _refuse_twins(value, lambda name: composed(name).casefold(), "in case alone")
        if bare := [label for label in value if label.endswith("@")]:
            raise ValueError(f"{bare[0]!r}: a label stands after the @")
        return value

    @field_validator("tuning")
    @classmethod
    def _apart_from_what_is_reported(cls, value: Tuning | None, info: ValidationInfo) -> Tuning | None:
        if value is None:
            return None
        if shared := sorted({*value.seeds} & {*info.data.get("seeds", ())}):
            raise ValueError(f"seed {shared[0]} is one of the suite's; a search has seeds of its own, as in [100]")
        if value.task is not None and value.task not in (tasks := info.data.get("tasks", {value.task: {}})):
            raise ValueError(f"its task is one of the suite's: {', '.join(tasks)}")
        labels = info.data.get("methods", {})
        if twins := [label for label in labels if tuned_label(label) in labels]:
            raise ValueError(
                f"{tuned_label(twins[0])!r} is what the search calls {twins[0]!r} once tuned; rename the method"
            )
        return value


def _refuse_twins(names: Iterable[str], key: Callable[[str], str], how: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (twin := seen.setdefault(key(name), name)) != name:
            raise ValueError(f"{twin!r} and {name!r} differ {how}; a reader could not tell them apart")


def odd_values(data: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Places of values that no key takes, with what is wrong with them."""
    if isinstance(data, dict):
        for key, value in data.items():
            if odd := [char for char in key if not char.isprintable()]:
                yield (*place, key), f"a key is printable, on one line, and has no U+{ord(odd[0]):04X} in it"
            yield from odd_values(value, (*place, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from odd_values(value, (*place, index))
    elif isinstance(data, float) and not abs(data) < float("inf"):
        yield place, f"takes a finite number, got {data}"
    elif isinstance(data, int) and abs(data) > MOST_INTEGER:
        yield place, f"{data} is too large a number"
    elif isinstance(data, str) and (
        odd := [c for c in data if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    ):
        yield place, f"has the control character U+{ord(odd[0]):04X} in it"


def _explain_type(kind: str, value: Any) -> str:
    """What to write in place of a value of another type: a hint to follow the message, or nothing."""
    if kind == "bool_type":
        return "; write true or false"
    if kind not in ("int_type", "float_type", "int_from_float"):
        return ""
    if isinstance(value, bool):
        return f"; {str(value).lower()} is no number"
    if isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if isinstance(value, str) and re.fullmatch(r"[-+]?0[0-9_]+", value):
        return "; write it without the zero in front, which some readers take for base eight"
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9][0-9_]*(\.[0-9]*)?([eE][-+]?[0-9]+)?", value):
        return "; write it without quotes and underscores"
    return ""


def explained(
    error: ValidationError, data: Any, model: type[BaseModel], noun: str
) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Each fault that a `model` has found in the data, with its place there; `noun` is what the model's fields are."""
    for detail in error.errors():
        yield tuple(_path_in_file(data, detail["loc"])), _explain(detail, model, noun)


def _path_in_file(data: Any, location: tuple[int | str, ...]) -> Iterator[int | str]:
    """The part of an error's location that is a place in the file (pydantic adds names of its own types)."""
    for step in location:
        if step == "[key]":  # what pydantic calls a mapping's key itself
            return
        yield step
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return


# The keys of a suite that have keys of their own, and what those are called.
_PARTS: dict[str, tuple[type[BaseModel], str]] = {
    "budget": (Budget, "budget value"),
    "keep": (Keep, "key of keep"),
    "slurm": (SlurmOptions, "key of slurm"),
    "tuning": (Tuning, "key of tuning"),
}


def _where_it_stands(name: str) -> str:
    """Of a key that is written in the wrong place: where it is known, to follow the message, or nothing."""
    if name in SuiteFile.model_fields:
        return f"; {name!r} is a key of the suite itself, at its left margin;"
    parts = (part for part, (model, _) in _PARTS.items() if name in model.model_fields)
    return f"; {name!r} stands under {part!r};" if (part := next(parts, None)) else ""


def _explain(detail: Any, model: type[BaseModel], noun: str) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        part = _PARTS.get(str(detail["loc"][0]) if len(detail["loc"]) > 1 else "")
        fields, noun = (part[0].model_fields, part[1]) if part else (model.model_fields, noun)
        hint = _where_it_stands(name) or nearest(name, fields) or ";"
        return f"unknown {noun}{hint} known: {', '.join(fields) or 'none'}"
    if detail["type"] == "missing":
        return f"the key {name!r} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    got = repr(detail["input"])
    got = got if len(got) <= 80 else f"{got[:80]}…"
    return f"{message[0].lower()}{message[1:]}, got {got}{_explain_type(detail['type'], detail['input'])}"
