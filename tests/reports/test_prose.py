"""Sentences of ours as the pieces that renderers know."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.model.document import Cite, Code, Emphasis, Math, Ref
from reports.model.prose import Prose, each, join, plain, say
from reports.model.resources import TEMPLATES


@pytest.mark.parametrize(
    ("sentence", "pieces"),
    [
        ("Nothing but words, 3 % of it.", ("Nothing but words, 3 % of it.",)),
        ("Run `bench show`.", ("Run ", Code("bench show"), ".")),
        ("Rank $r_{max}$ *here*", ("Rank ", Math("r_{max}"), " ", Emphasis("here"))),
        ("So [@holm1979; @dodge2019work].", ("So ", Cite(("holm1979", "dodge2019work")), ".")),
        ("@holm1979 says so", (Cite(("holm1979",), textual=True), " says so")),
        ("A mail to a@b.c, [not a ref]", ("A mail to a@b.c, [not a ref]",)),
        ("See [tab:scores-2] in [sec:all].", ("See ", Ref("tab:scores-2"), " in ", Ref("sec:all"), ".")),
    ],
)
def test_mark_up_is_read(sentence: str, pieces: tuple[object, ...]):
    assert say(sentence) == pieces


@pytest.mark.parametrize("foreign", ["{name}", "$x$", "[@key]", "`code`", "*bold*", "[tab:x]", "@key"])
def test_what_is_put_into_a_hole_is_never_read_as_mark_up(foreign: str):
    assert say("Of {name}: {name}", name=foreign) == (f"Of {foreign}: {foreign}",)
    assert say("{name}", name=(Code(foreign),)) == (Code(foreign),)


def test_of_nothing_nothing_is_said():
    assert say("{shown}", shown=None) == say("{shown}", shown=()) == say("{shown}", shown="") == ()
    assert join([say("One."), (), say("Two `x`."), say("Three.")]) == ("One. Two ", Code("x"), ". Three.")
    assert say("{n} cells", n=12345) == ("12,345 cells",)
    with pytest.raises(KeyError, match="unknown"):
        say("{unknown}")


@pytest.mark.parametrize(("n", "said"), [(0, ""), (1, "a"), (2, "a and b"), (3, "a, b and c")])
def test_things_are_listed_as_people_list_them(n: int, said: str):
    assert plain(each(["a", "b", "c"][:n])) == said


def test_paragraphs_and_sentences_of_a_file(tmp_path: Path):
    (tmp_path / "prose").mkdir()
    (tmp_path / "prose/own.md").write_text(
        "---\ntitle: T\n---\n\n# First\n\nOne.\nTwo {n}.\n\nThree.\n\n## Second\nFour.\n"
    )
    prose = Prose(tmp_path)
    assert prose.passages("own", "first", n=2) == [(("One.",), ("Two 2.",)), (("Three.",),)]
    assert prose.text("own", "second") == ("Four.",)
    assert prose.passages("own", "third") == prose.passages("none", "first") == []


def test_each_line_of_our_prose_is_a_sentence():
    """A talk shows lines as points."""
    for path in sorted((TEMPLATES / "prose").rglob("*.md")):
        text = path.read_text().split("---\n")[-1]
        for line in filter(None, text.splitlines()):
            assert line.startswith("#") or line.endswith((".", "?", "}")), f"{path.name}: {line}"
            assert line.count("$") % 2 == 0, f"{path.name}: {line}"
