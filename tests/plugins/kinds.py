"""One small task of every kind, learnable from single words; all of them about colours."""

import random
from collections.abc import Sequence
from typing import Any

from datasets import Dataset, DatasetDict

from tasks import metrics
from tasks.base import Card, Task

WARM = ("red", "orange", "yellow", "pink")
COLD = ("blue", "green", "violet", "cyan")
OTHER = ("the", "house", "tree", "bird", "road", "sky")


def card(name: str, kind: Any, *scored: str, labels: tuple[str, ...] = ()) -> Card:
    return Card(name, name, kind, scored, "Made up.", "At random.", "none needed", "", "", labels)


class Made(Task):
    def row(self, generator: random.Random) -> dict[str, Any]:
        raise NotImplementedError

    def load(self) -> DatasetDict:
        generator = random.Random(self.name)
        return DatasetDict(
            {
                split: Dataset.from_list([self.row(generator) for _ in range(count)])
                for split, count in (("train", 200), ("validation", 40), ("test", 60))
            }
        )


def sentence(generator: random.Random, *words: str) -> list[str]:
    found = [*generator.choices(OTHER, k=generator.randint(3, 8)), *words]
    generator.shuffle(found)
    return found


class Warmth(Made):
    """How many of three colours are warm."""

    card = card("warmth", "regression", "pearson", "spearman")

    def row(self, generator):
        colours = generator.choices(WARM + COLD, k=3)
        return {"text": " ".join(sentence(generator, *colours)), "label": float(sum(c in WARM for c in colours))}

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
        return metrics.correlations(predictions, references)


class Tags(Made):
    card = card("tags", "tagging", "f1_entity", labels=("O", "B-WARM", "B-COLD"))

    def row(self, generator):
        words = sentence(generator, *generator.choices(WARM + COLD, k=2))
        return {"words": words, "label": [1 if w in WARM else 2 if w in COLD else 0 for w in words]}

    def score(self, predictions, references) -> dict[str, float]:
        return metrics.entities(predictions, references, self.card.labels)


class Choose(Made):
    """Which of two words is a warm colour?"""

    card = card("choose", "multiple choice", "accuracy")

    def row(self, generator):
        label = generator.randrange(2)
        choices = [generator.choice(COLD), generator.choice(WARM)]
        return {
            "text": " ".join(sentence(generator)),
            "choices": choices if label else choices[::-1],
            "label": label,
        }

    def score(self, predictions, references) -> dict[str, float]:
        return metrics.accuracy(predictions, references)


class Find(Made):
    """The passage's one colour."""

    card = card("find", "extractive QA", "f1", "exact_match")

    def row(self, generator):
        colour = generator.choice(WARM + COLD)
        passage = " ".join(sentence(generator, colour))
        return {
            "text": "the colour",
            "text_pair": passage,
            "answers": [colour],
            "starts": [passage.index(colour)],
        }

    def score(self, predictions, references) -> dict[str, float]:
        return metrics.answers(predictions, references)


class Say(Made):
    """The first colour, said again."""

    card = card("say", "generation", "f1", "exact_match")

    def row(self, generator):
        colour = generator.choice(WARM + COLD)
        return {"text": " ".join(sentence(generator, colour)), "targets": [colour]}

    def score(self, predictions, references) -> dict[str, float]:
        return metrics.answers(predictions, references)


class Go(Made):
    """Text that repeats itself."""

    card = card("go", "language modelling", "byte_probability")

    def row(self, generator):
        return {"text": " ".join([generator.choice(WARM + COLD)] * 6 + [str(generator.random())])}

    def score(self, predictions, references) -> dict[str, float]:
        return metrics.language_modelling(predictions, references)
