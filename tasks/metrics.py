"""Metrics by name: from scikit-learn, scipy, seqeval and rouge-score where these have them, else by the definition of
the official scorer that each names. Fractions, higher is better, unless said otherwise. All take predictions and
references of equal length, and raise ValueError where they are not.

The libraries are imported where they are called: who reads a suite asks for no score."""

from __future__ import annotations

import math
import re
import string
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any


def classification(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Accuracy, and the F1 score averaged over the classes without weights."""
    from sklearn.metrics import f1_score

    return {
        "accuracy": accuracy(predictions, references)["accuracy"],
        "f1_macro": float(f1_score(references, predictions, average="macro", zero_division=0.0)),
    }


def f1_macro_first(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """The same, F1 before accuracy: SuperGLUE's for CommitmentBank."""
    return dict(reversed(classification(predictions, references).items()))


def accuracy(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """The share of right answers."""
    from sklearn.metrics import accuracy_score

    return {"accuracy": float(accuracy_score(references, predictions))}


def f1_and_accuracy(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """F1 of the class 1, and accuracy: GLUE's for MRPC and QQP."""
    from sklearn.metrics import f1_score

    f1 = float(f1_score(references, predictions, pos_label=1, zero_division=0.0))
    return {"f1": f1} | accuracy(predictions, references)


def matthews(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Matthews' correlation, from -1 to 1 and 0 for a constant prediction, and accuracy: GLUE's for CoLA."""
    from sklearn.metrics import matthews_corrcoef

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single label, whose correlation is 0 by convention
        correlation = float(matthews_corrcoef(references, predictions))
    return {"matthews": correlation} | accuracy(predictions, references)


def correlations(predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
    """Pearson's and Spearman's correlation, from -1 to 1, as GLUE has them for STS-B; 0 where either side is constant
    or there are fewer than two."""
    from scipy import stats

    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions of {len(references)} references")
    if len(set(predictions)) < 2 or len(set(references)) < 2:
        return {"pearson": 0.0, "spearman": 0.0}
    return {
        "pearson": float(stats.pearsonr(predictions, references).statistic),
        "spearman": float(stats.spearmanr(predictions, references).statistic),
    }


# The letters before a tag's type that seqeval counts with, and those that the scheme BILOU has in their place.
_SCHEME = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}


def _tag(label: str) -> str:
    """A tag as seqeval reads it. One without a scheme's letter (`PER`, `ORG`) says what a word belongs to: words of one
    such tag in a row are an entity."""
    letter, dash, kind = label.partition("-")
    if label == "O":
        return label
    return f"{_SCHEME[letter]}-{kind}" if dash and letter in _SCHEME else f"I-{label}"


def entities(
    predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]], labels: Sequence[str]
) -> dict[str, float]:
    """F1, precision and recall of whole entities from tags (`B-PER`, `I-PER`, `O`): one is right where its type and
    both its ends are, as conlleval counts for CoNLL-2003 (Tjong Kim Sang and De Meulder, 2003)."""
    from seqeval.metrics import f1_score, precision_score, recall_score

    names = [_tag(label) for label in labels]
    given = [[names[tag] for tag in tags] for tags in predictions]
    right = [[names[tag] for tag in tags] for tags in references]
    if [len(tags) for tags in given] != [len(tags) for tags in right]:
        raise ValueError("there must be one predicted tag for each word")
    counted: dict[str, Callable[..., Any]] = {
        "f1_entity": f1_score, "precision_entity": precision_score, "recall_entity": recall_score,
    }  # fmt: skip
    return {name: float(score(right, given, zero_division=0)) for name, score in counted.items()}


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normal(answer: str) -> str:
    """An answer as SQuAD's scorer compares it: lower case, without ASCII punctuation, articles and spare white space
    (Rajpurkar et al., 2016). An answer of nothing else (`A`, `the`, `?`) keeps its articles, or its punctuation, where
    SQuAD's would make it the same as any other such answer, and as none."""
    lowered = answer.lower()
    bare = lowered.translate(_PUNCTUATION)
    forms = (" ".join(form.split()) for form in (_ARTICLES.sub(" ", bare), bare, lowered))
    return next(filter(None, forms), "")


def answers(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Exact match and F1 of normalised words against the best of an example's answers: SQuAD's scorer, and ReCoRD's.
    Where an example has no answer the empty one is right, as in SQuAD's second edition (Rajpurkar et al., 2018)."""
    return means(answers_each(predictions, references))


def answers_each(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """The same of each example."""
    rights = [list(own) or [""] for own in references]
    return {
        "f1": _best(predictions, rights, _word_f1),
        "exact_match": _best(predictions, rights, lambda given, right: float(normal(given) == normal(right))),
    }


def _word_f1(given: str, right: str) -> float:
    ours, theirs = normal(given).split(), normal(right).split()
    if not ours and not theirs:
        return 1.0
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def rouge(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L on stemmed words (Lin, 2004) against the best of an example's
    references, as the package rouge-score computes them. That knows no letters but a to z: against a reference that is
    written in another script for the greater part, words of that script count as well, and where no spaces part them,
    as in Chinese, its letters."""
    return means(rouge_each(predictions, references))


def rouge_each(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """The same of each example."""

    def of(kind: str) -> list[float]:
        def score(given: str, right: str) -> float:
            return float(_scorer(_is_latin(right)).score(right, given)[kind].fmeasure)

        return _best(predictions, references, score)

    return {"rouge_l": of("rougeL"), "rouge_1": of("rouge1"), "rouge_2": of("rouge2")}


@cache
def _scorer(latin: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True, tokenizer=None if latin else _Words())


def _is_latin(text: str) -> bool:
    letters = [_script(character) == "latin" for character in text if character.isalpha()]
    return 2 * sum(letters) >= len(letters)


class _Words:
    """rouge-score's own words of what is Latin, and beside them those of other scripts."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self._stemmer = PorterStemmer()

    def tokenize(self, text: str) -> list[str]:
        from rouge_score.tokenize import tokenize

        found: list[str] = []
        for kind, run in groupby(text.lower(), _script):
            part = "".join(run)
            if kind == "latin":
                found += tokenize(part, self._stemmer)
            else:
                found += [part] if kind == "other" else list(part)
        return found


# Thai, Lao, Khmer, Burmese; kana; Chinese characters: written without spaces between words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")


def _script(character: str) -> str:
    """`latin` is whatever rouge-score has to judge: Latin letters, and all that is no letter, mark or number."""
    if character < "\u0250" or "\u1e00" <= character <= "\u1eff" or unicodedata.category(character)[0] not in "LMN":
        return "latin"
    return "unspaced" if _UNSPACED.match(character) else "other"


# Commas part thousands where three digits follow each; any other begins the decimals. A minus after a letter or a digit
# is a dash, or the sign of a subtraction.
_NUMBER = re.compile(
    r"((?<!\w)[-\u2212])?\$?"
    r"(?:(?P<thousands>[1-9]\d{0,2}(?:,\d{3})+(?!\d)(?:\.\d+)?)|(?P<plain>\d+(?:[.,]\d+)?|\.\d+))"
)
_ANNOUNCED = re.compile(r"####|[Tt]he answer is:?")


def final_number(text: str) -> float | None:
    """The number that a worked solution ends in: the first after the last `####` (GSM8K: Cobbe et al., 2021) or `The
    answer is` (MetaMathQA: Yu et al., 2024), or, without either, the last of all; None where there is none. `1,234` is
    a thousand and more, `1,5` one and a half."""
    announced = list(_ANNOUNCED.finditer(text))
    found = list(_NUMBER.finditer(text, announced[-1].end() if announced else 0))
    if not found:
        return None
    number = found[0 if announced else -1]
    size = number["thousands"].replace(",", "") if number["thousands"] else number["plain"].replace(",", ".")
    return -float(size) if number[1] else float(size)


def final_numbers(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The share of solutions that end in the right number."""
    return means(final_numbers_each(predictions, references))


def final_numbers_each(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """The same of each example."""

    def same(given: str, right: str) -> float:
        number = final_number(given)
        return float(number is not None and number == final_number(right))

    return {"exact_match": _best(predictions, references, same)}


def answer_sets(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """MultiRC's F1a, over all answers of all questions alike, and exact match, the share of questions of which every
    answer is judged rightly (Khashabi et al., 2018), from the listed numbers of the answers held to be right, such as
    `1, 3`."""
    pairs = _listed(predictions, references)
    both = sum(len(given & right) for given, right in pairs)
    f1a = 2 * both / sum(len(given) + len(right) for given, right in pairs) if both else 0.0
    return {"f1a": f1a} | means(answer_sets_each(predictions, references))


def answer_sets_each(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """The exact match of each example."""
    return {"exact_match": [float(given == right) for given, right in _listed(predictions, references)]}


def _listed(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[tuple[set[str], set[str]]]:
    pairs = zip(predictions, references, strict=True)
    return [(set(re.findall(r"\d+", given)), set(re.findall(r"\d+", right))) for given, (right, *_) in pairs]


def language_modelling(predictions: Sequence[float], references: Sequence[tuple[int, int]]) -> dict[str, float]:
    """From the log-likelihoods of texts in nats, and their (tokens, bytes): the probability of a byte, a geometric mean
    that does not depend on the tokenizer, and the perplexities of a byte, its inverse, and of a token (lower is
    better)."""
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions of {len(references)} references")
    total = math.fsum(predictions)
    tokens, size = (sum(counts) for counts in zip(*references, strict=True))
    return {
        "byte_probability": math.exp(total / size),
        "perplexity_per_byte": _exp(-total / size),
        "perplexity_per_token": _exp(-total / tokens),
    }


def _exp(value: float) -> float:
    """Infinite where it is too large: a model that has diverged."""
    return math.inf if value >= 700 else math.exp(value)


def _best(
    predictions: Sequence[str], references: Sequence[Sequence[str]], score: Callable[[str, str], float]
) -> list[float]:
    """The score of each example against the best of its references."""
    return [max(score(given, right) for right in rights) for given, rights in zip(predictions, references, strict=True)]


def means(each: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Metrics from their values on examples."""
    return {name: sum(values) / len(values) for name, values in each.items()}
