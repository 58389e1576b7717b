"""Houlsby adapters: two small bottlenecks in every layer.

    h ← h + U σ(D h + b_D) + b_U,   D (m × d), U (d × m)

One follows the output projection of attention, one that of the feed-forward block, each before the residual
connection is added. Layer normalisation is trained as well.

Houlsby et al. Parameter-Efficient Transfer Learning for NLP. ICML 2019. The paper draws D and U with a small
standard deviation for a near-identity start; here U starts at zero, which makes it exact. In training the
backbone's dropout comes after the adapter, where the paper has it before.
"""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, Range, TaskInfo
from methods.composition.functions import Bottleneck, Nonlinearity, Residual, insert_sequential_adapter


class Houlsby(Method):
    """Houlsby et al., ICML 2019: an adapter after attention and one after the feed-forward block."""

    bottleneck: int = Field(64, ge=1, le=65536, description="width m of the adapters")
    nonlinearity: Nonlinearity = Field("gelu", description="σ between the two projections")
    train_norms: bool = Field(True, description="whether layer normalisation is trained as well, as in the paper")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        if self.train_norms:
            anatomy.unfreeze_norms()
        like = anatomy.word_embeddings.weight
        for layer in anatomy.layers:
            for site in (layer.attention_output, layer.ffn_out):
                adapter = Bottleneck(anatomy.hidden_size, self.bottleneck, self.nonlinearity, like)
                insert_sequential_adapter(site, Residual(adapter))

    card = Card(
        name="houlsby",
        title="Houlsby adapters",
        family="adapter",
        composition="function",
        formula=r"h \leftarrow h + U \, \sigma(D h + b_D) + b_U",
        summary=(
            "After the attention and after the feed-forward block of every layer a small network squeezes the"
            " hidden states through a bottleneck and adds the result back. Only these networks and layer"
            " normalisation are trained and stored for each task. They cannot be folded into the backbone, so they"
            " add two small matrix products per block to every pass."
        ),
        citation="houlsby2019adapters",
        search=(Range("lr", 3e-5, 3e-3, "the paper tried 3e-5, 3e-4 and 3e-3", "houlsby2019adapters"),),
        claims=(
            Claim(
                text="Within 0.4 points of full fine-tuning.",
                source="houlsby2019adapters",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.004,
                scope="BERT-large on GLUE, with 3.6 % of the parameters per task; the abstract of the"
                " proceedings has 0.8 points",
            ),
            Claim(
                text="It adds only 3.6 % of the backbone's parameters per task.",
                source="houlsby2019adapters",
                measure="adapter_parameters",
                comparator="backbone",
                relation="at most",
                factor=0.036,
                margin=0.05,
                scope="BERT-large on GLUE",
            ),
        ),
    )
