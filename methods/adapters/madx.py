"""MAD-X: task adapters, and an invertible adapter on the word embeddings.

    e = [e₁; e₂] → [e₁ + F(e₂); e₂ + G(e₁ + F(e₂))],   F, G: U σ(D · + b_D) + b_U

The two halves of every word embedding are coupled additively, so that the map has an exact inverse, which goes before
the output embeddings of a language model where these are the word embeddings themselves. An encoder and its decoder
share one such map. The layers have Pfeiffer adapters. U starts at zero in all.

Pfeiffer, Vulić, Gurevych, Ruder. MAD-X: An Adapter-Based Framework for Multi-Task Cross-Lingual Transfer. EMNLP 2020.
The paper trains language adapters and the invertible one by masked language modelling and stacks task adapters on
them; on one task no language adapter has been trained before, there is one set of adapters, and all are trained on it.
A model that is called with `inputs_embeds` looks up no words: then the caller's embeddings are left as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from methods.adapters.pfeiffer import insert_adapters
from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, Range, TaskInfo
from methods.composition.functions import Bottleneck, Nonlinearity


class AdditiveCoupling(nn.Module):
    """An invertible map of vectors of even size (…, d)."""

    def __init__(self, size: int, width: int, nonlinearity: Nonlinearity, like: Tensor) -> None:
        super().__init__()
        self.first = Bottleneck(size // 2, width, nonlinearity, like)
        self.second = Bottleneck(size // 2, width, nonlinearity, like)

    @override
    def forward(self, e: Tensor) -> Tensor:
        low, high = e.chunk(2, dim=-1)  # each (…, d / 2)
        low = low + self.first(high)
        return torch.cat([low, high + self.second(low)], dim=-1)

    def inverse(self, e: Tensor) -> Tensor:
        """What `forward` made e of."""
        low, high = e.chunk(2, dim=-1)  # each (…, d / 2)
        high = high - self.second(low)
        return torch.cat([low - self.first(high), high], dim=-1)

    def after_embedding(self, embedding: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        """A hook: what takes the place of an embedding's output (…, d)."""
        mapped: Tensor = self(output)
        return mapped

    def before_head(self, head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A hook: what takes the place of the output embeddings' input (…, d)."""
        return (self.inverse(args[0]), *args[1:])


class MADX(Method):
    """Pfeiffer et al., EMNLP 2020: adapters in the layers, an invertible one on the word embeddings."""

    bottleneck: int = Field(64, ge=1, le=65536, description="width of the adapters in the layers")
    reduction: int = Field(2, ge=1, le=64, description="half the embedding size over the width of F and G")
    nonlinearity: Nonlinearity = Field("relu", description="σ between the two projections")

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        half = anatomy.word_embeddings.embedding_dim // 2
        if self.reduction > half:
            return f"reduction {self.reduction} leaves no width in half an embedding; it takes 1 to {half}"
        return None

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if (size := anatomy.word_embeddings.embedding_dim) % 2:
            return f"word embeddings of {anatomy.config.model_type} have the odd size {size}: they have no two halves"
        return None

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        embedding = anatomy.word_embeddings
        size = embedding.embedding_dim
        coupling = AdditiveCoupling(size, size // 2 // self.reduction, self.nonlinearity, embedding.weight)
        anatomy.backbone.add_module("invertible", coupling)
        # Encoder-decoders read the one table through a module for each stack.
        for module in anatomy.model.modules():
            if isinstance(module, nn.Embedding) and module.weight is embedding.weight:
                module.register_forward_hook(coupling.after_embedding)
        head = anatomy.model.get_output_embeddings()
        if head is not None and head.weight is embedding.weight:
            head.register_forward_pre_hook(coupling.before_head)
        insert_adapters(anatomy, anatomy.layers, self.bottleneck, self.nonlinearity)

    card = Card(
        name="madx",
        title="MAD-X adapters",
        family="adapter",
        composition="function",
        formula=r"[e_1; e_2] \mapsto [e_1 + F(e_2);\, e_2 + G(e_1 + F(e_2))], \quad"
        r" h \leftarrow h + U \, \sigma(D h + b_D) + b_U",
        summary=(
            "An invertible adapter changes the word embeddings, and an adapter follows the feed-forward block of"
            " every layer. The method was made for transfer between languages, where parts of it are trained once"
            " per language and reused; on a single task all of it is trained at once. Nothing can be folded into"
            " the backbone, and gradients have to reach the embeddings."
        ),
        citation="pfeiffer2020madx",
        search=(Range("lr", 1e-4, 1e-2, "the paper used 1e-4", "pfeiffer2020madx"),),
        claims=(
            Claim(
                text="Invertible adapters at the embeddings help transfer to other languages.",
                source="pfeiffer2020madx",
                measure="score",
                comparator="pfeiffer",
                relation="higher",
                scope="multilingual BERT and XLM-R, named entities and question answering",
                untestable="It takes tasks in several languages, and no suite here has them.",
            ),
        ),
    )
