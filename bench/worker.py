"""One cell in one process: load, adapt, train, evaluate; and, as a second job, profile. Leaves a record."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from functools import cached_property
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import set_seed

# What every cell needs is imported here, once, by the server from which the workers are forked.
from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: F401

from bench import environment
from bench.backbones import Backbone, BackboneError
from bench.cell import Budget
from bench.contract import DataError
from bench.data import demonstrations, eval_loader, prepare
from bench.evaluation import evaluate
from bench.forms.base import Form, NoSuchForm
from bench.forms.choice import form_of
from bench.forms.text import LanguageModelling
from bench.job import Job
from bench.profiling import PeakMemory, count_parameters, profile
from bench.records import DataUse, Record, RecordStore
from bench.registry import Kind, PluginError, Registry
from bench.training import Diverged, Material, train
from methods.anatomy import Anatomy, UnsupportedBackbone
from methods.base import Method
from tasks.base import Task, TaskUnavailable

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# How much general text tells what was forgotten, and in which windows.
GENERAL_TEXT = Budget(train_examples=1, validation_examples=1, test_examples=32, batch_size=8, max_length=256)

# Exceptions whose message is meant for the user; of others the report shows the type as well.
EXPECTED = (BackboneError, DataError, Diverged, PluginError, TaskUnavailable)


class NotApplicable(Exception):
    """The method does not apply to this backbone or task; the message is the reason."""


def run(job: Job, reports: connection.Connection, threads: int) -> None:
    """Runs a job in a freshly forked process, on so many cores, and writes its record; never raises. Sends
    pairs (steps done, steps in all) through `reports`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the scheduler, which ends its workers
    _die_with_parent()
    store = RecordStore(job.results)
    _redirect_output(store.log(job.cell.id), append=job.stage == "profile" or job.attempt > 1)
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(threads)
    started, clock = _now(), time.perf_counter()
    record = store.read(job.cell.id) if job.stage == "profile" else None
    if record is None:
        record = Record(
            id=job.cell.id, cell=job.cell, status="failed", attempts=job.attempt, started=started, finished=started,
            wall_seconds=0,
        )  # fmt: skip
    try:
        work = Work(job)
        here = work.environment()
        if job.stage == "train":
            record.environment = here
            work.train(record, lambda done, total: reports.send((done, total)))
        else:
            record.profiled = {key: value for key, value in here.items() if record.environment.get(key) != value}
            work.profile(record)
    except (NotApplicable, NoSuchForm, UnsupportedBackbone) as reason:
        record.status, record.reason = "n/a", str(reason)
    except Exception as error:
        traceback.print_exc()
        if job.stage == "train":
            record.status, record.reason = "failed", _reason(error)
        else:
            record.reason = f"no cost profile: {_reason(error)}"
    if job.stage == "train":
        record.wall_seconds = time.perf_counter() - clock
    record.finished = _now()
    store.write(record)


