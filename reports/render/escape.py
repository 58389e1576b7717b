"""Text from cards, records and users, made safe for LaTeX. (HTML is escaped by Jinja's autoescape.)"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby, zip_longest

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": "'",
    "[": "{[}",
    "]": "{]}",
}


def _pairs(text: str) -> dict[str, str]:
    """Of words in turn: a character, and what stands for it."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_MATH = _pairs(
    r"± \pm × \times · \cdot − - ≤ \leq ≥ \geq ≈ \approx ≠ \neq → \rightarrow ← \leftarrow ⊕ \oplus"
    r" ⊙ \odot ∘ \circ ∞ \infty √ \surd ∈ \in ∑ \sum ∏ \prod ∆ \Delta ′ ' α \alpha β \beta γ \gamma"
    r" δ \delta ε \varepsilon η \eta θ \theta λ \lambda μ \mu π \pi ρ \rho σ \sigma τ \tau φ \varphi"
    r" ϕ \phi ψ \psi ω \omega Δ \Delta Θ \Theta Φ \Phi Ω \Omega Σ \Sigma ℓ \ell"
)
_PUNCTUATION = {
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "\u00a0": "~",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "•": r"\textbullet{}",
    "€": r"\texteuro{}",
    "™": r"\texttrademark{}",
    "\u200b": r"\allowbreak{}",
    "\u2009": r"\,",
    "\u202f": r"\,",
    "µ": r"\textmu{}",
}
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]+")
# Zero-width joiners and the choice of a variant belong to what is before them.
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
# Characters in one picture: of scripts without spaces, and at the most, since they make the name of a file.
UNSPACED, LONGEST_PICTURE = 4, 36
_LONG_WORD = re.compile(r"[^\s\u200b]{31,}")


def latex_text(text: str, keep: str = "") -> str:
    """`text` as LaTeX that prints it and does nothing else, with pdfLaTeX and T1 fonts.

    Words that the fonts lack are pictures: see `reports.render.scripts`, which draws them. Where there is no picture,
    plain letters, names or code points stand for them. Characters in `keep` are left as they are. Very long words may
    be broken.
    """
    text = _LONG_WORD.sub(lambda word: re.sub(".{8}", "\\g<0>\u200b", word.group()), unicodedata.normalize("NFC", text))
    return "".join(_pictures(part) if drawn else _printed(part, keep) for part, drawn in _parts(text))


def _printed(text: str, keep: str) -> str:
    # Two of these in a row would be set as one: a dash, a quotation mark.
    return "".join(
        (c if c in keep else _character(c)) + ("{}" if c in "-,'" and c == after else "")
        for c, after in zip_longest(text, text[1:])
    )


def latex_code(text: str) -> str:
    """As `latex_text`, in a fixed-width font that may break after a separator."""
    return rf"\texttt{{{latex_text(re.sub(r'(?<=[_/:.=,-])', chr(0x200B), text))}}}"


def _parts(text: str) -> list[tuple[str, bool]]:
    """The text in parts, each with whether it has to be drawn; words that are read from the right stay together."""
    drawn = [not _is_settable(c) for c in text]
    for word in _GREEK.finditer(text):
        if any(c not in _MATH for c in word.group()):  # a word, and no symbols of mathematics
            drawn[word.start() : word.end()] = [True] * len(word.group())
    for i, c in enumerate(text):
        joins = unicodedata.category(c)[0] == "M" or c in _JOINERS
        if i and joins and (drawn[i] or drawn[i - 1]):
            drawn[i - 1] = drawn[i] = True
    for gap in re.finditer(" +", text):
        if gap.start() > 0 and gap.end() < len(text) and drawn[gap.start() - 1] and drawn[gap.end()]:
            both = text[gap.start() - 1] + text[gap.end()]
            if all(unicodedata.bidirectional(c) in ("R", "AL", "NSM") for c in both):
                drawn[gap.start() : gap.end()] = [True] * len(gap.group())
    grouped = groupby(zip(text, drawn, strict=True), key=lambda pair: pair[1])
    return [("".join(c for c, _ in group), is_drawn) for is_drawn, group in grouped]


def _is_settable(c: str) -> bool:
    """Whether pdfLaTeX can set a character, or has to name it, as with control characters."""
    if c in _MATH or c in _PUNCTUATION or _is_latin(c) or unicodedata.category(c)[0] in "CZ":
        return True
    compatible = unicodedata.normalize("NFKD", c)
    return compatible != c and compatible.isascii()


def _is_latin(c: str) -> bool:
    """Latin letters and signs that T1 fonts have; beyond them pdfLaTeX stops with an error."""
    return " " <= c <= "~" or (
        "\u00a1" <= c <= "\u017f" and c not in "\u00ad\u0132\u0133\u0138\u0149\u017f\u0140\u013f"
    )


def _pictures(word: str) -> str:
    """A word to be drawn, in parts between which a line may break where its script has no spaces."""
    unspaced = all(unicodedata.east_asian_width(c) in "WF" for c in word)
    parts = re.findall(f"(?s).{{1,{UNSPACED if unspaced else LONGEST_PICTURE}}}", word)
    return r"\allowbreak{}".join(
        f"\\benchscript{{{'-'.join(f'{ord(c):x}' for c in part)}}}{{{''.join(map(_spelt, part))}}}" for part in parts
    )


def _spelt(c: str) -> str:
    """What stands for a character that is not drawn: plain letters, a sign's name, or the code point."""
    plain = "".join(p for p in unicodedata.normalize("NFKD", c) if " " <= p <= "~")
    if plain:
        return "".join(_SPECIAL.get(p, p) for p in plain)
    name = unicodedata.name(c, "").lower()
    if unicodedata.category(c) in ("So", "Sm", "Sk", "Sc", "Po") and name:
        return f"{{[}}{name}{{]}}"
    return f"{{[}}U+{ord(c):04X}{{]}}"


def _character(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if c in _MATH:
        return f"\\ensuremath{{{_MATH[c]}}}"
    if c in _PUNCTUATION:
        return _PUNCTUATION[c]
    if c in "\n\t\r ":
        return " "
    return c if _is_latin(c) else _spelt(c)
