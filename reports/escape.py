"""Text from cards, records and users, made safe for LaTeX. (HTML is escaped by Jinja's autoescape.)"""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "'": "'", "[": "{[}", "]": "{]}",
}  # fmt: skip
_MATH = {
    "±": r"\pm", "×": r"\times", "·": r"\cdot", "−": "-", "≤": r"\leq", "≥": r"\geq", "≈": r"\approx",
    "≠": r"\neq", "→": r"\rightarrow", "←": r"\leftarrow", "⊕": r"\oplus", "⊙": r"\odot", "∘": r"\circ",
    "∞": r"\infty", "√": r"\surd", "∈": r"\in", "∑": r"\sum", "∏": r"\prod", "∆": r"\Delta", "′": "'",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "η": r"\eta",
    "θ": r"\theta", "λ": r"\lambda", "μ": r"\mu", "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau",
    "φ": r"\varphi", "ϕ": r"\phi", "ψ": r"\psi", "ω": r"\omega", "Δ": r"\Delta", "Θ": r"\Theta",
    "Φ": r"\Phi", "Ω": r"\Omega", "Σ": r"\Sigma", "ℓ": r"\ell",
}  # fmt: skip
_PUNCTUATION = {
    "–": "--", "—": "---", "…": r"\ldots{}", "“": "``", "”": "''", "‘": "`", "’": "'", "\u00a0": "~",
    "†": r"\dag{}", "‡": r"\ddag{}", "•": r"\textbullet{}", "€": r"\texteuro{}", "™": r"\texttrademark{}",
    "\u200b": r"\allowbreak{}", "\u2009": r"\,", "\u202f": r"\,", "µ": r"\textmu{}",
}  # fmt: skip
_LONG_WORD = re.compile(r"[^\s\u200b]{31,}")


def latex_text(text: str, keep: str = "") -> str:
    """`text` as LaTeX that prints it and does nothing else, with pdfLaTeX and T1 fonts.

    Characters that the fonts lack are replaced by their nearest plain letters, or by their code point.
    Characters in `keep` are left as they are. Very long words may be broken.
    """
    text = _LONG_WORD.sub(lambda word: re.sub(".{8}", "\\g<0>\u200b", word.group()), unicodedata.normalize("NFC", text))
    # Two of these in a row would be set as one: a dash, a quotation mark.
    return "".join(
        (c if c in keep else _character(c)) + ("{}" if c in "-,'" and c == after else "")
        for c, after in zip_longest(text, text[1:])
    )


def latex_code(text: str) -> str:
    """As `latex_text`, in a fixed-width font that may break after a separator."""
    return rf"\texttt{{{latex_text(re.sub(r'(?<=[_/:.=,-])', chr(0x200B), text))}}}"


def is_balanced_formula(formula: str) -> bool:
    """Whether a card's formula can be set in a displayed equation without breaking out of it: balanced
    braces, no dollar signs, comments or blank lines."""
    bare = re.sub(r"\\.", "", formula, flags=re.DOTALL)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0 and not re.search(r"[$%#]|\n\s*\n", bare) and bool(formula.strip())


def _character(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if c in _MATH:
        return f"\\ensuremath{{{_MATH[c]}}}"
    if c in _PUNCTUATION:
        return _PUNCTUATION[c]
    if c in "\n\t\r ":
        return " "
    # Latin letters that T1 fonts have; beyond them pdfLaTeX stops with an error.
    if " " <= c <= "~" or ("\u00a1" <= c <= "\u017f" and c not in "\u00ad\u0132\u0133\u0138\u0149\u017f\u0140\u013f"):
        return c
    plain = "".join(p for p in unicodedata.normalize("NFKD", c) if " " <= p <= "~")
    return "".join(_SPECIAL.get(p, p) for p in plain) or f"{{[}}U+{ord(c):04X}{{]}}"
