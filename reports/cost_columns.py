"""The figures of a cost profile, as columns of a frame: one number each."""

from __future__ import annotations

from records.record import Beside, Cost

_NO_COLUMNS = ("protocol", "phases", "drifted", "rounds", "passes", "generation")
COST_COLUMNS = tuple(name for name in Cost.model_fields if name not in _NO_COLUMNS)
LATENCIES = ("latency", "merged_latency", "deployed_latency")
# Of a glance at one text, at many, and at the first of several new tokens, in this order: over the backbone's with the
# method in place and merged, and the backbone's own seconds.
GLANCED = {
    of: (f"{of}_latency", f"merged_{of}_latency", f"backbone_{of}_seconds") for of in ("one", "many", "first_token")
}
GLANCES = tuple(name for names in GLANCED.values() for name in names)
# Of several new tokens: with the method in place, merged, and the backbone's own.
RATES = ("tokens_per_second", "merged_tokens_per_second", "backbone_tokens_per_second")


def costs_of(cost: Cost) -> dict[str, float | None]:
    """What was measured, by column; machines drift, so that latencies are over the backbone's, timed beside them."""
    return {name: getattr(cost, name) for name in COST_COLUMNS} | _latencies(cost) | _glances(cost)


def _latencies(cost: Cost) -> dict[str, float | None]:
    if cost.inference_seconds is None or cost.backbone_inference_seconds is None:
        return {}
    latency = cost.inference_seconds / cost.backbone_inference_seconds
    merged = cost.merged_inference_seconds and cost.merged_inference_seconds / cost.backbone_inference_seconds
    return dict(zip(LATENCIES, (latency, merged, merged or latency), strict=True))


def _glances(cost: Cost) -> dict[str, float | None]:
    glanced: list[tuple[str, Beside]] = [("one" if each.texts == 1 else "many", each) for each in cost.passes]
    glanced += [("first_token", each) for each in cost.generation if each.tokens == 1]
    found: dict[str, float | None] = {}
    for of, each in glanced:
        merged = each.merged_seconds and each.merged_seconds / each.backbone_seconds
        figures = (each.seconds / each.backbone_seconds, merged, each.backbone_seconds)
        found |= dict(zip(GLANCED[of], figures, strict=True))
    for written in cost.generation:
        if written.tokens > 1:
            taken = (written.seconds, written.merged_seconds, written.backbone_seconds)
            found |= {name: written.tokens / one if one else None for name, one in zip(RATES, taken, strict=True)}
    return found