class Work:
    """The parts of a cell, loaded when first asked for."""

    def __init__(self, job: Job) -> None:
        self.cell = job.cell
        self.registry = Registry(job.plugins, job.base)
        self.backbone = Backbone.find(self.cell.backbone, job.base, self.cell.backbone_revision)
        self.accelerator = Accelerator(mixed_precision=_precision(self.cell.precision))

    @cached_property
    def task(self) -> Task:
        cls = self._plugin("tasks", self.cell.task, self.cell.task_revision)
        return cls(cls.Options(**self.cell.task_options))

    @cached_property
    def method(self) -> Method:
        return self._plugin("methods", self.cell.method, self.cell.method_revision)(**self.cell.hyperparameters)

    def _plugin(self, kind: Kind, name: str, revision: str) -> Any:
        plugin = self.registry.get(kind, name)
        if plugin.revision != revision:
            raise PluginError(f"the file of {name!r} was changed while the run was under way; run the suite again")
        return plugin.cls

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.backbone.tokenizer()

    @cached_property
    def form(self) -> Form:
        shown = demonstrations(self.task, self.cell.budget, self.cell.seed, self.method.demonstrations())
        return form_of(self.task, self.tokenizer, self.cell.budget, self.cell.form, shown)

    def load(self) -> tuple[PreTrainedModel, frozenset[str]]:
        """The backbone with the head that the task's form needs, on the device."""
        if self.form.head.kind == "language" and not self.backbone.generates:
            raise NotApplicable("the backbone is an encoder, which has no text to answer with")
        model, head = self.backbone.load(self.form.head, self.cell.seed)
        self.encodes = bool(model.config.is_encoder_decoder)
        self.form.set_encodes(self.encodes)
        if model.config.pad_token_id is None:
            model.config.pad_token_id = self.tokenizer.pad_token_id
        return model.to(self.accelerator.device), head

    def adapted(self) -> tuple[Anatomy, int]:
        """The adapted model, and the backbone's own number of parameters."""
        model, head = self.load()
        backbone = sum(p.numel() for name, p in model.named_parameters() if name not in head)
        anatomy = Anatomy(model, head)
        if reason := self.method.unsupported(anatomy, self.task):
            raise NotApplicable(reason)
        set_seed(self.cell.seed)
        self.method.adapt(anatomy, self.task)
        return anatomy, backbone

    def train(self, record: Record, progress: Any) -> None:
        cell = self.cell
        trains = bool(self.method.phases())
        measures_forgetting = bool(cell.forgetting) and trains and self.form.head.kind == "language"
        if measures_forgetting:
            # Of the backbone itself: a method that starts elsewhere, as random prefixes do, has lost something already.
            before = self._general_loss(self.load()[0])
            self.accelerator.free_memory()
        anatomy, backbone = self.adapted()
        splits = prepare(self.form, cell.budget, cell.seed)
        material, sources = Material(self.form, splits), self._sources()
        set_seed(cell.seed)
        training = train(self.accelerator, anatomy, self.method, material, cell.budget, cell.seed, progress, sources)
        test = self.accelerator.prepare(eval_loader(splits.test, self.form, cell.budget.batch_size * 2))
        _, record.test = evaluate(anatomy.model, test, self.form)
        if measures_forgetting:
            record.forgetting = {"before": before, "after": self._general_loss(anatomy.model)}
        record.validation, record.history = training.validation, training.history
        record.best_step = training.best_step
        record.parameters = count_parameters(anatomy.head, training.trainable, backbone)
        record.data = DataUse(
            train=len(splits.train),
            validation=len(splits.validation),
            test=len(splits.test),
            duplicates_removed=splits.duplicates_removed,
            commits=splits.commits,
            dropped=splits.dropped,
            train_tokens=training.train_tokens,
            steps=training.steps,
        )
        record.status = "trained"

    def _sources(self) -> dict[str, Material]:
        """The other tasks on which the method has a phase."""
        found = {}
        for name, revision in self.cell.sources.items():
            task: Task = self._plugin("tasks", name, revision)()
            form = form_of(task, self.tokenizer, self.cell.budget, self.cell.form)
            form.set_encodes(self.encodes)
            if form.head != self.form.head:
                raise NotApplicable(f"the source task {name} needs {form.head}, this one {self.form.head}")
            found[name] = Material(form, prepare(form, self.cell.budget, self.cell.seed))
        return found

    def _general_loss(self, model: PreTrainedModel) -> float:
        """Nats per byte on the first test windows of the task of general text, the same for all cells."""
        [(name, revision)] = self.cell.forgetting.items()
        form = LanguageModelling(self._plugin("tasks", name, revision)(), self.tokenizer, GENERAL_TEXT.max_length)
        test = prepare(form, GENERAL_TEXT, 0).test
        model = self.accelerator.prepare(model)
        loader = self.accelerator.prepare(eval_loader(test, form, GENERAL_TEXT.batch_size))
        model.eval()
        with torch.no_grad():
            found = [form.predict(model, batch) for batch in loader]
        read = sum(count for each in found for _, count in each.references)
        return sum(each.loss for each in found) / read

    def profile(self, record: Record) -> None:
        memory = PeakMemory(self.accelerator.device)
        anatomy, _ = self.adapted()
        plain, _ = self.load()
        record.cost = profile(self.accelerator, memory, anatomy, self.method, plain.eval(), self.cell.budget, self.form)
        record.status, record.reason = "ok", None

    def environment(self) -> dict[str, Any]:
        device = self.accelerator.device
        return environment.describe() | {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "threads": torch.get_num_threads(),
            "precision": self.accelerator.mixed_precision,
        }


def _precision(asked: str) -> str:
    """`auto` is bf16 where the hardware computes in it, else fp32 (`no`)."""
    if asked != "auto":
        return asked
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast and not torch.backends.mps.is_available() else "no"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:500]
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in text:
        return f"out of memory: {text}"
    return text if isinstance(error, EXPECTED) else f"{type(error).__name__}: {text}"


def _redirect_output(log: Path, append: bool) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab" if append else "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _die_with_parent() -> None:
    """Ends this process once the scheduler has died, however it died."""
    parent = parent_process()
    if parent is None:
        return

    def watch(sentinel: Any) -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
