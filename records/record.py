"""What one cell leaves behind, and what a results folder is about: the schema of every file that a run writes.

The schema has a number. A file of a newer one is refused, one of an older one is brought up to date where it is read
(`records.migration`), so that these types are the only shape that anybody else meets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from records.cards import Cards
from records.cell import Cell
from records.redaction import redacted
from records.text import one_line
from records.vocabulary import Rounds

SCHEMA = 3

# `broken` is never written: it is how a record that cannot be read is shown.
Status = Literal["trained", "ok", "failed", "n/a", "broken"]

# An undefined score (NaN, or an infinity) stays what it is: JSON has no such numbers, so they are written as words.
UNDEFINED_AS_WORDS = ConfigDict(ser_json_inf_nan="strings")

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Joules = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Measured = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# What a cell's id is, and what a folder's name must be to be read or written.
CellId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
# What a cell may leave beside its record, and the SHA-256 of a file.
KeptFile = Literal["predictions.parquet", "state.safetensors", "published.json"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Evaluation(BaseModel):
    """One line of a cell's history: the mean training loss since the last line, and validation metrics. What others
    published may tell of neither epoch nor validation loss."""

    model_config = UNDEFINED_AS_WORDS

    step: Count
    epoch: float | None = None
    phase: str
    train_loss: float
    validation_loss: float | None = None
    validation: dict[str, float]


class DataUse(BaseModel):
    """Examples used, and what was left out; None is what others, who published it, do not tell.
    `duplicates_removed` counts training or validation texts dropped because a later split holds them too, `dropped`
    rows that the task itself left out, by reason, and `commits` the repositories that the data came from.
    `unknown_tokens` is the share of the training texts' tokens that the backbone's vocabulary lacks, `unasked` how many
    test examples could not be put to the model, and are scored as without an answer."""

    train: Count | None = None
    validation: Count | None = None
    test: Count | None = None
    duplicates_removed: Count | None = None
    train_tokens: Count | None = Field(None, description="tokens seen in training, padding excluded")
    steps: Count
    commits: dict[str, str] = {}
    dropped: dict[str, Count] = {}
    unknown_tokens: float | None = None
    unasked: Count = 0


class Parameters(BaseModel):
    """Counts. `adapter` and `head` are trainable; `backbone` is the pretrained model without a head.
    `percent` is the adapter's share of the backbone, in percent. None: not told by whoever published it."""

    adapter: Count
    head: Count
    total: Count
    backbone: Count | None = None
    percent: float | None = Field(None, ge=0)


class StepCost(BaseModel):
    """What a few stamped steps of training tell beside the step's time; None where that was not measured.

    Percent of the step's time that its forward pass, its backward pass and the rest (clipping, optimiser, schedule, the
    method's own) take, which add up to 100; FLOP/s of the step in percent of those that a product of large square
    matrices reaches in the same minute, in the same precision (`peak_percent`); and joules, of all that the counter of
    the processor's package or of the GPU counts."""

    forward_percent: Percent | None = None
    backward_percent: Percent | None = None
    optimizer_percent: Percent | None = None
    peak_percent: Percent | None = None
    step_joules: Joules | None = None


class PhaseCost(StepCost):
    """One phase under the profile's protocol. `step_ratio` is the median of a step's time over the yardstick's, which
    was timed in turn with it, and `step_quartiles` are the first and third of these ratios; `step_seconds` is the
    yardstick's median time, times the ratio. Bytes are counted in one step."""

    name: str
    share: float
    trainable_parameters: Count
    step_seconds: Seconds
    step_ratio: float | None = None
    step_quartiles: tuple[float, float] | None = None
    tokens_per_second: float
    train_flops: Count
    gradient_bytes: Count
    optimizer_bytes: Count
    activation_bytes: Count


