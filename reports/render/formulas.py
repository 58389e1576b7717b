"""Formulas of cards: mathematics by a list of what is allowed. Any other LaTeX is a program, and is shown, not run."""

from __future__ import annotations

import re
from typing import Literal

# What stands beside the text of a formula that is shown as it is written.
NOT_MATHEMATICS = "shown as the card has it: not mathematics by the list of what is set"
LONGEST = 2_000
DEEPEST = 20


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SYMBOLS = _names(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho varrho"
    " sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
    " ell hbar partial nabla infty emptyset varnothing top bot prime ast star circ bullet dagger ddagger perp Re Im"
    " forall exists neg aleph imath jmath dots ldots cdots vdots ddots times cdot pm mp div otimes oplus odot ominus"
    " cup cap setminus wedge vee bigtriangleup triangle diamond sum prod int oint bigcup bigcap bigoplus bigotimes"
    " bigodot leq le geq ge neq ne approx equiv sim simeq cong propto ll gg prec succ preceq succeq subset supset"
    " subseteq supseteq in ni notin mid parallel vdash models leftarrow gets rightarrow to leftrightarrow Leftarrow"
    " Rightarrow Leftrightarrow longleftarrow longrightarrow Longrightarrow mapsto longmapsto uparrow downarrow"
    " hookrightarrow rightharpoonup iff implies log ln lg exp sin cos tan sinh cosh tanh arcsin arccos arctan min max"
    " arg sup inf lim limsup liminf det dim ker deg gcd Pr vert Vert lvert rvert lVert rVert langle rangle lfloor"
    " rfloor lceil rceil lbrace rbrace lbrack rbrack backslash quad qquad displaystyle textstyle scriptstyle"
    " scriptscriptstyle bmod land lor"
)
# Before one argument, or two.
_FONTS = _names("mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak")
_ONE = _FONTS | _names(
    "boldsymbol operatorname hat bar tilde vec dot ddot"
    " breve check acute grave widehat widetilde overline underline overrightarrow sqrt overbrace underbrace"
)
_TWO = _names("frac dfrac tfrac binom overset underset stackrel")
_TEXT = _names("text textrm textbf textit textsf texttt")
_SIZES = _names("big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr")
_DELIMITERS = frozenset("()[]|/.<>") | {
    rf"\{name}"
    for name in _names("{ } | langle rangle vert Vert lvert rvert lVert rVert lfloor rfloor lceil rceil uparrow")
}
# What a script can be without braces.
_BARE = _SYMBOLS - _names(
    "dots ldots cdots vdots ddots quad qquad displaystyle textstyle scriptstyle scriptscriptstyle bmod implies iff"
)
_SPACES = frozenset([r"\,", r"\;", r"\:", r"\!", r"\>", "\\ ", r"\|", r"\{", r"\}"])
# With the most columns that LaTeX gives them.
_ENVIRONMENTS = {"aligned": 20, "gathered": 1, "split": 2, "cases": 2} | dict.fromkeys(
    _names("matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix"), 10
)
_TOKEN = re.compile(r"\\(?:[A-Za-z]+|.|$)|[^\\]", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9+*/=<>()\[\]|.,;:!?@~-]")
_WORDS = re.compile(r"[A-Za-z0-9 +*/=<>()\[\]|.,;:!?@'`-]*")


class _NotAllowed(Exception):
    pass


def layout_of(formula: str) -> Literal["line", "lines"] | None:
    """Whether a formula is one line, or lines and columns that have to be aligned; None where it is not mathematics by
    the list, or where LaTeX would stop at it."""
    if not formula.strip() or len(formula) > LONGEST or not formula.isascii() or re.search(r"\n\s*\n", formula):
        return None
    try:
        return "lines" if _Reader(formula).row("", 0, _ENVIRONMENTS["aligned"]) else "line"
    except _NotAllowed:
        return None


