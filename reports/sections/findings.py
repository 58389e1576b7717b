"""Sentences about results, computed from the numbers. They say what was measured, and no more than that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from reports.analysis.analysis import Analysis
from reports.analysis.contrasts import Contrast
from reports.analysis.costs import CostGroup
from reports.analysis.statistics import ALPHA, MIN_PAIRS, seeds_needed
from reports.model.document import Code, Inline, Paragraph, Ref, Text, listing
from reports.model.writing import count, plural, points, unit_for
from reports.results import SCORED, Results, select
from reports.sections.tables import MEMORY_PARTS

# With more tasks than this, sentences count them instead of naming each.
TASKS_IN_PROSE = 3
# Of more configurations than this, sentences give the two ends.
NAMED_IN_PROSE = 4
# The number and its sign stay on one line.
PERCENT = "\u00a0%"


def scores(analysis: Analysis) -> list[Paragraph]:
    """Range of the means per task, those of `family`, and the size of the spread over seeds."""
    results, family = analysis.results, analysis.topic.family
    made = []
    for backbone in results.backbones:
        text: list[Inline] = []
        spreads = []
        in_points = [task for task in results.tasks if results.scale(task).in_points]
        for task in results.tasks:
            means, scale = {}, results.scale(task)
            for label in results.labels:
                summary, _ = analysis.scored.of("score", backbone, task, label)
                if summary.n:
                    means[label] = summary.mean
                if summary.sd is not None and task in in_points:
                    spreads.append(summary.sd)
            if len(means) == 1:
                [(label, mean)] = means.items()
                text += [
                    "On ",
                    Code(task),
                    " only ",
                    Code(label),
                    f" has a score: {scale.text(mean)}{scale.points_after}. ",
                ]
            elif means:
                low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
                text += ["On ", Code(task), f" the mean test {results.metric(task)} runs from {scale.text(means[low])}"
                         " (", Code(low), f") to {scale.text(means[high])}{scale.points_after} (", Code(high), ")",
                         "" if scale.higher_is_better else ", of which less is better"]  # fmt: skip
                own = {label: mean for label, mean in means.items() if results.family_of(label) == family}
                text.append(f"; of the {family} family: {_each(own, scale.text)}. " if own else ". ")
        if not text:
            continue
        if len(results.backbones) > 1:
            text.insert(0, f"{results.title('backbones', backbone)}. ")
        if spreads:
            text.append(
                f"The standard deviation over seeds lies between {points(min(spreads))} and {points(max(spreads))}"
                f" points (median {points(float(np.median(spreads)))}): gaps of that size between neighbouring"
                " means say little by themselves."
            )
        elif in_points:
            text.append("Every cell ran with one seed: nothing here tells a difference from noise.")
        made.append(Paragraph(tuple(text)))
    return made


def differences(analysis: Analysis) -> list[Paragraph]:
    """What the paired tests show, or why there are none."""
    results, found = analysis.results, analysis.contrasts
    reference = results.reference
    if reference is None:
        return [Paragraph(("The suite has no full fine-tuning, so that no method is compared with a common"
                           " reference here.",))]  # fmt: skip
    if not found:
        return [Paragraph(("No method shares a scored cell with ", Code(reference), ": nothing can be compared"
                           " pair by pair."))]  # fmt: skip
    tested = [d for d in found if d.adjusted is not None]
    if not tested:
        most = max(d.comparison.n for d in found)
        text: list[Inline] = [
            "The differences to ", Code(reference), " (", Ref("tab:differences"), ") are paired by seed and given as"
            f" observed. With {plural(most, 'seed')} in common we test none of them: below {MIN_PAIRS} pairs a test"
            " has next to no power, and a p-value would suggest more than the data hold."
        ]  # fmt: skip
    else:
        real = [d for d in tested if (d.adjusted or 0) < ALPHA]
        text = [
            f"Of {len(tested)} paired tests against ", Code(reference),
            " (", Ref("tab:differences"), f"; two-sided t-test, Holm-corrected, α = {ALPHA}), {len(real)}"
            f" show{'s' if len(real) == 1 else ''} a difference",
        ]  # fmt: skip
        for i, d in enumerate(real):
            text += [", " if i else ": ", Code(d.label), " on ", Code(d.task), f" ({_signed(results, d)})"]
        text.append(". ")
        if rest := len(tested) - len(real):
            text.append(f"For the other {rest} no difference could be shown, which is not evidence that there is none.")
    spreads = [d.comparison.sd for d in found if d.comparison.sd and results.scale(d.task).in_points]
    if spreads:
        sd = float(np.median(spreads))
        needed = seeds_needed(sd, 0.01)
        text.append(
            f" Given the median standard deviation of the paired differences, {points(sd)} points, such a test"
            f" needs about {needed or 'more than 1,000'} seeds to find a difference of one point with 80{PERCENT} power"
            " (before correction for their number)."
        )
    return [Paragraph(tuple(text))]


def _signed(results: Results, d: Contrast) -> str:
    """A difference, and where less is better also whether it is one for the better."""
    scale, mean = results.scale(d.task), d.comparison.mean
    better = "" if scale.higher_is_better else ", better" if mean > 0 else ", worse"
    return f"{scale.text(mean, signed=True)}{better}"


def tradeoff(analysis: Analysis) -> list[Paragraph]:
    """Who is on the Pareto front of mean score and trainable parameters."""
    results, made = analysis.results, []
    for found in analysis.tradeoff.values():
        text: list[Inline] = []
        tasks = list(dict.fromkeys(point.task for point in found))
        if len(tasks) > TASKS_IN_PROSE:
            often = Counter(point.label for point in found if point.on_front)
            counts = [f"{label} ({often[label]})" for label in results.labels if often[label]]
            text.append(f"On the Pareto front of mean score and trainable parameters, with the number of tasks out of"
                        f" {len(tasks)}: {listing(counts)}. ")  # fmt: skip
            tasks = []
        for task in tasks:
            panel = [point for point in found if point.task == task]
            front = sorted((point for point in panel if point.on_front), key=lambda point: point.parameters)
            if len(panel) > 1:
                text += ["On ", Code(task), f" {len(front)} of {len(panel)} methods lie on the Pareto front of mean"
                         f" score and trainable parameters: {listing([p.label for p in front])}. "]  # fmt: skip
        if text:
            text.append("The front is decided by means alone and inherits their noise.")
            made.append(Paragraph(tuple(text)))
    return made


def costs(analysis: Analysis) -> list[Paragraph]:
    """Memory, throughput and latency, relative to the reference where there is one; those of `family` apart."""
    made: list[Paragraph] = []
    results, groups, family = analysis.results, analysis.costs, analysis.topic.family
    for group in groups:
        sentences = [*_memory(results, group, first=not made), *_throughput(results, group),
                     *_latency(results, group, first=not made), *_of_family(results, group, family)]  # fmt: skip
        text: list[Inline] = [" ".join(sentences)]
        if len(groups) > 1:
            text.insert(0, f"Profile of {listing(list(group.tasks))}. ")
        made.append(Paragraph(tuple(text)))
    if not made:
        made.append(Paragraph((
            "No cell has a cost profile yet: run the suite to its end to have cost measured."
            if results.profiles else "The suite asks for no cost profiles.",
        )))  # fmt: skip
    return made


def _means(results: Results, group: CostGroup, column: str) -> dict[str, float]:
    return group.means(column, results.labels)


def _range(values: dict[str, float], kind: str) -> str:
    """ "311 MB (head) to 835 MB (full)"."""
    unit = unit_for(kind, values.values())
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)

    def said(label: str) -> str:
        return f"{values[label] * unit.factor:,.{unit.decimals}f} {unit.name} ({label})".replace("  ", " ")

    return f"{said(low)} to {said(high)}" if low != high else said(low)


def _each(values: dict[str, float], write: Callable[[float], str]) -> str:
    """ "bitfit 77.9 and lt_sft 80.2"; the two ends where they are many."""
    if len(values) > NAMED_IN_PROSE:
        ends = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
        return " to ".join(f"{write(values[label])} ({label})" for label in ends)
    return listing([f"{label} {write(value)}" for label, value in values.items()])


def _of_family(results: Results, group: CostGroup, family: str | None) -> list[str]:
    """Peak memory and throughput of the topic's own, relative to the reference."""
    said = []
    for column, what in (("peak_memory_bytes", "peak memory"), ("train_tokens_per_second", "throughput")):
        means = _means(results, group, column)
        own = {k: v / means[results.reference] for k, v in means.items()
               if results.family_of(k) == family and results.reference in means}  # fmt: skip
        if own:
            said.append(f"{what} {_each(own, '{:.2f}'.format)}")
    return [f"Of the {family} family, relative to full fine-tuning: {'; '.join(said)}."] if said else []


