"""Whether models are right as often as they are sure; where predictions were kept with probabilities."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.analysis.agreement import mean
from reports.analysis.analysis import Analysis
from reports.analysis.calibration import BINS, Calibration, Calibrations
from reports.drawing import calibration as drawing
from reports.model.document import Code, Column, Figure, Number, Part, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose, each, say
from reports.model.writing import points, spread
from reports.scales import Scale
from reports.sections.rows import NAMED_IN_PROSE, Cell, by_family, shown

PLACE = "results"
ORDER = 64

RANK = 40


def part(analysis: Analysis, prose: Prose) -> Part:
    """A reliability diagram and a table per backbone."""
    found = [one.calibration for one in analysis.everything.errors if one.calibration is not None]
    if not found:
        return Part()
    said = sentences(found)
    drawn = ranked(drawing.figures(analysis), RANK)
    backup = tuple(Slide("Are the models as sure as they are right?", tuple(said[:2]), one, 45) for one in drawn[:1])
    blocks: list[Table | Figure] = [*drawn, *ranked(tables(analysis, found), RANK - 12)]
    return Part(Section("calibration", "Calibration", shown([said], blocks)), (), backup)


def sentences(found: list[Calibrations]) -> list[Text]:
    """Who is best and worst calibrated, whether models are too sure, and who has no probabilities."""
    errors = _over(found, "error")
    best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    ends = say(
        "The expected calibration error, the mean distance between how sure an answer is and how often such answers are"
        " right [@guo2017calibration], goes from {low} points ({best}) to {high} ({worst}).",
        low=points(errors[best]),
        best=Code(best),
        high=points(errors[worst]),
        worst=Code(worst),
    )
    sure, right = _over(found, "confidence"), _over(found, "accuracy")
    over = [label for label in sure if sure[label] > right[label]]
    counted = say(
        "{over} of {n} configurations {are} surer than they are right.",
        over=len(over) or "None",
        n=len(sure),
        are="is" if len(over) <= 1 else "are",
    )
    doubt = say(
        "A low error is no merit by itself: a model that always gives the shares of the classes has none."
        " Temperature scaling on validation data mends most of it after training, whatever was trained"
        " [@guo2017calibration]."
    )
    return [ends, counted, doubt, *_without(found)]


def _without(found: list[Calibrations]) -> list[Text]:
    without = list(dict.fromkeys(label for one in found for label in one.without))
    if not without:
        return []
    who = each(Code(label) for label in without) if len(without) <= NAMED_IN_PROSE else f"{len(without)} configurations"
    return [say("Answers in words have a likelihood and no probability: of {who} nothing can be said here.", who=who)]


def _over(found: list[Calibrations], what: str) -> dict[str, float]:
    """Means over tasks of the means over seeds, by configuration."""
    labels = dict.fromkeys(one.label for each_ in found for one in each_.found)
    values = {
        label: [getattr(one, what).mean for each_ in found for one in each_.found if one.label == label]
        for label in labels
    }
    return {label: mean(own) for label, own in values.items()}


def tables(analysis: Analysis, found: list[Calibrations]) -> list[Table]:
    """A row per configuration, for each backbone."""
    results = analysis.everything.results
    backbones = list(dict.fromkeys(one.backbone for one in found))
    columns = (
        Column("Method", "label"),
        Column("calibration error", unit="points"),
        Column("sure", unit="%"),
        Column("right", unit="%"),
    )
    made = []
    for position, backbone in enumerate(backbones):
        own = [one for one in found if one.backbone == backbone]
        labels = [label for label in results.labels if any(one.label == label for each_ in own for one in each_.found)]
        rows = by_family(results, labels, lambda label, own=own: _numbers(own, label))  # type: ignore[misc]
        over = f"; means over {len(own)} tasks" if len(own) > 1 else ", with its standard deviation over seeds"
        caption = say(
            "Calibration on {backbone}{over}: expected calibration error in {bins} bins of equal width, mean"
            " probability of the answers, and share of right ones.",
            backbone=results.title("backbones", backbone),
            over=over,
            bins=BINS,
        )
        data = pd.DataFrame([_line(each_, one) for each_ in own for one in each_.found])
        made.append(Table(keyed("calibration", position, len(backbones)), caption, columns, rows, data))
    return made


def _numbers(own: list[Calibrations], label: str) -> tuple[Cell, ...]:
    found = [one for each_ in own for one in each_.found if one.label == label]
    cells = tuple(cell for one in found for cell in one.cells)
    error = mean([one.error.mean for one in found])
    sd = found[0].error.sd if len(found) == 1 else None
    written = Number(points(error), error, None if sd is None else spread(sd, Scale().unit), cells=cells)
    others = (mean([one.confidence.mean for one in found]), mean([one.accuracy.mean for one in found]))
    return (written, *(Number(points(value), value, cells=cells) for value in others))


def _line(of: Calibrations, one: Calibration) -> dict[str, Any]:
    return {
        "backbone": of.backbone,
        "task": of.task,
        "label": one.label,
        "calibration_error": one.error.mean,
        "calibration_error_sd": one.error.sd,
        "confidence": one.confidence.mean,
        "accuracy": one.accuracy.mean,
        "n": one.error.n,
        "cells": " ".join(one.cells),
    }
