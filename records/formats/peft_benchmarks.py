"""The two benchmarks of huggingface/peft's method_comparison: what their scores mean, which no result file says."""

from __future__ import annotations

from dataclasses import dataclass

from records.cards import Metric, TaskCard


@dataclass(frozen=True)
class Benchmark:
    """`key` is the field of the training's configuration by which its files are known. `metric` is the primary one,
    `others` are measured on the test split alone. `examples` is the size of the test set, of which the metric is the
    share that is right (None: it is no such share). `protocol` names the fields that costs depend on."""

    key: str
    title: str
    card: TaskCard
    protocol: tuple[str, ...]
    examples: int | None = None

    @property
    def metric(self) -> str:
        """The primary metric's name."""
        return self.card.primary.name

    @property
    def others(self) -> tuple[str, ...]:
        """The names of the other metrics."""
        return tuple(str(name) for name in self.card.metrics[1:])

    def examples_of(self, score: float) -> int | None:
        """How many test examples a score is the share of; None where it is no whole number of them, as when the test
        set was another."""
        right = score * (self.examples or 0)
        return self.examples if self.examples and abs(right - round(right)) < 1e-6 * self.examples else None


BENCHMARKS = (
    Benchmark(
        key="query_template",
        title="MetaMathQA",
        card=TaskCard(
            name="metamathqa",
            title="GSM8K after MetaMathQA",
            kind="generation",
            metrics=("accuracy", Metric("forgetting", higher_is_better=False, low=None, high=None)),
            summary="Word problems of grade-school mathematics: trained on MetaMathQA, tested on GSM8K's 1,319 test"
            " questions by the final number of a generated answer. Forgetting is the rise of the loss on texts of"
            " Wikipedia, in nats per token",
            split="Test is GSM8K's test set; validation is a few problems that peft's scripts draw",
            licence="MIT",
            citation="yu2024metamath,cobbe2021gsm8k",
            size="20,000 seen / unknown / 1,319",
        ),
        protocol=("batch_size", "batch_size_eval", "max_seq_length"),
        examples=1319,
    ),
    Benchmark(
        key="dino_model_id",
        title="image generation",
        card=TaskCard(
            name="image-gen",
            title="Image generation of one subject",
            kind="image generation",
            metrics=(Metric("dino_similarity", low=-1.0), Metric("drift", higher_is_better=False, high=2.0)),
            summary="A model of images learns one subject from a few photographs, in the way of DreamBooth; the"
            " similarity is the mean cosine between DINOv2 features of generated and held-out images. Drift is one less"
            " the same of images that have nothing to do with the subject, with the adapter and without",
            split="A few photographs for validation and test, the rest for training",
            licence="",
            citation="ruiz2023dreambooth,oquab2024dinov2",
        ),
        protocol=("batch_size", "resolution", "num_inference_steps"),
    ),
)
