"""The setup: all that is needed to repeat the run, from its manifest and records."""

from __future__ import annotations

from typing import Any

from records.cards import BackboneCard, TaskCard
from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.costs import CostGroup
from reports.analysis.statistics import MIN_PAIRS
from reports.model.document import Block, Cite, Code, Paragraph, Part, Section, Slide, Text, ranked
from reports.model.prose import Prose, join, say
from reports.model.writing import count, decimal
from reports.results import Results
from reports.sections import budgets
from reports.sections.background import cited

PLACE = "before"
ORDER = 30
# Of more classes, their number is given.
CLASSES_NAMED = 10
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


def part(analysis: Analysis, prose: Prose) -> Part:
    """Backbones, data, protocol and machine; in the talk the protocol, and hyperparameters for questions."""
    results = analysis.results
    given = budgets.hyperparameters(results)
    budget = [*budgets.budgets(results), *budgets.options(results)]
    run = say("{run}", run=Cite((analysis.run.key,)))
    blocks: tuple[Block, ...] = (
        Paragraph(prose.text("protocol", "data of this report", run=run), "Data of this report."),
        *(Paragraph(_backbone(results, name), "Backbone.") for name in results.backbones),
        *(Paragraph(_data(results, name), f"Data: {results.title('tasks', name)}.") for name in results.tasks),
        *([] if analysis.provenance else [Paragraph(_training(results, prose), "Training.")]),
        *budget,
        *ranked(given, 65),
        *_measured(analysis, prose),
        Paragraph(_machine(results, prose), "Machine and software."),
    )
    if analysis.provenance is not None:
        return Part(Section("setup", "Setup", blocks))
    points = prose.passage(
        "protocol",
        "slide",
        backbones=listing([results.title("backbones", name) for name in results.backbones]),
        head=", head" if results.headed else "",
        seeds=_seeds(results),
        run=run,
    )
    return Part(
        Section("setup", "Setup", blocks),
        (Slide("How it was measured", points, budget[0], order=30),),
        tuple(Slide("Hyperparameters", (), table, order=60) for table in given[:1]),
    )


def _measured(analysis: Analysis, prose: Prose) -> list[Paragraph]:
    """How cost was measured and scores are tested; of what others ran, how they measured."""
    if analysis.provenance is not None:
        return [Paragraph(prose.text("published", "costs"), "Cost.")] if analysis.costs else []
    return [*_cost(analysis.costs, prose), Paragraph(_statistics(analysis, prose), "Statistics.")]


def _seeds(results: Results) -> str:
    return listing([str(seed) for seed in sorted({int(seed) for seed in results.cells["seed"]})])


def _backbone(results: Results, name: str) -> Text:
    card = results.backbone_card(name)
    known = isinstance(card.parameters, (int, float))
    named = say(
        "{title} ({name}){cited}{architecture}{parameters}.",
        title=results.title("backbones", name),
        name=Code(name),
        cited=cited(card),
        architecture=f", architecture {card.architecture}" if card.architecture else "",
        parameters=f", {count(card.parameters)} parameters" if known and card.parameters is not None else "",
    )
    return join([named, *_sentences(card.summary, _licence(card))])


def _data(results: Results, name: str) -> Text:
    card = results.task_card(name)
    classes = f"{len(card.labels)} classes"
    if len(card.labels) <= CLASSES_NAMED:
        classes = f"Classes: {', '.join(map(str, card.labels))}"
    metric = f"Primary metric: {results.metric(name)}{_direction(results, name)}"
    said = [card.summary, classes if card.labels else "", card.split, *_left_out(results, name), metric, _licence(card)]
    return join([say("{name}{cited}.", name=Code(name), cited=cited(card)), *_sentences(*said)])


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
    uses = [
        (cells[cell_id].backbone, record.data)
        for cell_id, record in results.records.items()
        if cells[cell_id].task == task and record.data
    ]
    if not uses:
        return []
    said = []
    if dropped := next((use.dropped for _, use in uses if use.dropped), {}):
        rows = listing([f"{n:,} ({why})" for why, n in dropped.items()])
        said.append(f"Rows of the data that are in no split: {rows}")
    if removed := max(use.duplicates_removed or 0 for _, use in uses):
        said.append(f"{removed:,} training or validation examples were left out, as a later split holds their text")
    unknown = {backbone: use.unknown_tokens for backbone, use in uses}
    for backbone, share in unknown.items():
        if share and share > MANY_UNKNOWN:
            said.append(
                f"{decimal(100 * share, 1)}\u00a0% of the training texts' tokens are unknown to the vocabulary of"
                f" {results.title('backbones', backbone)}"
            )
    if unasked := max(use.unasked for _, use in uses):
        most = max(use.test or 0 for _, use in uses)
        said.append(
            f"Up to {unasked:,} of {most:,} test examples could not be put to a model, and are scored as without an"
            " answer"
        )
    return said


