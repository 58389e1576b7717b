"""Memory, throughput and latency: what training, storing and using each method costs."""

from __future__ import annotations

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.costs import CostGroup, MemoryUse
from reports.analysis.fronts import Front
from reports.drawing import cost, fronts
from reports.model.document import Figure, Part, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose, join, say
from reports.model.writing import amount, decimal, plural, span, unit_for
from reports.results import Results
from reports.sections import front_tables
from reports.sections.measures import Measure, columns_and_rows
from reports.sections.rows import named, several, shown

PLACE = "results"
ORDER = 40

_COST = (
    Measure("adapter_parameters", "Trainable parameters"),
    Measure("percent", "Trainable parameters"),
    Measure("head_parameters", "Trainable parameters"),
    Measure("stored_bytes"),
    Measure("peak_memory_bytes", heading="Peak memory"),
    Measure("train_tokens_per_second", "Training", spread=True),
    Measure("step_seconds", "Training", spread=True),
    Measure("step_ratio", "Training", spread=True),
    Measure("yardstick_seconds", "Training", spread=True),
    Measure("latency", "Inference latency", spread=True),
    Measure("merged_latency", "Inference latency", spread=True),
    Measure("backbone_inference_seconds", "Inference latency", spread=True),
)


def part(analysis: Analysis, prose: Prose) -> Part:
    """Costs relative to full fine-tuning, where the suite has it, and scores against them."""
    drawn, plotted = ranked(cost.figures(analysis), 90), ranked(fronts.figures(analysis), 80)
    states = ranked(front_tables.by_cost(analysis), 35)
    blocks: list[Table | Figure] = [*drawn, *plotted, *ranked(tables(analysis), 70), *states]
    section = Section("cost", "Memory, throughput and latency", shown(_said(analysis), blocks))
    title = "Parameters are one cost of several"
    slides = [
        Slide(title, (_plotted(analysis.results, front),), figure, 60, minutes=1.5)
        for front, figure in zip(analysis.fronts[:1], plotted[:1], strict=True)
    ]
    backup = [
        Slide("Memory, throughput, latency", (_drawn(analysis.results, group),), figure, 20)
        for group, figure in zip([each for each in analysis.costs if cost.what(each)][:1], drawn[:1], strict=True)
    ]
    return Part(section, tuple(slides), tuple(backup))


def _drawn(results: Results, group: CostGroup) -> Text:
    return say(
        "{what} on {backbone}, as profiled for {tasks}.",
        what=cost.what(group),
        backbone=results.title("backbones", group.backbone),
        tasks=listing(group.tasks),
    )


def _plotted(results: Results, front: Front) -> Text:
    return say(
        "Mean test score on {tasks} against {costs} on {backbone}; grey: the Pareto front of the means.",
        costs=plural(len(front.costs), "cost"),
        tasks=listing(front.tasks),
        backbone=results.title("backbones", front.group.backbone),
    )


def _said(analysis: Analysis) -> list[list[Text]]:
    """A paragraph of sentences per group."""
    results, groups = analysis.results, analysis.costs
    if not groups and results.profiles:
        return [[say("No cell has a cost profile yet: run the suite to its end to have cost measured.")]]
    if not groups:
        return [[say("The suite asks for no cost profiles.")]]
    said = []
    for i, group in enumerate(groups):
        of = [say("Profile of {tasks}.", tasks=listing(group.tasks))] if len(groups) > 1 else []
        of += [
            *memory_sentences(results, group, first=not i),
            *throughput_sentences(group),
            *drift_sentences(results, group),
            *latency_sentences(group, first=not i),
            *family_sentences(analysis, group),
        ]
        said.append(of)
    return said


def memory_sentences(results: Results, group: CostGroup, first: bool) -> list[Text]:
    """What the parts and the peak are is explained once."""
    memory = group.memory
    if memory is None:
        return []
    backbone = results.title("backbones", group.backbone)
    peak = "Measured peak memory of training on {backbone}: {peak}."
    said = [say(peak, backbone=backbone, peak=_range(memory.peak, "bytes"))]
    if memory.share:
        said.append(_beside_full(memory))
        said += _why(memory) if first else []
    return said


def _beside_full(memory: MemoryUse) -> Text:
    if not (memory.percent and memory.kept):
        said = "Methods other than full fine-tuning reach {share} of its peak."
        return say(said, share=_percent(memory.share, 0))
    return say(
        "Methods other than full fine-tuning reach {share} of its peak while they train {percent} of the backbone's"
        " parameters; weights and kept activations are {kept} of the bytes that are counted for them.",
        share=_percent(memory.share, 0),
        percent=_percent(memory.percent, 2),
        kept=_percent(memory.kept, 0),
    )


def _why(memory: MemoryUse) -> list[Text]:
    saved = (
        "Training fewer parameters saves gradients and optimiser state, but activations only where no gradient has to"
        " flow."
    )
    beyond = (
        "The peak is {beyond} times what is counted: temporary buffers and the allocator's reserve are in it, and are"
        " not told apart here."
    )
    return [say(saved), *([say(beyond, beyond=span(memory.beyond.values(), 1))] if memory.beyond else [])]


