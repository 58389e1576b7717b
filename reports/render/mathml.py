"""Inline mathematics on the page, as MathML, which browsers set in the text's own size."""

from __future__ import annotations

import html
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element
from markupsafe import Markup

from reports.render.formulas import layout_of

# What stays of the attributes that the converter sets: none of them names a style, a script or an address.
_ATTRIBUTES = frozenset(
    {"accent", "columnalign", "displaystyle", "linethickness", "mathvariant", "maxsize", "minsize", "movablelimits"}
    | {"scriptlevel", "stretchy", "width"}
)


def inline_math(latex: str) -> Markup:
    """A formula of one line; as code where it is no mathematics by our list, or the converter fails."""
    if layout_of(latex) != "line":
        return _code(latex)
    try:
        made = convert_to_element(latex)
    except Exception:  # of whatever the converter does not know, it says so in many ways
        return _code(latex)
    for element in made.iter():
        element.attrib = {name: value for name, value in element.attrib.items() if name in _ATTRIBUTES}
        # The converter writes characters as references; serialising escapes what is mark-up.
        element.text, element.tail = (text and html.unescape(text) for text in (element.text, element.tail))
    return Markup(ElementTree.tostring(made, encoding="unicode"))


def _code(latex: str) -> Markup:
    return Markup("<code>{}</code>").format(latex)