class Beside(BaseModel):
    """Seconds of what was timed in turn with the plain backbone: the backbone's own, times the median ratio, with the
    method in place and, where it merges, merged. One round of three pairs: a tenth is told, not a hundredth."""

    seconds: Measured
    merged_seconds: Measured | None = None
    backbone_seconds: Measured


class Passes(Beside):
    """A pass of inference of so many texts of the budget's length."""

    texts: int = Field(ge=1)


class Generation(Beside):
    """So many new tokens after one prompt, greedily; prompt and tokens together have the budget's length."""

    tokens: int = Field(ge=1)


class Cost(StepCost):
    """Measured with the machine to itself. Seconds and tokens/s are timed; FLOPs and bytes (but for the
    peak) are counted. `inference_seconds` is one batch of the protocol's shape, with what the method puts in front
    of it: `backbone_inference_seconds`, times the median ratio of passes timed side by side.
    `merged_inference_seconds` is None where the method does not merge; times of training are None where nothing is
    trained, and the peak is then that of inference. Figures of the whole training weigh phases by their share; bytes
    take the worst phase.

    `yardstick_seconds` is a training step of the plain backbone in which nothing is trained: `step_seconds` is that,
    times the median ratio of neighbours, and compares with other cells by this ratio alone. `rounds` has the median
    ratio of each round of timing: of steps to the yardstick's, of passes of inference to the backbone's. `drifted` says
    that the machine was too restless to tell a ratio within five percent.

    `passes` and `generation` are glances at inference of other shapes. `matmul_flops_per_second` is what a product of
    large square matrices reached. `backbone_inference_flops` are those of the protocol's batch by the plain backbone,
    which a merged model has too.

    A profile of ours has all of it. Of what others published there is what they measured, and `protocol` says how: all
    else is None."""

    protocol: dict[str, Any]
    peak_memory_bytes: Count | None = None
    weights_bytes: Count | None = None
    gradient_bytes: Count | None = None
    optimizer_bytes: Count | None = None
    activation_bytes: Count | None = None
    stored_bytes: Count | None = None
    step_seconds: Seconds | None = None
    yardstick_seconds: Seconds | None = None
    drifted: bool | None = None
    rounds: dict[Rounds, list[Measured]] = {}
    train_tokens_per_second: float | None = None
    train_flops: Count | None = None
    inference_flops: Count | None = None
    inference_seconds: Seconds | None = None
    merged_inference_seconds: Seconds | None = None
    backbone_inference_seconds: Measured | None = None
    backbone_inference_flops: Count | None = None
    matmul_flops_per_second: Measured | None = None
    passes: list[Passes] = []
    generation: list[Generation] = []
    phases: list[PhaseCost] = []


class Published(BaseModel):
    """Where a record comes from that no run of ours wrote. The file itself is kept beside the record, whole, as
    `published.json`; `digest` is its SHA-256."""

    source: str = Field(description="who published it, in words")
    experiment: str = Field(description="its name there")
    file: str
    digest: Digest
    date: str = Field(description="of the run, in ISO 8601")
    branch: str | None = None


class Rescored(BaseModel):
    """A metric that was computed from kept predictions: what it `was` before, if anything, and by which code."""

    model_config = UNDEFINED_AS_WORDS

    was: float | None = None
    task_revision: str
    version: str
    when: str


class Rewound(BaseModel):
    """The merged model with the share `alpha` of what training has changed: validation scores (none where the loss is
    no number), and nats per byte of general text, of cells whose forgetting is measured."""

    model_config = UNDEFINED_AS_WORDS

    alpha: float
    validation: dict[str, float]
    general_loss: float | None = None


