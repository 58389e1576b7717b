"""Claims of papers beside what was measured, as the page shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from reports.analysis.claims import OUTCOMES, Outcome, Verdict, tally
from reports.model import claim_words
from reports.model.document import Cite
from reports.model.writing import p_equals
from reports.render.html_blocks import Writer, records_link

# The class of each outcome's mark.
MARKS: dict[Outcome, str] = {
    "contradicted": "bad",
    "supported": "good",
    "inconclusive": "open",
    "not testable here": "void",
}

# The drawing of an interval, in units of its own.
_WIDTH, _HEIGHT, _EDGE = 220, 34, 8


def claims_view(verdicts: Sequence[Verdict], writer: Writer, several_backbones: bool) -> dict[str, Any]:
    """What the template needs: a count per outcome, and the claims, those decided first."""
    ordered = sorted(verdicts, key=lambda verdict: OUTCOMES.index(verdict.verdict))
    return {
        "counts": [(outcome, MARKS[outcome], n) for outcome, n in tally(verdicts).items()],
        "claims": [_claim(verdict, writer, several_backbones) for verdict in ordered],
    }


def _claim(verdict: Verdict, writer: Writer, several_backbones: bool) -> dict[str, Any]:
    source = verdict.claim.source
    return {
        "outcome": verdict.verdict,
        "mark": MARKS[verdict.verdict],
        "label": verdict.label,
        "backbone": verdict.backbone if several_backbones else "",
        "text": verdict.claim.text,
        "source": writer.text((Cite((source,)),)) if source in writer.references else source,
        "measured": claim_words.measured(verdict),
        "caveat": " ".join(claim_words.caveats(verdict)),
        "effect": claim_words.effect(verdict),
        "drawing": _interval(verdict),
        "link": records_link(verdict.cells) if verdict.cells else None,
        "records": len(verdict.cells),
        "n": verdict.n,
        "p": None if verdict.p is None else p_equals(verdict.p),
    }


class _Zone(NamedTuple):
    low: float
    high: float


def claimed_zone(verdict: Verdict) -> _Zone:
    """Where the effect would have to lie for the claim to hold, in the effect's unit."""
    low, high = verdict.limits
    everything = _Zone(-math.inf if verdict.unit == "points" else 0, math.inf)
    return {
        "higher": _Zone(high, everything.high),
        "at least": _Zone(low, everything.high),
        "lower": _Zone(everything.low, low),
        "at most": _Zone(everything.low, high),
        "equal": _Zone(low, high),
    }[verdict.claim.relation]


def _interval(verdict: Verdict) -> Markup:
    """The interval over the zone that the claim asks for; ratios on a logarithmic scale."""
    if verdict.effect is None or not math.isfinite(verdict.effect):
        return Markup("")
    ratio = verdict.unit != "points"
    if ratio and min(verdict.effect, verdict.low or verdict.effect) <= 0:
        return Markup("")
    zone, neutral = claimed_zone(verdict), 1.0 if ratio else 0.0
    ends = [verdict.low, verdict.high, verdict.effect, neutral, zone.low, zone.high]
    shown = [_scale(v, ratio) for v in ends if v is not None and math.isfinite(v) and (v > 0 or not ratio)]
    room = 0.12 * (max(shown) - min(shown)) or 1.0
    first, last = min(shown) - room, max(shown) + room

    def place(value: float) -> float:
        at = _scale(value, ratio) if value > 0 or not ratio else -math.inf
        share = (min(max(at, first), last) - first) / (last - first)
        return round(_EDGE + share * (_WIDTH - 2 * _EDGE), 1)

    left, right = place(zone.low), place(zone.high)
    parts = [
        Markup('<rect class="zone" x="{}" y="4" width="{}" height="{}"/>').format(
            left - 1, round(max(2.0, right - left + 2), 1), _HEIGHT - 8
        ),
        Markup('<line class="neutral" x1="{0}" x2="{0}" y1="2" y2="{1}"/>').format(place(neutral), _HEIGHT - 2),
    ]
    if verdict.low is not None and verdict.high is not None:
        parts.append(
            Markup('<line class="range" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                place(verdict.low), place(verdict.high), y=_HEIGHT // 2
            )
        )
    parts.append(Markup('<circle cx="{}" cy="{}" r="4"/>').format(place(verdict.effect), _HEIGHT // 2))
    alt = f"{claim_words.effect(verdict)}; the shaded part is where the claim holds"
    return Markup('<svg class="interval" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, alt, Markup("").join(parts)
    )


def _scale(value: float, ratio: bool) -> float:
    return math.log(value) if ratio else value
