"""What cards cite is found in papers.bib when they are made, or said to be missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.registry import PluginError, Registry
from methods.papers import PAPERS
from records.papers import Papers

PLUGIN = """
from methods.base import Card, Claim, Method

class Mine(Method):
    card = Card(
        name="mine", title="Mine", family="sparse", composition="none", formula="x", summary="Mine.",
        citation={citation!r}, bibtex={bibtex!r},
        claims=(Claim(text="Better.", source={source!r}, measure="score", comparator="full", relation="higher"),),
    )

    def adapt(self, anatomy, task):
        anatomy.freeze()
"""


def card_of(folder: Path, **given: str):
    file = folder / "mine.py"
    file.write_text(PLUGIN.format(**{"bibtex": "", "source": "hu2022lora"} | given), encoding="utf-8")
    return Registry((file,)).get("methods", "mine").cls.card


def test_a_card_gets_the_entries_that_it_and_its_claims_cite_each_once(tmp_path):
    text = card_of(tmp_path, citation="devlin2019bert,hu2022lora").bibtex
    assert re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE) == ["devlin2019bert", "hu2022lora"]
    # As they stand in the file, braces and all.
    file = PAPERS.path.read_text(encoding="utf-8")
    assert all(entry in file for entry in text.split("\n\n"))


def test_a_card_keeps_a_bibliography_of_its_own(tmp_path):
    own = "@misc{me2026, author = {Me}, title = {Mine}}"
    assert card_of(tmp_path, citation="me2026", source="me2026", bibtex=own).bibtex == own


@pytest.mark.parametrize("given", [{"citation": "nobody1999"}, {"citation": "hu2022lora", "source": "nobody1999"}])
def test_a_key_that_is_nowhere_is_refused_in_one_line_when_the_card_is_made(tmp_path, given):
    with pytest.raises(
        PluginError, match=r"the card of mine cites 'nobody1999', which methods/papers\.bib lacks"
    ) as told:
        card_of(tmp_path, **given)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    ["@misc{one, title = {A}}\n@misc{one, title = {B}}", "@misc{one, title = {A}}\n@misc{two, title = {B"],
)
def test_a_key_that_stands_twice_or_an_entry_that_is_not_closed_is_named_with_its_line(tmp_path, text):
    (tmp_path / "papers.bib").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"papers\.bib:2: "):
        Papers(tmp_path / "papers.bib").bibtex(["one"])


def test_every_paper_is_cited():
    cards = [Registry().get("methods", name).cls.card for name in Registry().names("methods")]
    cited = {key for card in cards for key in [*card.citation.split(","), *(claim.source for claim in card.claims)]}
    there = re.findall(r"^@\w+\{(\w+),$", PAPERS.path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(there) - {"mangrulkar2022peft"} == cited  # which is the library's of peft:<type>
    assert there == sorted(set(there))
