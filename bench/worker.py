"""One cell in one process: load, adapt, train, evaluate; and, as a second job, profile. Leaves a record."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

# What cells need is imported here, once, by the server from which the workers are forked.
import datasets
import scipy.stats  # noqa: F401
import sklearn.metrics  # noqa: F401
import torch
import transformers
from accelerate.utils import set_seed
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: F401

from bench import environment, kernels, ranks
from bench.attempts import trained
from bench.backbones import Backbone, BackboneError
from bench.checkpoints import Checkpoints
from bench.data import TaskData, demonstrations, prepare
from bench.evaluation import FittingSplit, ask
from bench.failures import NotApplicable, failure, said
from bench.forms.base import Form, NoSuchForm, Predicted
from bench.forms.choice import form_of
from bench.forms.heads import fit
from bench.forms.text import LanguageModelling, Row
from bench.forms.token import unasked
from bench.job import Job
from bench.keeping import is_kept, predictions_of, restore, state_to_bytes
from bench.lifeline import Lifeline
from bench.measuring import PeakMemory, keep_memory
from bench.profiling import count_parameters, peak_memory, profile
from bench.registry import Kind, PluginError, Registry
from bench.scoring import checked_scores, require_finite
from bench.sharding import shard
from bench.training import Training
from bench.unread import leave_out
from methods.anatomy import Anatomy, UnsupportedBackbone
from methods.base import Method
from records import predictions
from records.cell import Budget
from records.record import DataUse, KeptFile, Record
from records.store import RecordStore, ResultsError
from tasks.base import Task

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# How much general text tells what was forgotten, and in which windows.
GENERAL_TEXT = Budget(train_examples=1, validation_examples=1, test_examples=32, batch_size=8, max_length=256)


def run(job: Job, line: Lifeline, threads: int) -> None:
    """Runs a job in a freshly forked process, on so many cores, and writes its record. Raises nothing but OSError,
    where the disk refuses the log or the record."""
    store = RecordStore(job.results)
    _redirect_output(store.log(job.cell.id), append=job.stage == "profile" or job.attempt > 1 or ranks.count() > 1)
    quieten()
    torch.set_num_threads(threads)
    kernels.use()
    now = _now()
    record = Record(
        id=job.cell.id, cell=job.cell, status="failed", attempts=job.attempt, started=now, finished=now,
        wall_seconds=0,
    )  # fmt: skip
    if job.stage == "train":
        kept = _train(job, record, line)
        if not ranks.may_write(record.status, record.reason):
            return
        for name, data in kept.files.items():
            record.kept[name] = store.keep(record.id, name, data)
        if kept.texts:
            store.write_texts(job.cell.task, kept.texts)
    else:
        record = _profiled(job, store, record, line)
    line.end_a_fork()
    record.finished = _now()
    store.write(record)
    if record.status != "failed" and job.cell.stop is None:
        store.remove_checkpoint(record.id)


def quieten() -> None:
    """Libraries say nothing but errors in this process."""
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()


@dataclass
class Kept:
    """What is to be written beside a record, before it."""

    files: dict[KeptFile, bytes] = field(default_factory=dict)
    texts: dict[str, dict[str, Any]] = field(default_factory=dict)


def _train(job: Job, record: Record, line: Lifeline) -> Kept:
    """Fills in the record; whatever goes wrong, be it an exit, is its reason."""
    clock = time.perf_counter()
    kept = Kept()
    try:
        cell_run = CellRun(job, line)
        record.environment = cell_run.environment()
        if cell_run.accelerator.device.type == "cpu":  # or the host's copy of a model would stay, too
            keep_memory()
        kept = cell_run.train(record)
    except (NotApplicable, NoSuchForm, UnsupportedBackbone) as reason:
        record.status, record.reason = "n/a", said(reason)
    except BaseException as error:
        record.status, record.reason = "failed", failure(error)
    record.wall_seconds = time.perf_counter() - clock
    return kept


def _profiled(job: Job, store: RecordStore, empty: Record, line: Lifeline) -> Record:
    """The record of a trained cell, with its cost, or with the reason why there is none."""
    try:
        record = store.read(job.cell.id, job.cell)
    except ResultsError as error:
        empty.reason = said(error)
        return empty
    if record is None:
        empty.reason = "its record was gone before its cost could be profiled"
        return empty
    try:
        line.at("profiling")
        cell_run = CellRun(job, line)
        here = cell_run.environment()
        record.profiled = {key: value for key, value in here.items() if record.environment.get(key) != value}
        cell_run.profile(record)
    except BaseException as error:
        record.reason = f"no cost profile: {failure(error)}"
    return record


class CellRun:
    """A cell under way: its parts, loaded when first asked for, and what is done with them."""

    def __init__(self, job: Job, line: Lifeline) -> None:
        self.cell = job.cell
        self.keep = job.keep
        self.brief = job.brief
        self.base = job.base
        self.line = line
        self.shards = job.shard and ranks.count() > 1
        self.registry = Registry(job.plugins, job.base)
        self.backbone = Backbone.find(self.cell.backbone, job.base, self.cell.backbone_revision)
        if self.backbone.revision != self.cell.backbone_revision:
            raise BackboneError(f"{self.cell.backbone} was changed while the run was under way; run the suite again")
        # Only what others ran, and no worker, is without them.
        assert self.cell.budget is not None and self.cell.form is not None and self.cell.precision is not None
        self.budget, self.form_name = self.cell.budget, self.cell.form
        self.accelerator = ranks.accelerator(precision_of(self.cell.precision))
        # Of several ranks none is saved: each has random numbers of its own.
        every = job.checkpoint if ranks.count() == 1 else None
        self.checkpoints = Checkpoints(RecordStore(job.results), self.cell, self.accelerator, every)

    @cached_property
    def task(self) -> Task:
        """The cell's, with its options."""
        cls: type[Task] = self._plugin("tasks", self.cell.task, self.cell.task_revision)
        return cls(cls.Options(**self.cell.task_options))

    @cached_property
    def method(self) -> Method:
        """The cell's, with its hyperparameters."""
        cls: type[Method] = self._plugin("methods", self.cell.method, self.cell.method_revision)
        files = {"path": self.cell.adapter} if self.cell.adapter else {}
        try:
            return cls.model_validate(self.cell.hyperparameters | files, context={"base": self.base})
        except ValidationError as error:
            raise PluginError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    def _plugin(self, kind: Kind, name: str, revision: str) -> Any:
        plugin = self.registry.get(kind, name)
        if plugin.revision != revision:
            raise PluginError(f"the file of {name!r} was changed while the run was under way; run the suite again")
        return plugin.cls

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The backbone's own."""
        return self.backbone.tokenizer()

    @cached_property
    def form(self) -> Form:
        """The task in the form that the cell asks for, with the demonstrations that the method shows."""
        cell, count = self.cell, self.method.demonstrations()
        shown = demonstrations(self.task, cell.task_revision, self.budget, cell.seed, count)
        return self._form_of(self.task, shown)

    def _form_of(self, task: Task, shown: Sequence[Row] = ()) -> Form:
        both = self.backbone.encodes_and_decodes
        return form_of(task, self.tokenizer, self.budget, self.form_name, shown, both)

    def load(self) -> tuple[PreTrainedModel, frozenset[str]]:
        """The backbone with the head that the task's form needs, on the device, and the names of the head's
        parameters."""
        if self.form.head.kind == "language" and not self.backbone.generates:
            raise NotApplicable("the backbone is an encoder, which has no text to answer with")
        model, head = self.backbone.load(self.form.head, self.cell.seed)
        fit(model, self.form)
        # To be divided, it may be too large for the device.
        return (model if self.shards else model.to(self.accelerator.device)), head

    def adapted(self) -> tuple[Anatomy, int]:
        """The adapted model, and the backbone's own number of parameters."""
        model, head = self.load()
        if self.budget.activation_checkpointing:
            if not model.supports_gradient_checkpointing:
                raise NotApplicable(f"transformers has no activation checkpointing for {model.config.model_type}")
            model.gradient_checkpointing_enable({"use_reentrant": False})
        backbone = sum(p.numel() for name, p in model.named_parameters() if name not in head)
        anatomy = Anatomy(model, head)
        if reason := self.method.unsupported(anatomy, self.task):
            raise NotApplicable(reason)
        set_seed(self.cell.seed)
        self.method.adapt(anatomy, self.task)
        if self.shards:
            shard(anatomy, self.accelerator.device)
        return anatomy, backbone

    def train(self, record: Record) -> Kept:
        """Trains and tests, writes into the record what came of it, and returns what is to be kept beside it."""
        cell, line = self.cell, self.line
        trains = bool(self.method.phases())
        measures_forgetting = (
            bool(cell.forgetting) and trains and self.form.head.kind == "language" and cell.stop is None
        )
        if measures_forgetting:
            # Of the backbone itself: a method that starts elsewhere, as random prefixes do, has lost something already.
            before = self.general_loss(self._plain(), " before tuning")
            self.accelerator.free_memory()
        anatomy, backbone, data, training = trained(self, record)
        kept = Kept()
        if cell.stop is None:
            line.at("testing")
            found, asked = self.test(anatomy.model, data)
            record.test = checked_scores(data.form.task, found.predictions, found.references)
            if measures_forgetting:
                record.forgetting = {"before": before, "after": self.general_loss(anatomy.model, " after tuning")}
            kept = self._kept(anatomy.model, data, found, asked, record)
        record.validation, record.history = training.validation, training.history
        record.best_step = training.best_step
        record.parameters = count_parameters(anatomy.head, training.trainable, backbone)
        record.data = _use_of(data, training, tested=cell.stop is None)
        record.status = "trained"
        return kept

    def test(self, model: PreTrainedModel, data: TaskData) -> tuple[Predicted, Dataset]:
        """What the model makes of the test split, and the features in the order in which it was asked."""
        split = FittingSplit(self.accelerator, data.test, data.form, self.budget.batch_size * 2)
        found = split.each(lambda loader: ask(model, self.line.alive(loader), data.form, "test"))
        return found, split.rows

    def _kept(self, model: PreTrainedModel, data: TaskData, found: Predicted, asked: Dataset, record: Record) -> Kept:
        self.line.at("keeping what it answered and learnt")
        kept = Kept()
        if self.keep.predictions:
            answers = predictions_of(data.form.task, asked, found, record.test)
            kept.files["predictions.parquet"] = predictions.to_bytes(answers)
        if self.keep.texts:
            kept.texts = data.test_rows()
        state = self.method.state(model) if self.method.phases() else {}
        if is_kept(state, self.keep.state):
            kept.files["state.safetensors"] = state_to_bytes(state, self.cell)
        return kept

    def restored(self, state: dict[str, Tensor], steps: int) -> Anatomy:
        """The adapted model with what a training of so many steps had learnt, in the cell's precision. Raises
        BrokenState."""
        anatomy = self.learnt(state, steps)
        leave_out(anatomy, self.form)
        self.accelerator.prepare(anatomy.model)
        return anatomy

    def learnt(self, state: dict[str, Tensor], steps: int) -> Anatomy:
        """As `restored`, in full precision."""
        anatomy, _ = self.adapted()
        restore(self.method, anatomy, state, steps)
        return anatomy

    def prepared(self) -> TaskData:
        """The cell's task, drawn by its budget and seed."""
        return self._prepared(self.form, self.cell.task_revision, self.cell.validation_from)

    def _prepared(self, form: Form, revision: str, validation_from: int | None = None) -> TaskData:
        return prepare(form, self.budget, self.cell.seed, self.backbone.positions, revision, validation_from)

    def sources(self) -> dict[str, TaskData]:
        """The other tasks on which the method has a phase."""
        found = {}
        for name, revision in self.cell.sources.items():
            form = self._form_of(self._plugin("tasks", name, revision)())
            if form.head != self.form.head:
                raise NotApplicable(f"the source task {name} needs {form.head}, this one {self.form.head}")
            found[name] = self._prepared(form, revision)
        return found

    def _plain(self) -> PreTrainedModel:
        """The backbone that no method has touched, to be asked alone."""
        model, head = self.load()
        if self.shards:
            anatomy = Anatomy(model, head)
            anatomy.freeze()
            shard(anatomy, self.accelerator.device)
        return model

    def general_loss(self, model: PreTrainedModel, when: str) -> float:
        """Nats per byte on the first test windows of the task of general text, the same for all cells."""
        self.line.at("reading general text")
        [(name, revision)] = self.cell.forgetting.items()
        form = LanguageModelling(self._plugin("tasks", name, revision)(), self.tokenizer, GENERAL_TEXT.max_length)
        test = prepare(form, GENERAL_TEXT, 0, revision=revision).test
        model = self.accelerator.prepare(model)
        model.eval()
        split = FittingSplit(self.accelerator, test, form, GENERAL_TEXT.batch_size)
        with torch.no_grad():
            found = split.each(lambda loader: [form.predict(model, batch) for batch in self.line.alive(loader)])
        read: int = sum(count for each in found for _, count in each.references)
        loss = sum(each.loss for each in found)
        require_finite(loss, "general text's", when)
        return loss / read

    def profile(self, record: Record) -> None:
        """Measures what the cell costs, and writes it into the record."""
        memory = PeakMemory(self.accelerator.device)
        method, form = self.method, self.form
        budget = self.budget.model_copy(update={"micro_batch": record.micro_batch or self.budget.micro_batch})
        # Alone, and on a model of its own: what times are compared with would be counted, too.
        anatomy, _ = self.adapted()
        peak = peak_memory(self.accelerator, memory, anatomy, method, budget, form)
        del anatomy
        self.accelerator.free_memory()
        keep_memory()
        anatomy, _ = self.adapted()
        plain, _ = self.load()
        record.cost = profile(self.accelerator, peak, anatomy, method, plain, budget, form, self.brief)
        record.status, record.reason = "ok", None

    def environment(self) -> dict[str, Any]:
        """Where it runs, the device and its precision included."""
        device = self.accelerator.device
        return environment.describe() | {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "threads": torch.get_num_threads(),
            "precision": self.accelerator.mixed_precision,
            **({"processes": count} if (count := ranks.count()) > 1 else {}),
            **({"sharded": True} if self.shards else {}),
        }


def _use_of(data: TaskData, training: Training, tested: bool) -> DataUse:
    return DataUse(
        train=len(data.train),
        validation=len(data.validation),
        test=len(data.test) if tested else 0,
        duplicates_removed=data.duplicates_removed,
        unknown_tokens=data.unknown_tokens,
        commits=data.commits,
        dropped=data.dropped,
        train_tokens=training.train_tokens,
        steps=training.steps,
        unasked=unasked(data.test) if tested else 0,
    )


def precision_of(asked: str) -> str:
    """`auto` is bf16 where the hardware computes in it, else fp32 (`no`)."""
    if asked != "auto":
        return asked
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast and not torch.backends.mps.is_available() else "no"


def _redirect_output(log: Path, append: bool) -> None:
    # Always appended to: what cuts a log that grows too long moves its end.
    how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | (0 if append else os.O_TRUNC)
    descriptor = os.open(log, how, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