def _statistics(analysis: Analysis, prose: Prose) -> Text:
    words = prose.text("protocol", "verdicts")
    heading = "statistics of examples" if analysis.outcomes else "statistics"
    return prose.text("protocol", heading, pairs=MIN_PAIRS, words=words)


def _training(results: Results, prose: Prose) -> Text:
    in_words = [
        task
        for task in dict.fromkeys(cell.task for cell in results.manifest.cells.values() if cell.form == "text")
        if results.task_card(task).kind != "language modelling"
    ]
    untrained = f"Nothing is trained for {listing(results.untrained)}." if results.untrained else ""
    return prose.text(
        "protocol",
        "training with heads" if results.headed else "training",
        answers=prose.text("protocol", "answers in words", tasks=listing(in_words)) if in_words else (),
        untrained=untrained,
        seeds=_seeds(results),
        arithmetic=_arithmetic(results),
    )


def _arithmetic(results: Results) -> str:
    asked = results.suite.get("precision")
    used = sorted({str(e["precision"]) for e, _ in results.environments() if e.get("precision")})
    if not used:
        return ""
    return f"Arithmetic: {listing(used)} (asked for: {asked})." if asked else f"Arithmetic: {listing(used)}."


def _cost(groups: list[CostGroup], prose: Prose) -> list[Paragraph]:
    """How cost was measured, where it was."""
    if not groups:
        return []
    protocol = groups[0].protocol
    timed, pairs = protocol.get("timed_steps"), protocol.get("pairs", protocol.get("inference_pairs"))
    yardstick = "yardstick" in protocol
    said = prose.text(
        "protocol",
        "cost",
        shapes=batch_shapes(groups[0]),
        steps=prose.text("protocol", "times beside a yardstick", pairs=str(pairs))
        if yardstick
        else prose.text("protocol", "times of training", timed=str(timed))
        if timed
        else (),
        latency=prose.text("protocol", "latency", pairs=str(pairs)) if pairs else (),
        shared=prose.text("protocol", "shared profiles") if any(group.shared for group in groups) else (),
    )
    return [Paragraph(said, "Cost.")]


def _machine(results: Results, prose: Prose) -> Text:
    """Of the commonest environment."""
    environments = results.environments()
    said = _made_on(environments[0][0]) if environments else []
    if command := results.suite.get("command"):
        said.append(say("To repeat: {command}.", command=Code(str(command))))
    return join([*said, *prose.passage("protocol", "identity")])


def _made_on(environment: dict[str, Any]) -> list[Text]:
    """Hardware, software and code."""
    said = [_hardware(environment), _software(environment)]
    if commit := environment.get("commit"):
        changed = ", with local changes" if environment.get("dirty") else ""
        said.append(say("Code: commit {commit}{changed}.", commit=Code(str(commit)[:12]), changed=changed))
    if commit := environment.get("profiled", {}).get("commit"):
        said.append(say("Costs were profiled later, by commit {commit}.", commit=Code(str(commit)[:12])))
    return said


def _software(environment: dict[str, Any]) -> Text:
    versions: dict[str, Any] = environment.get("versions") or {}
    named = [
        say("{name} {version} {source}", name=name, version=str(versions[package]), source=Cite((key,)))
        for package, (name, key) in _SOFTWARE.items()
        if package in versions
    ]
    if python := environment.get("python"):
        named.append((f"Python {python}",))
    return say("Software: {named}.", named=join(named, ", ")) if named else ()


def _hardware(environment: dict[str, Any]) -> Text:
    said = []
    if environment.get("processor"):
        said.append(str(environment["processor"]))
    if environment.get("cores"):
        threads = environment.get("threads")
        profiled = environment.get("profiled", {}).get("threads")
        used = [f"{n} for {what}" for n, what in ((threads, "training a cell"), (profiled, "profiling it")) if n]
        said.append(f"{environment['cores']} cores" + (f" (threads: {listing(used)})" if used else ""))
    if isinstance(environment.get("memory_bytes"), (int, float)):
        said.append(f"{decimal(environment['memory_bytes'] / 1e9, 0)} GB of memory")
    if environment.get("device"):
        said.append(f"device {environment['device']}")
    if environment.get("platform"):
        said.append(str(environment["platform"]))
    return say("Hardware: {said}.", said=", ".join(said)) if said else ()


def batch_shapes(group: CostGroup) -> str:
    """The protocol's batches in a sentence, as far as it tells their shapes."""
    said = []
    for key, name in (("train_batch", "training"), ("inference_batch", "inference")):
        shape = group.protocol.get(key)
        if isinstance(shape, list) and len(shape) == 2:
            said.append(f"{name} batches of {shape[0]} × {shape[1]} tokens")
    return f"{' and '.join(said).capitalize()}." if said else ""


def _licence(card: TaskCard | BackboneCard) -> str:
    return f"Licence: {card.licence}" if card.licence else ""


def _sentences(*parts: str | None) -> list[Text]:
    """The parts that say something, each ended by a full stop."""
    said = [part.strip() for part in parts if part]
    return [(part if part.endswith((".", "!", "?")) else f"{part}.",) for part in said]