def throughput_sentences(group: CostGroup) -> list[Text]:
    """In tokens a second, and relative to the reference."""
    rate = group.means("train_tokens_per_second")
    if not rate:
        return []
    said = [say("Training processes {rate}.", rate=_range(rate, "tokens/s"))]
    others = [value for label, value in group.relative("train_tokens_per_second").items() if label != group.reference]
    if others:
        said.append(say("Relative to full fine-tuning that is a factor of {factor}.", factor=span(others, 2)))
    return said


def drift_sentences(results: Results, group: CostGroup) -> list[Text]:
    """Which profiles met a machine that was too restless."""
    costs = {cell: results.records[str(cell)].cost for cell in group.cells.drop_duplicates("profile").index}
    drifted = [cell for cell, cost in costs.items() if cost and cost.drifted]
    if not drifted:
        return []
    labels = listing(list(dict.fromkeys(group.cells.loc[drifted, "label"])))
    told = "Of {n} cost profiles {drifted} met a restless machine ({labels}): their ratios may be five percent off."
    return [say(told, n=str(len(costs)), drifted=str(len(drifted)), labels=labels)]


def latency_sentences(group: CostGroup, first: bool) -> list[Text]:
    """A merged model computes what the backbone computes, so that it shows how far timing can be trusted."""
    said = []
    change = "{how}, the time of a batch changes by {change} against the plain backbone."
    if placed := group.means("latency"):
        said.append(say(change, how="With the method in place", change=_change(placed)))
    if merged := group.means("merged_latency"):
        said.append(say(change, how=f"Merged ({listing(list(merged))})", change=_change(merged)))
        noise = (
            "A merged model computes what the plain backbone computes: these last differences are noise of the timing,"
            " and other differences of their size may be so too."
        )
        said.append(say(noise if first else "That, again, is noise."))
    return said


def family_sentences(analysis: Analysis, group: CostGroup) -> list[Text]:
    """Peak memory and throughput of the topic's own, relative to the reference."""
    family, said = analysis.topic.family, []
    for column, what in (("peak_memory_bytes", "peak memory"), ("train_tokens_per_second", "throughput")):
        relative = group.relative(column)
        own = {label: value for label, value in relative.items() if analysis.results.family_of(label) == family}
        if own:
            said.append(f"{what} {named(own, lambda value: decimal(value, 2))}")
    if not said:
        return []
    return [say("Of the {family} family, relative to full fine-tuning: {own}.", family=family, own="; ".join(said))]


def _range(values: dict[str, float], kind: str) -> str:
    """ "311 MB (head) to 835 MB (full)"."""
    unit = unit_for(kind, values.values())
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    ends = [f"{amount(values[label], unit)} ({label})" for label in (low, high)]
    return " to ".join(ends) if low != high else ends[0]


def _percent(values: dict[str, float], decimals: int) -> str:
    """The number and its sign stay on one line."""
    return f"{span(values.values(), decimals)}\u00a0%"


def _change(ratios: dict[str, float]) -> str:
    return f"{span([100 * (ratio - 1) for ratio in ratios.values()], 1, signed=True)}\u00a0%"


def tables(analysis: Analysis) -> list[Table]:
    """A table per backbone and protocol."""
    results, groups = analysis.results, analysis.costs
    made = []
    for position, group in enumerate(groups):
        measures = [measure for measure in _COST if measure.name not in without(group)]
        columns, rows, data = columns_and_rows(results, group, measures)
        key = keyed("cost", position, len(groups))
        made.append(Table(key, _caption(results, group), columns, rows, data, wide=True))
    return made


def without(group: CostGroup) -> tuple[str, ...]:
    """The quantities of training's time that are left out: older profiles had no yardstick."""
    return ("step_seconds",) if group.means("step_ratio") else ("step_ratio", "yardstick_seconds")


def _caption(results: Results, group: CostGroup) -> Text:
    mean = "Cost on {backbone}, mean (timed quantities ± sample standard deviation) over up to {cells} ({tasks})."
    step = (
        "A training step is over the yardstick's, a step of the frozen backbone that trains nothing, timed in turn with"
        " it; tokens/s follow from it at the yardstick's median speed."
    )
    latency = (
        "Latency is that of one batch: with the method in place, and folded into the backbone where the method can be"
        " merged, over that of the plain backbone, which is timed beside either."
    )
    return join(
        [
            say(
                mean,
                backbone=results.title("backbones", group.backbone),
                cells=several(group.most, "profiled cell"),
                tasks=listing(group.tasks),
            ),
            say("{protocol}", protocol=protocol_text(group)),
            of_inference(results, group),
            say(step) if group.means("step_ratio") else (),
            say("Stored: bytes to keep per task, head included.") if group.means("stored_bytes") else (),
            say(latency) if group.means("latency") else (),
        ]
    )


def of_inference(results: Results, group: CostGroup) -> Text:
    """On what is not trained; nothing where all is."""
    untrained = [label for label in results.untrained if label in group.labels]
    return say("The peak of {labels} is that of inference.", labels=listing(untrained)) if untrained else ()


def protocol_text(group: CostGroup) -> str:
    """The protocol's batch shapes in a sentence, as far as it names them."""
    said = []
    for key, name in (("train_batch", "training"), ("inference_batch", "inference")):
        shape = group.protocol.get(key)
        if isinstance(shape, list) and len(shape) == 2:
            said.append(f"{name} batches of {shape[0]} × {shape[1]} tokens")
    return (" and ".join(said).capitalize() + ".") if said else ""
