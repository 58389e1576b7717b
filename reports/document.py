"""What the report says, once: sections, sentences, tables and figures, for LaTeX and HTML alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reports import background, figures, findings, setup, tables
from reports.bibliography import Entry
from reports.frame import SCORED, Results
from reports.quantities import count
from reports.statistics import MIN_PAIRS
from reports.structure import Block, Cite, Code, Document, Inline, Math, Paragraph, Section, Text, listing

_SOFTWARE = {
    "torch": ("PyTorch", "paszke2019pytorch"),
    "transformers": ("Transformers", "wolf2020transformers"),
    "datasets": ("Datasets", "lhoest2021datasets"),
    "accelerate": ("Accelerate", "gugger2022accelerate"),
    "peft": ("PEFT", "mangrulkar2022peft"),
    "adapters": ("Adapters", "poth2023adapters"),
}
_NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def compose(results: Results, references: dict[str, Entry]) -> Document:
    """The document of a results folder. Only works in `references` are cited."""
    found = tables.compare_with_reference(results)
    sections = (
        _introduction(results),
        background.section(results),
        _setup(results),
        _results(results, found),
        Section("limitations", "Limitations", tuple(findings.limitations(results))),
    )
    appendix = Section("appendix", "Environment", tuple(setup.environment(results)))
    document = Document(
        title=f"Adapting a Language Model: {_numeral(len(results.labels)).capitalize()}"
        f" Method{'s' if len(results.labels) != 1 else ''} under One Budget",
        subtitle=f"Report on the suite “{results.name}”",
        date=results.manifest.created[:10],
        facts=_facts(results),
        abstract=_abstract(results, found),
        sections=sections,
        appendix=(appendix,) if appendix.blocks else (),
    )
    return _known_only(document, references)


def _facts(results: Results) -> tuple[tuple[str, str], ...]:
    seeds = results.cells["seed"].nunique()
    done = int(results.cells["status"].isin(SCORED).sum())
    return (
        ("Backbone" + ("s" if len(results.backbones) > 1 else ""),
         listing([results.title("backbones", b) for b in results.backbones])),
        ("Methods", str(len(results.labels))),
        ("Tasks", str(len(results.tasks))),
        ("Seeds", str(seeds)),
        ("Cells with a score", f"{done} of {len(results.cells)}"),
    )  # fmt: skip


def _abstract(results: Results, found: list[tables.Difference]) -> Text:
    families = {results.family_of(label) for label in results.labels} - {"baseline"}
    seeds = results.cells["seed"].nunique()
    backbones = listing([results.title("backbones", b) for b in results.backbones])
    among = f" from {_numeral(len(families))} famil{'ies' if len(families) > 1 else 'y'}" if families else ""
    opening = (
        "Fine-tuning all parameters of a language model takes the memory to train it and a full copy of it for"
        f" every task. We compare {_numeral(len(results.labels))}"
        f" method{'s' if len(results.labels) != 1 else ''}{among}, baselines included, on {backbones} and"
        f" {_numeral(len(results.tasks))} task{'s' if len(results.tasks) != 1 else ''}, each under the same budget"
        f" with {_numeral(seeds)} seed{'s' if seeds != 1 else ''}, and measure score, trainable parameters, memory,"
        " throughput and latency. "
    )
    closing = "Every number comes from a record of this run; limits of what it can show are listed at the end."
    return (opening, *findings.headline(results, found), closing)


def _introduction(results: Results) -> Section:
    say = Paragraph
    return Section(
        "introduction",
        "Introduction",
        (
            say(("How can language models that keep growing be adapted to a task efficiently? Training all of their"
                 " parameters needs gradients and optimiser state for each, and leaves a copy of the whole model"
                 " per task. Parameter-efficient fine-tuning keeps the pretrained parameters ",
                 Math(r"\theta", "θ"), " fixed, or nearly so, and learns a small set ", Math(r"\phi", "φ"),
                 " instead. Five answers have been given to the question what ", Math(r"\phi", "φ"), " should be: a"
                 " sparse change of ", Math(r"\theta", "θ"), ", a low-rank change, small inserted networks"
                 " (adapters), trained vectors in the input (soft prompts), and the output of another network"
                 " (hypernetworks).")),
            say((Cite(("pfeiffer2023modular",), textual=True), " order these answers by where a module meets the"
                 " backbone: in its parameters, ", Math(r"\theta' = \theta \oplus \phi", "θ′ = θ ⊕ φ"),
                 "; in its input, ", Math(r"[\phi;\, x]", "[φ; x]"), "; or in the function it computes, ",
                 Math(r"f_\theta \circ f_\phi", "f_θ ∘ f_φ"), ". A hypernetwork generates ", Math(r"\phi", "φ"),
                 " for any of the three. The place decides what a method costs: a change of parameters can be"
                 " folded into the backbone once trained, an inserted function and a longer input cannot.")),
            say(("Comparisons exist ", Cite(("ding2023delta", "lialin2023scaling", "belanec2025peftbench")),
                 ", and doubts about them too: ", Cite(("chen2022revisiting",), textual=True), " find that gains"
                 " shrink under a fair protocol and that parameter-efficient methods are no more stable than full"
                 " fine-tuning, whose own spread over seeds is known to be large ", Cite(("mosbach2021stability",)),
                 ". This report therefore gives each method the same data, order, steps and seeds, shows the spread"
                 " beside every mean, and calls a difference one only after a test. Its question is narrow: what do"
                 f" {'these methods' if len(results.labels) != 1 else 'this method'} score and cost here?")),
        ),
    )  # fmt: skip


def _setup(results: Results) -> Section:
    return Section(
        "setup",
        "Setup",
        (
            *_backbones(results),
            *_data(results),
            *_training(results),
            *setup.budgets(results),
            *setup.hyperparameters(results),
            *_measuring(results),
            *_machine(results),
        ),
    )


def _backbones(results: Results) -> list[Block]:
    blocks: list[Block] = []
    for name in results.backbones:
        card = results.card("backbones", name)
        size = card.get("parameters")
        text: list[Inline] = [f"{results.title('backbones', name)} (", Code(name), ")", *background.cited(card)]
        kind = f", architecture {card['architecture']}" if card.get("architecture") else ""
        text.append(kind + (f", {count(size)} parameters" if isinstance(size, (int, float)) else "") + ". ")
        text.append(_sentences(card.get("summary"), _licence(card)))
        blocks.append(Paragraph(tuple(text), "Backbone."))
    return blocks


def _data(results: Results) -> list[Block]:
    blocks: list[Block] = []
    for name in results.tasks:
        card = results.card("tasks", name)
        text: list[Inline] = [Code(name), *background.cited(card), ". "]
        labels = card.get("labels") or []
        classes = f"Classes: {', '.join(map(str, labels))}." if 0 < len(labels) <= 10 else f"{len(labels)} classes."
        metric = f"Primary metric: {results.metric(name)}."
        classes = classes if labels else ""
        text.append(_sentences(card.get("summary"), classes, card.get("split"), metric, _licence(card)))
        blocks.append(Paragraph(tuple(text), f"Data: {results.title('tasks', name)}."))
    return blocks


def _training(results: Results) -> list[Block]:
    seeds = sorted({int(seed) for seed in results.cells["seed"]})
    asked = results.suite.get("precision")
    used = sorted({str(e["precision"]) for e, _ in results.environments() if e.get("precision")})
    precision = f" Arithmetic: {listing(used)}" + (f" (asked for: {asked})." if asked else ".") if used else ""
    return [
        Paragraph(
            ("AdamW ", Cite(("loshchilov2019adamw",)), " with a linear schedule after warm-up; a fresh task head is"
             " trained by every method alike and counted apart. For a given seed"
             f" ({listing([str(s) for s in seeds])}) all methods see the same training examples in the same order,"
             " start from the same head and take the same number of optimiser steps, the selection phases of a"
             " method included. The checkpoint is chosen on validation data; the test split is read once."
             + precision,),
            "Training.",
        )
    ]  # fmt: skip


def _measuring(results: Results) -> list[Block]:
    groups = tables.cost_groups(results)
    blocks: list[Block] = []
    if groups:
        protocol = groups[0].protocol
        timed = protocol.get("timed_steps")
        steps = f" Times are medians over {timed} steps after a warm-up." if timed else ""
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
        said.append(f"{environment['cores']} cores" + (f" ({threads} threads used)" if threads else ""))
    if isinstance(environment.get("memory_bytes"), (int, float)):
        said.append(f"{environment['memory_bytes'] / 1e9:.0f} GB of memory")
    if environment.get("device"):
        said.append(f"device {environment['device']}")
    if environment.get("platform"):
        said.append(str(environment["platform"]))
    return f"Hardware: {', '.join(said)}. " if said else ""


def _results(results: Results, found: list[tables.Difference]) -> Section:
    if results.scored.empty:
        nothing = Paragraph(("No cell of this suite has a score yet, so that there is nothing to compare.",))
        return Section("results", "Results", (nothing, *findings.unfinished(results), *setup.unfinished(results)))
    missing = setup.unfinished(results)
    parts = [
        Section("scores", "Scores", (*findings.scores(results), *tables.scores(results))),
        Section("differences", "Differences to full fine-tuning",
                (*findings.differences(results, found), *tables.differences(results, found))),
        Section("tradeoff", "Score against trainable parameters",
                (*findings.tradeoff(results), *figures.tradeoff(results))),
        Section("cost", "Memory, throughput and latency",
                (*findings.costs(results), *figures.cost(results), *tables.costs(results), *tables.memory(results))),
        Section("curves", "Learning curves", (*findings.curves(results), *figures.curves(results))),
    ]  # fmt: skip
    if missing or findings.unfinished(results):
        parts.append(Section("unfinished", "What is missing", (*findings.unfinished(results), *missing)))
    return Section("results", "Results", (), tuple(part for part in parts if part.blocks))


def _licence(card: dict[str, Any]) -> str:
    return f"Licence: {card['licence']}." if card.get("licence") else ""


def _sentences(*parts: Any) -> str:
    """The parts that say something, each ended by a full stop."""
    said = [str(part).strip() for part in parts if part]
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in said)


def _numeral(n: int) -> str:
    return _NUMERALS[n] if n < len(_NUMERALS) else str(n)


def _known_only(document: Document, references: dict[str, Entry]) -> Document:
    """Drops citations of works that no entry describes, so that nothing is left undefined."""

    def text(pieces: Iterable[Inline]) -> Text:
        kept: list[Inline] = []
        for piece in pieces:
            if isinstance(piece, Cite):
                keys = tuple(key for key in piece.keys if key in references)
                if not keys and kept and isinstance(kept[-1], str):
                    kept[-1] = kept[-1].rstrip()
                kept += [Cite(keys, piece.textual)] if keys else []
            else:
                kept.append(piece)
        return tuple(kept)

    def section(one: Section) -> Section:
        blocks = tuple(Paragraph(text(b.text), b.heading) if isinstance(b, Paragraph) else b for b in one.blocks)
        return Section(one.key, one.title, blocks, tuple(section(s) for s in one.sections))

    return Document(
        document.title, document.subtitle, document.date, document.facts, text(document.abstract),
        tuple(section(s) for s in document.sections), tuple(section(s) for s in document.appendix),
    )  # fmt: skip
