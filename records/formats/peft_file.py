"""A result file of huggingface/peft's method_comparison: what of it is read, and checked before it is used."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from records.formats.peft_benchmarks import BENCHMARKS, Benchmark
from records.text import one_line, printable

# The longest published is not a hundredth of it, nor nested half as deeply.
LONGEST = 16 * 2**20
DEEPEST = 40


class UnusableFile(Exception):
    """No result file that can be read; the message says why in one line, to be put after the file's name."""


def _plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return text


def _experiment(name: str) -> str:
    parts = name.split("/")
    if len(parts) != 2 or any(part.strip(". ") == "" for part in parts):
        raise ValueError("is to be <method>/<experiment>")
    return _plain(name)


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class _Part(BaseModel):
    """A mapping of the file. No text is taken for a number; what is not named here stays in `model_extra`."""

    model_config = ConfigDict(strict=True, extra="allow")

    @property
    def other(self) -> dict[str, Any]:
        """What is not named here."""
        return self.model_extra or {}


class TrainConfig(_Part):
    """How it was trained."""

    model_id: Text
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    dtype: Text | None = None
    optimizer_kwargs: dict[str, Any] = {}


class RunInfo(_Part):
    """`peft_config` is None where all of the model is trained."""

    created_at: Annotated[str, Field(max_length=40), AfterValidator(_moment)]
    total_time: Seconds
    experiment_name: Annotated[str, Field(max_length=200), AfterValidator(_experiment)]
    peft_branch: Text | None = None
    train_config: TrainConfig
    peft_config: dict[str, Any] | None
    error_msg: str | None = None


class Line(_Part):
    """What was measured every so many steps, and at the end. `train_time` is that of the steps since the line before,
    in seconds."""

    step: Count | None = None
    train_loss: float | None = Field(None, alias="train loss")
    samples: Count | None = Field(None, alias="train samples")
    tokens: Count | None = Field(None, alias="train total tokens")
    train_time: Seconds | None = Field(None, alias="train time")
    tokens_per_second: Rate | None = Field(None, alias="tokens / sec")


class TrainInfo(_Part):
    """Memory and sizes in bytes."""

    accelerator_memory_max: Count | None = None
    file_size: Count | None = None
    num_trainable_params: Count | None = None
    status: Text
    metrics: list[Line]


class ModelInfo(_Part):
    """The model's commit."""

    sha: Text | None = None


class MetaInfo(_Part):
    """Versions, commits and hardware."""

    model_info: ModelInfo | None = None
    dataset_info: dict[str, Any] = {}
    package_info: dict[str, Text | None] = {}
    system_info: dict[str, Text | None] = {}


class Content(_Part):
    """The whole."""

    run_info: RunInfo
    train_info: TrainInfo
    meta_info: MetaInfo = MetaInfo()


@dataclass(frozen=True)
class Experiment:
    """A result file, read and checked. `data` is the whole of it."""

    name: str
    data: bytes
    benchmark: Benchmark
    content: Content

    @property
    def digest(self) -> str:
        """The file's SHA-256."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def experiment(self) -> str:
        """Its name where it was published: <method>/<experiment>."""
        return self.content.run_info.experiment_name

    @property
    def succeeded(self) -> bool:
        """Whether the run came to its end."""
        return self.content.train_info.status == "success"

    @property
    def finished(self) -> str:
        """When the run ended, in ISO 8601. Raises OverflowError where that is after the end of the calendar."""
        run = self.content.run_info
        ended = datetime.fromisoformat(run.created_at) + timedelta(seconds=run.total_time)
        return ended.isoformat(timespec="seconds")

    @property
    def kind(self) -> str | None:
        """peft's type in lower case; None where all of the model is trained."""
        config = self.content.run_info.peft_config
        return None if config is None else str(config["peft_type"]).lower()

    @property
    def method(self) -> str:
        """As this benchmark names it."""
        return "full" if self.kind is None else f"peft:{self.kind}"

    @property
    def label(self) -> str:
        """The experiment's name without the model's, with which its second part begins."""
        method, name = self.experiment.split("/")
        model = _letters(self.content.run_info.train_config.model_id.rpartition("/")[2])
        parts = name.split("-")
        while len(parts) > 1 and (part := _letters(parts[0])) and part in model:
            model = model[model.index(part) + len(part) :]
            parts = parts[1:]
        return f"{method}/{'-'.join(parts)}"

    def scores(self, split: str) -> dict[str, float]:
        """The last of each metric on "test" or "valid", the primary one first. Raises UnusableFile where one is no
        number."""
        names = {f"{split} {self.benchmark.metric}": self.benchmark.metric}
        if split == "test":
            names |= {name: name for name in self.benchmark.others}
        told = [(metric, score_in(line, name)) for name, metric in names.items() for line in self.lines]
        return {metric: value for metric, value in told if value is not None}

    @property
    def lines(self) -> list[Line]:
        """What was measured, in order."""
        return self.content.train_info.metrics


def score_in(line: Line, name: str) -> float | None:
    """A score that a line may have. Raises UnusableFile where it is no number."""
    value = line.other.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnusableFile(f"train_info.metrics: {name!r} is to be a finite number")
    return float(value)


def read(name: str, data: bytes) -> Experiment:
    """From a file's name and content. Raises UnusableFile."""
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnusableFile(f"is no JSON that can be read ({one_line(error, 100)})") from None
    if not isinstance(plain, dict) or _depth(plain) > DEEPEST:
        raise UnusableFile("is no result file: that is a mapping, and not nested deeply")
    try:
        content = Content.model_validate(plain)
    except ValidationError as error:
        raise UnusableFile(_first_fault(error)) from None
    config = content.run_info.train_config.other
    benchmark = next((each for each in BENCHMARKS if each.key in config), None)
    if benchmark is None:
        keys = " nor ".join(repr(each.key) for each in BENCHMARKS)
        raise UnusableFile(f"run_info.train_config: has neither {keys}: of a benchmark that is not known")
    found = Experiment(name, data, benchmark, content)
    _check(found)
    return found


def _check(found: Experiment) -> None:
    """What the types do not hold."""
    try:
        _ = found.finished
    except OverflowError:
        raise UnusableFile("run_info.created_at: is no day of any calendar") from None
    config, primary = found.content.run_info.peft_config, found.benchmark.metric
    if config is not None and not re.fullmatch("[A-Za-z0-9_]{1,60}", str(config.get("peft_type"))):
        raise UnusableFile("run_info.peft_config.peft_type: names no type")
    if found.succeeded and primary not in found.scores("test"):
        raise UnusableFile(f"train_info.metrics: lacks {'test ' + primary!r}")
    scales = found.benchmark.card.scales
    scored = [
        (f"{split} {metric}", metric, value)
        for split in ("test", "valid")
        for metric, value in found.scores(split).items()
    ]
    for name, metric, value in scored:
        if not scales[metric].allows(value):
            raise UnusableFile(f"train_info.metrics: {name!r} of {value:g} is out of its range")


def _depth(plain: Any) -> int:
    """How deeply lists and mappings are nested; no more than one above DEEPEST is looked at."""
    depth, level = 0, [plain]
    while level and depth <= DEEPEST:
        depth += 1
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [each for of in inner for each in of]
    return depth


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return one_line(printable(f"{place}: {first['msg'].removeprefix('Value error, ')}"), 200)


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())
