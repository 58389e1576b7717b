"""A task that a tiny model learns in seconds: does a sentence name more warm colours than cold ones?"""

import random
from collections.abc import Sequence

from datasets import Dataset, DatasetDict

from tasks import metrics
from tasks.base import Card, Task

WARM = ("red", "orange", "yellow", "pink")
COLD = ("blue", "green", "violet", "cyan")
OTHER = ("a", "the", "of", "and", "house", "tree", "bird", "road", "sky", "stone", "river", "cloud")


class Colours(Task):
    card = Card(
        name="colours",
        title="Colours",
        kind="classification",
        metrics=("accuracy", "f1_macro"),
        labels=("cold", "warm"),
        summary="Sentences of random words, warm if they name warm colours.",
        split="Drawn at random.",
        licence="none needed",
        citation="colours2026",
        bibtex="@misc{colours2026, title = {Colours}, author = {Nobody}, year = {2026}}",
    )

    def load(self) -> DatasetDict:
        generator = random.Random(0)

        def rows(count: int) -> Dataset:
            texts, labels = [], []
            for _ in range(count):
                label = generator.randrange(2)
                words = generator.choices(OTHER, k=generator.randint(3, 20)) + generator.choices(
                    (COLD, WARM)[label], k=2
                )
                generator.shuffle(words)
                texts.append(" ".join(words))
                labels.append(label)
            return Dataset.from_dict({"text": texts, "label": labels})

        return DatasetDict({"train": rows(400), "validation": rows(80), "test": rows(100)})

    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return metrics.classification(predictions, references)