def _memory(results: Results, group: CostGroup, first: bool) -> list[str]:
    """What the parts and the peak are is explained once."""
    steps = _means(results, group, "step_seconds")
    peak = {label: value for label, value in _means(results, group, "peak_memory_bytes").items() if label in steps}
    if not peak:
        return []  # prompting alone: nothing was trained
    backbone = results.title("backbones", group.backbone)
    said = [f"Measured peak memory of training on {backbone}: {_range(peak, 'bytes')}."]
    reference = results.reference
    others = {label: value for label, value in peak.items() if label != reference}
    if reference in peak and others:
        shares = [100 * value / peak[reference] for value in others.values()]
        percent = [v for k, v in _means(results, group, "percent").items() if k in others]
        part = {column: _means(results, group, column) for column in MEMORY_PARTS}
        counted = {label: sum(values[label] for values in part.values()) for label in peak}
        kept = [100 * (part["weights_bytes"][label] + part["activation_bytes"][label]) / counted[label]
                for label in others]  # fmt: skip
        said.append(
            f"Methods other than full fine-tuning reach {_span(shares, 0)}{PERCENT} of its peak while they train"
            f" {_span(percent, 2)}{PERCENT} of the backbone's parameters; weights and kept activations are"
            f" {_span(kept, 0)}{PERCENT} of the bytes that are counted for them."
        )
        if first:
            beyond = [value / counted[label] for label, value in peak.items()]
            said.append(
                "Training fewer parameters saves gradients and optimiser state, but activations only where no"
                f" gradient has to flow. The peak is {_span(beyond, 1)} times what is counted: temporary buffers and"
                " the allocator's reserve are in it, and are not told apart here."
            )
    return said


