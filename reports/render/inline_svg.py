"""Drawings as part of the page: with ids of their own, the page's colours, and classes in place of styles."""

from __future__ import annotations

import io
import re
from functools import lru_cache

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image

from reports.drawing.style import FAINT, FRONT, INK, MEMORY_SHADES, MUTED, family_colors
from reports.drawing.theme import SCREEN
from reports.model.writing import shorten
from reports.render.formulas import NOT_MATHEMATICS, layout_of


def _variables() -> dict[str, str]:
    """Colours of figures and what stands for them on the page."""
    found = {INK: "var(--ink)", MUTED: "var(--muted)", FAINT: "var(--line)", FRONT: "var(--front)"}
    found["#ffffff"] = "var(--surface)"
    found |= {color: f"var(--family-{family})" for family, color in family_colors().items()}
    for i, (shade, _) in enumerate(MEMORY_SHADES):
        found[shade] = f"var(--memory-{i})"
    return found


def inline_svg(svg: str, key: str, alt: str) -> Markup:
    """A matplotlib SVG as part of the page: named, with ids of its own and the page's colours."""
    start = svg.index("<svg")
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg[start:], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", svg)
    for color, variable in _variables().items():
        svg = svg.replace(color, variable)
    head = Markup('<svg role="img" aria-label="{}"').format(alt)
    return head + Markup(svg[len("<svg") :])


def formula_svg(formula: str, key: str) -> Markup:
    """A formula drawn by matplotlib, its ids under `key`; as code where its mathematics is not understood."""
    if layout_of(formula) is None:
        return Markup("<code>{}</code> ({})").format(shorten(formula), NOT_MATHEMATICS)
    # matplotlib sets single lines only: of environments, those that merely stack lines can be undone.
    stacked = re.sub(r"\\(?:begin|end)\{(?:aligned|align|gathered|gather|split)\*?\}", "", formula)
    lines = [line.strip() for line in stacked.replace("&", "").split(r"\\")]
    try:
        drawn = [inline_svg(_math_svg(line), f"{key}-{i}", line) for i, line in enumerate(lines) if line]
    except (ValueError, RuntimeError):
        drawn = []
    if not drawn:
        return Markup("<code>{}</code>").format(formula)
    spoken = Markup('<span class="spoken">{}</span>').format(formula)
    return Markup("<br>").join(drawn) + spoken


@lru_cache(maxsize=256)
def _math_svg(line: str) -> str:
    target = io.StringIO()
    line = re.sub(r"\\[lr]Vert(?![a-z])", r"\\|", re.sub(r"\\frac(?![a-z])", r"\\dfrac", line))
    with SCREEN.applied(), mpl.rc_context({"mathtext.fontset": "cm", "svg.fonttype": "path", "text.parse_math": True}):
        math_to_image(f"${line}$", target, FontProperties(size=13), format="svg", color=INK)
    return target.getvalue()


def styles_to_classes(body: str) -> tuple[str, str]:
    """The mark-up with a class for every style attribute, and the rules of those classes: a policy can then name
    the one style sheet that applies. In escaped text there is no quotation mark, so that only attributes match."""
    names: dict[str, str] = {}

    def named(found: re.Match[str]) -> str:
        return f' class="{names.setdefault(found.group(1), f"s{len(names)}")}"'

    body = re.sub(r' style="([^"]*)"', named, body)
    return body, "".join(f".{name}{{{_plain(rules)}}}\n" for rules, name in names.items())


def _plain(rules: str) -> str:
    """Declarations alone: nothing that could end the rule or the style sheet."""
    return re.sub(r"[<>{}@\\]", "", rules)
