"""The setup section: all that is needed to repeat the run, from its manifest and records."""

from __future__ import annotations

from typing import Any

from records.cards import BackboneCard, TaskCard
from reports.analysis.analysis import Analysis
from reports.analysis.statistics import MIN_PAIRS
from reports.model.document import (
    Block,
    Cite,
    Code,
    Inline,
    Paragraph,
    Part,
    Ref,
    Section,
    Slide,
    Text,
    listing,
    ranked,
)
from reports.model.prose import Prose
from reports.model.references import Entry
from reports.model.writing import count
from reports.results import Results
from reports.sections import background, setup, tables

# The share of unknown tokens above which it is worth a sentence.
MANY_UNKNOWN = 0.01
_SOFTWARE = {
    "torch": ("PyTorch", "paszke2019pytorch"),
    "transformers": ("Transformers", "wolf2020transformers"),
    "datasets": ("Datasets", "lhoest2021datasets"),
    "accelerate": ("Accelerate", "gugger2022accelerate"),
    "peft": ("PEFT", "mangrulkar2022peft"),
    "adapters": ("Adapters", "poth2023adapters"),
}


PLACE = "before"
ORDER = 30


def part(analysis: Analysis, prose: Prose) -> Part:
    backup = tuple(Slide("Hyperparameters", (), t, 60) for t in setup.hyperparameters(analysis.results)[:1])
    return Part(section(analysis), (_slide(analysis.results, analysis.run),), backup)


def _slide(view: Results, run: Entry) -> Slide:
    seeds = sorted({int(seed) for seed in view.cells["seed"]})
    head = ", head" if view.headed else ""
    points: tuple[Text, ...] = (
        (f"Backbone: {listing([view.title('backbones', b) for b in view.backbones])}.",),
        (f"Same data, order{head} and number of steps for every trained method; seeds "
         f"{listing([str(s) for s in seeds])}. Test data are read once.",),
        ("Every number comes from a record of the run ", Cite((run.key,)), "."),
    )  # fmt: skip
    (budget,) = setup.budgets(view)
    return Slide("How it was measured", points, budget, 30)


def section(analysis: Analysis) -> Section:
    results = analysis.results
    return Section(
        "setup",
        "Setup",
        (
            Paragraph(
                (
                    "The run that this report reads has an entry of its own ",
                    Cite((analysis.run.key,)),
                    ", in ",
                    Code("run.bib"),
                    ".",
                ),
                "Data of this report.",
            ),
            *_backbones(results),
            *_data(results),
            *_training(results),
            *setup.budgets(results),
            *ranked(setup.hyperparameters(results), 65),
            *_measuring(analysis),
            *_machine(results),
        ),
    )


def _backbones(results: Results) -> list[Block]:
    blocks: list[Block] = []
    for name in results.backbones:
        card = results.backbone_card(name)
        size = card.parameters
        text: list[Inline] = [f"{results.title('backbones', name)} (", Code(name), ")", *background.cited(card)]
        kind = f", architecture {card.architecture}" if card.architecture else ""
        text.append(kind + (f", {count(size)} parameters" if isinstance(size, (int, float)) else "") + ". ")
        text.append(_sentences(card.summary, _licence(card)))
        blocks.append(Paragraph(tuple(text), "Backbone."))
    return blocks


def _data(results: Results) -> list[Block]:
    blocks: list[Block] = []
    for name in results.tasks:
        card = results.task_card(name)
        text: list[Inline] = [Code(name), *background.cited(card), ". "]
        labels = card.labels
        classes = f"Classes: {', '.join(map(str, labels))}." if 0 < len(labels) <= 10 else f"{len(labels)} classes."
        metric = f"Primary metric: {results.metric(name)}{_direction(results, name)}."
        classes = classes if labels else ""
        text.append(_sentences(card.summary, classes, card.split, *_left_out(results, name), metric, _licence(card)))
        blocks.append(Paragraph(tuple(text), f"Data: {results.title('tasks', name)}."))
    return blocks


def _direction(results: Results, task: str) -> str:
    """What is not said of a fraction of which more is better."""
    scale = results.scale(task)
    ends = (("from", scale.low), ("to", scale.high))
    bounds = " ".join(f"{word} {end:g}" for word, end in ends if end is not None) if not scale.in_points else ""
    said = [bounds or ("" if scale.in_points else "unbounded"), "" if scale.higher_is_better else "less is better"]
    return f" ({', '.join(each for each in said if each)})" if any(said) else ""


def _left_out(results: Results, task: str) -> list[str]:
    """Rows and tokens that the records say were left out, or lost."""
    cells = results.manifest.cells
    uses = [(cells[i].backbone, record.data) for i, record in results.records.items()
            if cells[i].task == task and record.data]  # fmt: skip
    if not uses:
        return []
    said = []
    if dropped := next((use.dropped for _, use in uses if use.dropped), {}):
        said.append(
            f"Rows of the data that are in no split: {listing([f'{n:,} ({why})' for why, n in dropped.items()])}"
        )
    if removed := max(use.duplicates_removed for _, use in uses):
        said.append(f"{removed:,} training or validation examples were left out, as a later split holds their text")
    unknown = {backbone: use.unknown_tokens for backbone, use in uses if (use.unknown_tokens or 0) > MANY_UNKNOWN}
    said += [f"{100 * share:.1f}\u00a0% of the training texts' tokens are unknown to the vocabulary of"
             f" {results.title('backbones', backbone)}" for backbone, share in unknown.items() if share]  # fmt: skip
    if unasked := max(use.unasked for _, use in uses):
        said.append(f"Up to {unasked:,} of {max(use.test for _, use in uses):,} test examples could not be put to a"
                    " model, and are scored as without an answer")  # fmt: skip
    return said