class _Reader:
    """Reads a formula from its first token to its last. Raises _NotAllowed."""

    def __init__(self, formula: str) -> None:
        self.tokens = _TOKEN.findall(formula)
        self.at = 0

    def peek(self) -> str:
        """The next token that is no space; empty at the end."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise _NotAllowed

    def row(self, end: str, depth: int, columns: int = 0) -> bool:
        """Up to `end`. Without `columns` it has to be one piece. Returns whether it is of several."""
        if depth > DEEPEST:
            raise _NotAllowed
        column, several = 1, False
        while (token := self.peek()) != end:
            if token in ("&", "\\\\"):
                self.take()
                column, several = (column + 1 if token == "&" else 1), True
                # After the end of a line a bracket or a star would be the command's own.
                if column > columns or (token == "\\\\" and self.peek() in ("[", "*")):
                    raise _NotAllowed
            elif token == r"\middle" and end == r"\right":
                self.take()
                self.delimiter()
            else:
                if token not in ("^", "_", "'"):
                    self.atom(depth)
                self.scripts(depth)
        self.take()
        return several

    def scripts(self, depth: int) -> None:
        """One superscript and one subscript at the most; primes are a superscript, which a `^` right after joins."""
        seen: set[str] = set()
        while (token := self.peek()) in ("^", "_", "'") and token:
            place = "_" if token == "_" else "^"
            if place in seen:
                raise _NotAllowed
            seen.add(place)
            self.take()
            while token == "'" and self.peek() == "'":
                self.take()
            if token == "'" and self.peek() != "^":
                continue
            if token == "'":
                self.take()
            self.argument(depth, script=True)

    def atom(self, depth: int) -> None:
        token = self.take()
        name = token[1:]
        if token == "{":
            self.row("}", depth + 1)
        elif token == r"\left":
            self.delimiter()
            self.row(r"\right", depth + 1)
            self.delimiter()
        elif token == r"\begin":
            self.environment(depth)
        elif token in _SPACES or _PLAIN.fullmatch(token) or (token[:1] == "\\" and name in _SYMBOLS):
            return
        elif token[:1] == "\\":
            self.command(name, depth)
        else:
            raise _NotAllowed

    def command(self, name: str, depth: int) -> None:
        if name in _SIZES:
            self.delimiter()
        elif name in _TEXT:
            self.words()
        elif name in _ONE or name in _TWO:
            if name == "sqrt" and self.peek() == "[":
                self.take()
                self.row("]", depth + 1)
            for _ in range(1 + (name in _TWO)):
                self.argument(depth)
        else:
            raise _NotAllowed

    def argument(self, depth: int, script: bool = False) -> None:
        """A group or a single sign; as a script also a word in a font of its own."""
        token = self.peek()
        name = token[1:]
        single = token == "{" or _PLAIN.fullmatch(token)
        command = token[:1] == "\\" and (name in _BARE or (script and (name in _TEXT or name in _FONTS)))
        if not single and not command:
            raise _NotAllowed
        self.atom(depth)

    def delimiter(self) -> None:
        if self.take() not in _DELIMITERS:
            raise _NotAllowed

    def words(self) -> None:
        self.expect("{")
        self.braced(_WORDS)

    def braced(self, allowed: re.Pattern[str]) -> str:
        """What stands up to the closing brace."""
        if "}" not in self.tokens[self.at :]:
            raise _NotAllowed
        end = self.tokens.index("}", self.at)
        said = "".join(self.tokens[self.at : end])
        self.at = end + 1
        if not allowed.fullmatch(said):
            raise _NotAllowed
        return said

    def environment(self, depth: int) -> None:
        self.expect("{")
        name = self.braced(re.compile(r"[A-Za-z]+"))
        if name not in _ENVIRONMENTS:
            raise _NotAllowed
        self.row(r"\end", depth + 1, _ENVIRONMENTS[name])
        self.expect("{")
        if self.braced(re.compile(r"[A-Za-z]+")) != name:
            raise _NotAllowed