def _throughput(results: Results, group: CostGroup) -> list[str]:
    rate = _means(results, group, "train_tokens_per_second")
    if not rate:
        return []
    said = [f"Training processes {_range(rate, 'tokens/s')}."]
    reference = results.reference
    others = [value / rate[reference] for label, value in rate.items() if label != reference and reference in rate]
    if others:
        said.append(f"Relative to full fine-tuning that is a factor of {_span(others, 2)}.")
    return said


def _latency(results: Results, group: CostGroup, first: bool) -> list[str]:
    """A merged model computes what the backbone computes, so that it shows how far timing can be trusted."""
    said = []
    for column, how in (("latency", "With the method in place"), ("merged_latency", "Merged")):
        taken = _means(results, group, column)
        if taken:
            who = f" ({listing(list(taken))})" if how == "Merged" else ""
            change = f"{_span([100 * (ratio - 1) for ratio in taken.values()], 1, signed=True)}{PERCENT}"
            said.append(f"{how}{who}, the time of a batch changes by {change} against the plain backbone.")
            if how == "Merged":
                said.append(
                    "A merged model computes what the plain backbone computes: these last differences are noise of the"
                    " timing, and other differences of their size may be so too."
                    if first
                    else "That, again, is noise."
                )
    return said


def _span(values: list[float], decimals: int, signed: bool = False) -> str:
    sign = "+" if signed else ""
    ends = (round(min(values), decimals), round(max(values), decimals))
    low, high = (f"{v:{sign}.{decimals}f}".replace("-", "−") if v else "0" for v in ends)
    return low if low == high else f"{low} to {high}" if signed else f"{low}–{high}"