def _training(results: Results) -> list[Block]:
    seeds = sorted({int(seed) for seed in results.cells["seed"]})
    asked = results.suite.get("precision")
    used = sorted({str(e["precision"]) for e, _ in results.environments() if e.get("precision")})
    precision = f" Arithmetic: {listing(used)}" + (f" (asked for: {asked})." if asked else ".") if used else ""
    cells = results.manifest.cells.values()
    in_words = [
        task
        for task in dict.fromkeys(cell.task for cell in cells if cell.form == "text")
        if results.task_card(task).kind != "language modelling"
    ]
    head = "; a fresh task head is trained by every method alike and counted apart" if results.headed else ""
    same_head = " start from the same head" if results.headed else ""
    words = (
        f" On {listing(in_words)} the language model answers in words, without a head, asked in its chat template where"
        " it has one: of given answers the likeliest per character, else what greedy decoding gives."
        if in_words
        else ""
    )
    untrained = f" Nothing is trained for {listing(results.untrained)}." if results.untrained else ""
    return [
        Paragraph(
            ("AdamW ", Cite(("loshchilov2019adamw",)), f" with a linear schedule after warm-up{head}.{words}{untrained}"
             f" For a given seed ({listing([str(s) for s in seeds])}) all trained methods see the same training"
             f" examples in the same order,{same_head} and take the same number of optimiser"
             " steps, the selection phases of a method included. The checkpoint is chosen on validation"
             f" data; the test split is read once.{precision} What each cell may spend is in ", Ref("tab:budget"),
             ", what each method is given in ",
             Ref("tab:hyperparameters"), "."),
            "Training.",
        )
    ]  # fmt: skip


def _measuring(analysis: Analysis) -> list[Block]:
    groups = analysis.costs
    blocks: list[Block] = []
    if groups:
        protocol = groups[0].protocol
        timed = protocol.get("timed_steps")
        steps = f" Times of training are medians over {timed} steps after a warm-up." if timed else ""
        if pairs := protocol.get("inference_pairs"):
            steps += (f" A latency is the plain backbone's, times the median ratio of {pairs} pairs of passes, one of"
                      " either model, so that a machine whose speed drifts favours neither.")  # fmt: skip
        shapes = tables.protocol_text(groups[0])
        blocks.append(
            Paragraph((f"Cost is profiled apart from training, with the machine to itself. {shapes}{steps} Bytes of"
                       " weights, gradients, optimiser state and saved activations are counted.",), "Cost.")
        )  # fmt: skip
    blocks.append(
        Paragraph(("Means are over seeds, spreads are sample standard deviations ", "(n − 1). Differences to full"
                   " fine-tuning are paired by seed and tested by a two-sided paired t-test, corrected for their"
                   " number ", Cite(("holm1979",)), f", if at least {MIN_PAIRS} pairs exist. How many runs stand"
                   " behind a number is always given ", Cite(("dodge2019work",)), ".",), "Statistics.")
    )  # fmt: skip
    return blocks


def _machine(results: Results) -> list[Block]:
    environments = results.environments()
    text: list[Inline] = []
    if environments:
        first, _ = environments[0]
        versions: dict[str, Any] = first.get("versions") or {}
        text.append(_hardware(first))
        shown = [key for key in _SOFTWARE if key in versions]
        for i, package in enumerate(shown):
            name, key = _SOFTWARE[package]
            text += [", " if i else "Software: ", f"{name} {versions[package]} ", Cite((key,))]
        if first.get("python"):
            text.append(f"{', ' if shown else 'Software: '}Python {first['python']}. ")
        if first.get("commit"):
            changed = ", with local changes. " if first.get("dirty") else ". "
            text += ["Code: commit ", Code(str(first["commit"])[:12]), changed]
        if commit := first.get("profiled", {}).get("commit"):
            text += ["Costs were profiled later, by commit ", Code(str(commit)[:12]), ". "]
    if command := results.suite.get("command"):
        text += ["To repeat: ", Code(str(command)), ". "]
    text += ["The identity of every cell is a hash of all that can change its result; the results folder holds the"
             " resolved suite and every record."]  # fmt: skip
    return [Paragraph(tuple(text), "Machine and software.")]


def _hardware(environment: dict[str, Any]) -> str:
    said = []
    if environment.get("processor"):
        said.append(str(environment["processor"]))
    if environment.get("cores"):
        threads = environment.get("threads")
        profiled = environment.get("profiled", {}).get("threads")
        used = [f"{n} for {what}" for n, what in ((threads, "training a cell"), (profiled, "profiling it")) if n]
        said.append(f"{environment['cores']} cores" + (f" (threads: {listing(used)})" if used else ""))
    if isinstance(environment.get("memory_bytes"), (int, float)):
        said.append(f"{environment['memory_bytes'] / 1e9:.0f} GB of memory")
    if environment.get("device"):
        said.append(f"device {environment['device']}")
    if environment.get("platform"):
        said.append(str(environment["platform"]))
    return f"Hardware: {', '.join(said)}. " if said else ""


def _licence(card: TaskCard | BackboneCard) -> str:
    return f"Licence: {card.licence}." if card.licence else ""


def _sentences(*parts: Any) -> str:
    """The parts that say something, each ended by a full stop."""
    said = [str(part).strip() for part in parts if part]
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in said)
