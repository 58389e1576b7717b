"""Houlsby adapters (Houlsby et al., ICML 2019, arXiv 1902.00751).

    h ← h + U f(D h + d) + u,    D: m × hidden, U: hidden × m

twice in each layer: behind the output projection of the attention and behind that of the feed-forward, both
before the residual connection. U begins at zero here, so that training starts from the backbone itself (the
paper draws both from a narrow normal distribution, which comes close to that). As in the paper, the layer
normalisations are trained as well if `train_norms` says so. Parameters: 2 (2 m hidden + m + hidden) per layer.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from methods.base import Card, Claim, LearningRate, Method
from methods.composition import functions

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


class Houlsby(Method):
    card: ClassVar[Card] = Card(
        name="houlsby",
        title="Houlsby adapters",
        family="adapter",
        composition="function",
        formula=r"h \leftarrow h + U f(D h), \quad D \in \mathbb{R}^{m \times d}, U \in \mathbb{R}^{d \times m}",
        summary=(
            "Puts two small bottleneck networks into every layer, one behind the attention and one behind the"
            " feed-forward, and trains only these. They are non-linear, so they cannot be folded into the backbone:"
            " every input passes through them at inference."
        ),
        citation="houlsby2019adapters",
        bibtex="""@inproceedings{houlsby2019adapters,
  author = {Houlsby, Neil and Giurgiu, Andrei and Jastrzebski, Stanislaw and Morrone, Bruna and de Laroussilhe, Quentin and Gesmundo, Andrea and Attariyan, Mona and Gelly, Sylvain},
  title = {Parameter-Efficient Transfer Learning for {NLP}},
  booktitle = {Proceedings of the 36th International Conference on Machine Learning (ICML)},
  year = {2019},
  eprint = {1902.00751},
  archiveprefix = {arXiv},
}""",  # noqa: E501
        claims=(
            Claim(
                text="Adapters come within 0.4 points of full fine-tuning.",
                source="houlsby2019adapters",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.004,
                scope="BERT-large on GLUE, 3.6 % of the parameters per task",
            ),
        ),
    )
    lr: LearningRate = 1e-3
    bottleneck: int = Field(16, ge=1, description="width m of the bottleneck")
    activation: Literal["gelu", "relu", "silu", "tanh"] = "gelu"
    train_norms: bool = Field(False, description="train the layer normalisations, too")

    def adapt(self, anatomy, task):
        anatomy.freeze()
        if self.train_norms:
            for module in anatomy.backbone.modules():
                if isinstance(module, nn.LayerNorm):
                    module.requires_grad_(True)
        for layer in anatomy.layers:
            for site in layer.sites(("attention_output", "ffn_out")):
                activation = ACTIVATIONS[self.activation]()
                functions.insert(site, functions.Bottleneck(anatomy.hidden_size, self.bottleneck, activation))