class Record(BaseModel):
    """All that one cell leaves behind. `trained` means scored and waiting for its cost profile."""

    model_config = ConfigDict(extra="forbid") | UNDEFINED_AS_WORDS

    schema_version: int = SCHEMA
    id: str
    cell: Cell
    status: Status
    reason: Annotated[str, AfterValidator(redacted)] | None = None
    attempts: int = Field(1, ge=1)
    started: str
    finished: str
    wall_seconds: Seconds = Field(description="of training and evaluation, the cell's own process only")
    best_step: Count | None = None
    validation: dict[str, float] = {}
    test: dict[str, float] = {}
    forgetting: dict[str, float] = Field(
        {}, description="nats per byte of general text: the backbone `before`, and `after` tuning"
    )
    history: list[Evaluation] = []
    resumed_from: Count | None = Field(
        None,
        description="the optimiser step from which it went on, where an earlier process had been cut off or stopped",
    )
    earlier_seconds: Seconds = Field(
        0, description="of the processes that were cut off before, which left no record, up to that step"
    )
    micro_batch: Count | None = Field(
        None, description="examples per pass of the model, where memory did not suffice for what the budget asks for"
    )
    notes: list[Annotated[str, AfterValidator(redacted)]] = Field(
        [], description="what a reader of the result should know of how the run went, a line each"
    )
    data: DataUse | None = None
    parameters: Parameters | None = None
    cost: Cost | None = None
    profile_of: str | None = Field(
        None, description="the id of the cell of which `cost` was measured, where it is one of another seed"
    )
    environment: dict[str, Any] = Field({}, description="where it was trained and scored")
    profiled: dict[str, Any] = Field({}, description="what of the environment was another when cost was profiled")
    rewound: list[Rewound] = Field([], description="scores along the way from the backbone to the merged model")
    rescored: dict[str, Rescored] = Field({}, description="metrics of `test` that were computed after the run")
    kept: dict[KeptFile, Digest] = Field({}, description="the files that were kept beside it, with their digests")
    published: Published | None = Field(None, description="of a run that others made")

    @property
    def seconds(self) -> float:
        """What training and evaluation took, in all of its processes that have no record of their own."""
        return self.wall_seconds + self.earlier_seconds


def precisions(records: Iterable[Record]) -> dict[str, int]:
    """In which arithmetic cells were trained, and how many of them, the commonest first: `auto` is that of the machine
    on which a cell ran. Those that do not say are left out."""
    found = (record.environment.get("precision") for record in records if record.test)
    counts = Counter("fp32" if name == "no" else one_line(name, 20) for name in found if name)
    return dict(counts.most_common())


class Manifest(BaseModel):
    """What a results folder is about; written before the first cell runs.

    `cells` maps each id of the suite to its cell, in the suite's order, `cards` has the cards of all that takes part.
    Records whose id is not in `cells` are left over from an earlier version of the suite and are not part of the
    results.
    """

    schema_version: int = SCHEMA
    suite: dict[str, Any]
    cells: dict[CellId, Cell]
    cards: Cards
    environment: dict[str, Any]
    created: str

    @property
    def mixed(self) -> list[str]:
        """What differs between the folders that were merged into this one; empty where none were, or nothing does."""
        told = self.suite.get("mixed")
        return [one_line(line, 300) for line in told] if isinstance(told, list) else []

    @property
    def left_out(self) -> list[str]:
        """The methods and tasks that the suite names and of which the last run had no cells, since their plugins are
        broken; each with the reason. What was there before of them is among the `cells`."""
        return left_out(self.suite.get("left_out"))

    def cells_of(self, methods: Container[str], tasks: Container[str]) -> dict[CellId, Cell]:
        """Those of methods of such labels, and of such tasks."""
        return {key: cell for key, cell in self.cells.items() if cell.label in methods or cell.task in tasks}


def left_out(told: object) -> list[str]:
    """A line for each of `told`, a mapping from methods and tasks to names with reasons."""
    found = [(kind, each) for kind in ("methods", "tasks") if isinstance(told, dict) and (each := told.get(kind))]
    return [
        one_line(f"{kind.removesuffix('s')} {name}: {reason}", 300)
        for kind, each in found
        if isinstance(each, dict)
        for name, reason in each.items()
    ]