def curves(analysis: Analysis) -> list[Paragraph]:
    """Whether training had ended improving when the budget ended."""
    runs, last = analysis.curves.runs, analysis.curves.last
    if not runs:
        return []
    return [
        Paragraph((f"In {last} of {runs} runs the best validation score is that of the last evaluation. Where that"
                   " is so, the budget rather than the method may set the score, and a longer one may change the"
                   " order.",))
    ]  # fmt: skip


def unfinished(results: Results) -> list[Paragraph]:
    """How many cells have no score, by status."""
    missing = results.cells[~results.cells["status"].isin(SCORED)]["status"].value_counts()
    waiting = int((results.cells["status"] == "trained").sum()) if results.profiles else 0
    text: list[Inline] = []
    if len(missing):
        parts = [f"{n} {status}" for status, n in missing.items()]
        text += [f"{missing.sum()} of {len(results.cells)} cells have no score: {listing(parts)} (",
                 Ref("tab:unfinished"), "). Means over the seeds that remain may be biased: a run does not fail"
                 " at random."]  # fmt: skip
    if waiting:
        text.append(f" {waiting} cell{'s have' if waiting > 1 else ' has'} a score but no cost profile yet.")
    return [Paragraph(tuple(text))] if text else []


def limitations(results: Results) -> list[Paragraph]:
    """What this run cannot show, from what it holds."""
    made: list[Paragraph] = []

    def add(heading: str, *text: Inline) -> None:
        made.append(Paragraph(tuple(text), heading))

    seeds = sorted({int(seed) for seed in results.cells["seed"]})
    if len(seeds) < MIN_PAIRS:
        many = len(seeds) > 1
        add("Seeds.", f"There {'are' if many else 'is'} {plural(len(seeds), 'seed')}. No difference between methods on"
            " a single task is established here; means and their order are descriptions of these runs."
            + (" What is tested, the claims of papers, is tested over the pairs of all tasks together."
               if many and len(results.tasks) > 1 else ""))  # fmt: skip
    else:
        add("Seeds.", f"There are {len(seeds)} seeds. The tests treat them as a sample of possible runs on the same"
            " data split; they say nothing of other splits or data sets.")  # fmt: skip
    known = [results.backbone_card(b).parameters for b in results.backbones]
    sizes = [float(size) for size in known if isinstance(size, (int, float))]
    if not sizes:
        sizes = results.scored["backbone_parameters"].dropna().unique().tolist()
    scale = f" with {listing([count(size) for size in sizes])} parameters" if sizes else ""
    n = len(results.backbones)
    add("Scale.", f"{'One backbone' if n == 1 else f'{n} backbones'}{scale}"
        f" {'is' if n == 1 else 'are'} adapted. Several methods were proposed for, and tested on, far larger models;"
        " what is seen here need not hold there, in either direction.")  # fmt: skip
    kinds = sorted({str(results.task_card(t).kind or "unknown") for t in results.tasks})
    add("Tasks and budget.", f"{plural(len(results.tasks), 'task').capitalize()} of kind"
        f" {listing(kinds)}, each under one budget (", Ref("tab:budget"), "). A method that gains most from more data"
        " or longer training is at a disadvantage.")  # fmt: skip
    notes = str(results.suite.get("notes") or "").strip()
    add("Tuning.", *((f"The suite says of its hyperparameters: “{notes}” ",) if notes else
                     ("Hyperparameters were fixed in the suite; this run holds no search. ",)),
        "A method whose learning rate suits it less loses by that, not by what it is; how a search is reported"
        " matters as much as its result.")  # fmt: skip
    if read := _as_assumed(results):
        add("Metrics.", read)
    if sampling := _sampling_error(results):
        add("Test sets.", *sampling)
    if (missing := int((~results.cells["status"].isin(SCORED)).sum())) > 0:
        add("Missing cells.", f"{missing} of {len(results.cells)} cells have no score (", Ref("tab:unfinished"), ").")
    environments = [environment for environment, _ in results.environments()]
    timed = [e | e.get("profiled", {}) for e in environments]
    devices = sorted({str(e.get("device")) for e in timed if e.get("device")})
    if devices:
        named = listing(["the CPU" if device == "cpu" else device for device in devices])
        add("Timing.", f"Time was measured on {named}. Ratios between methods can differ on other"
            " devices; counted bytes and FLOPs cannot.")  # fmt: skip
    if any(e.get("dirty") for e in (*environments, *timed)):
        add("Code.", "Some records come from code with local changes, so that their commit does not identify it.")
    if len(environments) > 1:
        add("Environments.", f"The records come from {len(environments)} different environments.")
    return made


