"""One cell out of a results folder: its state on a fresh backbone, written as asked, read back and compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from bench.again import again
from bench.backbones.hub import Hub
from bench.backbones.loading import architecture
from bench.export import card, merged, native, peft
from bench.export.base import TOLERANCE, ExportError, Learnt, difference, logits, probe
from bench.failures import EXPECTED, NotApplicable
from bench.keeping import BrokenState, check_finite, predictions_of, state_from_bytes
from bench.origin import Origin
from bench.scoring import checked_scores
from bench.verifying import compare
from records.files import MAKING, Occupied, new_folder
from records.store import ResultsError
from records.text import one_line

if TYPE_CHECKING:
    from bench.worker import CellRun
    from records.record import Record
    from records.store import RecordStore

Target = Literal["peft", "merged", "native"]


@dataclass(frozen=True)
class Asked:
    """How a model that was read back does on the cell's test examples: its scores, and how many of the `examples` it
    answers as the record has it."""

    scores: dict[str, float]
    same: int | None
    examples: int

    def __str__(self) -> str:
        scores = ", ".join(f"{name} {value:.4g}" for name, value in self.scores.items())
        said = f"; {self.same} of {self.examples} answers are those recorded" if self.same is not None else ""
        return f"{scores} on the {self.examples} test examples{said}"


def export(store: RecordStore, record: Record, target: Target, folder: Path, bf16: bool = False) -> str:
    """Writes the folder, which must not be there or be empty, and returns what was checked, in a sentence or two. What
    answers otherwise than the cell's own model is not left behind. `bf16` is for merged weights.

    Raises ExportError, with the reason and what to do instead.
    """
    if bf16 and target != "merged":
        raise ExportError("--bf16 is for merged weights; adapters keep the precision that they were trained in")
    if record.status not in ("trained", "ok"):
        raise ExportError(f"has learnt nothing to export: it is {record.status!r}")
    try:
        data = store.kept(record, "state.safetensors")
        if data is None:
            raise ExportError(_no_state(record))
        with again(Origin(store), record) as run, new_folder(folder) as fresh:
            cell = _Cell(store, record, run, data)
            said = getattr(cell, f"to_{target}")(fresh, **({"bf16": bf16} if target == "merged" else {}))
            card.write(fresh, store, record, said)
            return str(said.checked)
    except (ResultsError, BrokenState, NotApplicable, Occupied, *EXPECTED) as error:
        raise ExportError(one_line(error)) from None


class _Cell:
    """A trained cell, restored."""

    def __init__(self, store: RecordStore, record: Record, run: CellRun, data: bytes) -> None:
        self.store, self.record, self.run, self.data = store, record, run, data
        if not run.method.phases():
            raise ExportError(f"{run.method.card.name} learns nothing; there is nothing to export but its backbone")
        state = state_from_bytes(data)
        check_finite(state)
        anatomy = run.learnt(state, record.data.steps if record.data else 0)
        place = run.backbone.place
        self.learnt = Learnt(
            method=run.method,
            anatomy=anatomy,
            head=run.form.head,
            plain=lambda: run.load()[0].eval(),
            backbone=place.repo if isinstance(place, Hub) else run.cell.backbone,
            commit=place.revision if isinstance(place, Hub) else None,
        )
        self.inputs = probe(anatomy.model)
        self.expected = logits(anatomy.model, self.inputs)

    def to_peft(self, folder: Path) -> card.Said:
        """peft's files, the tokenizer's, and of the head's labels the names."""
        form = peft.form_of(self.learnt)
        peft.write(folder, self.learnt, form)
        found = peft.load(folder, self.learnt)
        length = self.expected.shape[1]
        gap = difference(self.expected, logits(found, peft.with_tasks(self.inputs, form), length))
        checked = f"Read back by peft, its logits differ from those of the cell's own model by {gap:.1e} at most."
        if not form.exact:
            checked += f" It scores {self.ask(found)}."
        elif gap > TOLERANCE:
            raise ExportError(f"peft's model answers otherwise: logits differ by {gap:.2g}; {self.learnt.instead()}")
        self.run.backbone.tokenizer().save_pretrained(folder)
        load = f'model = PeftModel.from_pretrained(model, "{folder_name(folder)}")'
        how = self._python(["from peft import PeftModel", *self._imports()], [*self._backbone(), load])
        return card.Said("peft", how, checked, form.note)

    def to_merged(self, folder: Path, bf16: bool) -> card.Said:
        """A folder as `save_pretrained` writes it."""
        dtype = torch.bfloat16 if bf16 else torch.float32
        plain = merged.merge(self.learnt)
        merged.write(folder, plain, self.run.task.card.labels, dtype)
        found = merged.load(folder, self.learnt, dtype)
        gap = difference(self.expected, logits(found, self.inputs))
        checked = (
            f"Read back by transformers, its logits differ from those of the cell's own model by {gap:.1e} at most."
        )
        if bf16:
            checked += f" That is the loss of bfloat16, in which it scores {self.ask(found)}."
        elif gap > TOLERANCE:
            raise ExportError(f"merged and read back, its logits differ by {gap:.2g}; use --to native")
        self.run.backbone.tokenizer().save_pretrained(folder)
        auto, name = self._auto(), folder_name(folder)
        how = self._python(
            [f"from transformers import {auto}, AutoTokenizer"],
            [f'model = {auto}.from_pretrained("{name}")', f'tokenizer = AutoTokenizer.from_pretrained("{name}")'],
        )
        return card.Said("transformers", how, checked)

    def to_native(self, folder: Path) -> card.Said:
        """The state as it was kept, and what says what it is."""
        run, head = self.run, self.run.form.head
        about = native.About(
            cell=self.record.cell,  # the run's has its precision
            steps=self.record.data.steps if self.record.data else 0,
            head=head.kind,
            outputs=head.outputs,
            pad=run.form.pad,
            task_kind=run.task.kind,
            members=run.task.members,
            labels=run.task.card.labels,
        )
        native.write(folder, self.data, about)
        found, _ = native.load(folder, run.registry.base, run.registry.files)
        gap = difference(self.expected, logits(found.to(self.run.accelerator.device), self.inputs))
        if gap > TOLERANCE:
            raise ExportError(
                f"read back, its logits differ by {gap:.2g}: its method starts from what is not in the state"
            )
        how = self._python(["import bench"], [f'model, tokenizer = bench.load("{folder_name(folder)}")'])
        return card.Said("adaptbench", how, f"Read back, its logits differ from the cell's by {gap:.1e} at most.")

    def ask(self, model: Any) -> Asked:
        """Of a model that was read back."""
        prepared = self.run.prepared()
        found, asked = self.run.test(model.to(self.run.accelerator.device), prepared)
        task = prepared.form.task
        recorded = self.store.predictions(self.record)
        same = None
        if recorded is not None:
            same = compare(self.record, recorded, predictions_of(task, asked, found, self.record.test)).same
        return Asked(checked_scores(task, found.predictions, found.references), same, len(found.predictions))

    def _auto(self) -> str:
        return architecture(self.learnt.head, self.learnt.anatomy.config)

    def _imports(self) -> list[str]:
        ours = [] if self.learnt.commit else ["from bench.backbones import Backbone"]
        return [*ours, f"from transformers import {self._auto()}"]

    def _backbone(self) -> list[str]:
        """Lines that load the plain backbone under the right head."""
        head = f", num_labels={self.learnt.head.outputs}" if self.learnt.head.outputs else ""
        pad = "" if not hasattr(self.learnt.anatomy.model, "score") else f", pad_token_id={self.run.form.pad}"
        if self.learnt.commit:
            where = f'"{self.learnt.backbone}", revision="{self.learnt.commit}"'
        else:
            where = f'Backbone.find("{self.learnt.backbone}").place.weights'
        return [f"model = {self._auto()}.from_pretrained({where}{head}{pad})"]

    @staticmethod
    def _python(imports: list[str], lines: list[str]) -> str:
        return "\n".join(["```python", *imports, "", *lines, "```"])


def folder_name(folder: Path) -> str:
    """As the folder will be called."""
    return folder.name.removeprefix(".").removesuffix(MAKING)


def _no_state(record: Record) -> str:
    if "state.safetensors" in record.kept:
        return "its state was kept and is gone; run the cell again"
    return "has kept no state; with `keep: {state: all}` in the suite, a run of the cell keeps it"