def _as_assumed(results: Results) -> str:
    """What was taken for granted of metrics, and scores that belie it."""
    said = []
    for task in results.tasks:
        names = [f"“{name}”" for name in results.task_card(task).assumed]
        if names:
            said.append(f"{listing(names)} of {task} {'was' if len(names) == 1 else 'were'} taken as"
                        f" {'a fraction' if len(names) == 1 else 'fractions'} of which more is better: the task's card"
                        " does not say how to read it.")  # fmt: skip
        scale = results.scale(task)
        raw = [scale.raw(score) for score in select(results.scored, task=task)["score"]]
        if outside := sum(not scale.allows(value) for value in raw):
            said.append(f"{plural(outside, 'score').capitalize()} of {task} {'lies' if outside == 1 else 'lie'} outside"
                        f" of the range of {results.metric(task)}: its card is wrong, or they are.")  # fmt: skip
    return " ".join(said)


def _sampling_error(results: Results) -> Text:
    """The binomial standard error of each task's best mean, where the metric is accuracy."""
    said = []
    for task in results.tasks:
        cells = select(results.scored, task=task)
        uses = [use.test for i in cells.index if (use := results.records[i].data)]
        if results.metric(task) == "accuracy" and results.scale(task).in_points and uses:
            p = float(cells.groupby("label")["score"].mean().max())
            if 0 < p < 1:
                error = math.sqrt(p * (1 - p) / uses[0])
                said.append(f"{points(error)} points for {points(p)} on {task} ({uses[0]:,} examples)")
    if not said:
        return ()
    return (f"All seeds share one test set, so that the spread over seeds leaves out the chance of its examples. The"
            f" standard error that comes from them alone is {listing(said)}.",)  # fmt: skip


def headline(analysis: Analysis) -> Text:
    """Two or three sentences for the abstract."""
    results, found = analysis.results, analysis.contrasts
    text: list[Inline] = []
    for task in results.tasks:
        cells = select(results.scored, task=task)
        if len(cells) and len(results.tasks) <= TASKS_IN_PROSE:
            means, scale = cells.groupby("label")["score"].mean(), results.scale(task)
            less = "" if scale.higher_is_better else ", of which less is better"
            text.append(f"On {results.title('tasks', task)}, mean test {results.metric(task)} runs from"
                        f" {scale.text(means.min())} ({means.idxmin()}) to {scale.text(means.max())}"
                        f"{scale.points_after} ({means.idxmax()}){less}. ")  # fmt: skip
    tested = [d for d in found if d.adjusted is not None]
    if tested:
        real = sum((d.adjusted or 1.0) < ALPHA for d in tested)
        text.append(f"Of {len(tested)} paired tests against full fine-tuning, {real} show{'s' if real == 1 else ''} a"
                    " difference after correction. ")  # fmt: skip
    elif len(results.labels) > 1:
        text.append("The seeds are too few to test differences on a single task, and none is claimed. ")
    return tuple(text)
