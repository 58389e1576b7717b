"""Prefix tuning (Li, Liang, ACL 2021, arXiv 2101.00190).

    attention of layer i over [K_i^P; K_i], [V_i^P; V_i],    K^P, V^P: key/value heads × length × head size

Trainable keys and values before those of the sequence, in every layer: 2 · layers · length · hidden
parameters (less with grouped-query attention). With `reparametrise`, an MLP generates them from a smaller
matrix during training, and only what it generates is stored.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.base import Card, Claim, LearningRate, Method
from methods.composition import inputs


class Prefixes(nn.Module):
    """Keys and values, of shape (layers, 2, key/value heads, length, head size)."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self) -> Tensor:
        return self.values


class GeneratedPrefixes(nn.Module):
    """The same, generated: an embedding of the positions through a tanh MLP."""

    def __init__(self, shape: tuple[int, int, int, int, int], hidden: int, width: int) -> None:
        super().__init__()
        layers, two, heads, length, size = shape
        self.shape = shape
        self.positions = nn.Parameter(torch.randn(length, hidden) * hidden**-0.5)
        self.mlp = nn.Sequential(nn.Linear(hidden, width), nn.Tanh(), nn.Linear(width, layers * two * heads * size))

    def forward(self) -> Tensor:
        layers, two, heads, length, size = self.shape
        return self.mlp(self.positions).view(length, layers, two, heads, size).permute(1, 2, 3, 0, 4)


class PrefixTuning(Method):
    card: ClassVar[Card] = Card(
        name="prefix_tuning",
        title="Prefix tuning",
        family="soft-prompt",
        composition="input",
        formula=r"\mathrm{Attn}(Q, [P_K; K], [P_V; V]), \quad P_K, P_V \in \mathbb{R}^{n \times d}",
        summary=(
            "Learns keys and values that every position of every layer may attend to. Unlike a prompt at the input,"
            " it reaches each layer directly; like one, it lengthens the attention of every input at inference."
        ),
        citation="li2021prefix",
        bibtex="""@inproceedings{li2021prefix,
  author = {Li, Xiang Lisa and Liang, Percy},
  title = {Prefix-Tuning: Optimizing Continuous Prompts for Generation},
  booktitle = {Proceedings of the 59th Annual Meeting of the Association for Computational Linguistics (ACL)},
  year = {2021},
  eprint = {2101.00190},
  archiveprefix = {arXiv},
}""",
        claims=(
            Claim(
                text="With all the data, prefix tuning with about 0.1 % of the parameters is comparable to full tuning.",
                source="li2021prefix",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="GPT-2 and BART, table-to-text and summarisation",
            ),
        ),
    )
    lr: LearningRate = 5e-3
    length: int = Field(20, ge=1, le=1000, description="number of keys and values per layer")
    reparametrise: bool = Field(False, description="generate them by an MLP during training")
    width: int = Field(256, ge=1, description="width of that MLP")

    def adapt(self, anatomy, task):
        anatomy.freeze()
        prefixes: nn.Module
        if self.reparametrise:
            shape = (len(anatomy.layers), 2, anatomy.key_value_heads, self.length, anatomy.head_size)
            prefixes = GeneratedPrefixes(shape, anatomy.hidden_size, self.width).to(anatomy.embeddings.weight.device)
        else:
            prefixes = Prefixes(_of_random_tokens(anatomy, self.length))
        inputs.add_prefixes(anatomy, prefixes)

    def state(self, model):
        state = super().state(model)
        name, prefixes = _prefixes_of(model)
        if isinstance(prefixes, Prefixes):
            return state
        kept = {key: value for key, value in state.items() if not key.startswith(f"{name}.")}
        return kept | {f"{name}.values": prefixes().detach()}

    def load_state(self, model, state):
        name, prefixes = _prefixes_of(model)
        if not isinstance(prefixes, Prefixes):  # what an MLP generated is kept, the MLP is not
            path, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(path), attribute, Prefixes(state[f"{name}.values"].clone()))
        super().load_state(model, state)


def _prefixes_of(model: nn.Module) -> tuple[str, nn.Module]:
    kinds = (Prefixes, GeneratedPrefixes)
    return next((name, module) for name, module in model.named_modules() if isinstance(module, kinds))


@torch.no_grad()
def _of_random_tokens(anatomy, length: int) -> Tensor:
    """The keys and values that the backbone itself has for a sequence of random tokens: the paper finds
    activations of real words a better start than noise."""
    kept: list[Tensor] = []
    sites = [layer.site(name) for layer in anatomy.layers for name in ("key", "value")]
    hooks = [site.module.register_forward_hook(lambda _m, _a, output: kept.append(output[0])) for site in sites]
    tokens = torch.randint(anatomy.config.vocab_size, (1, length)).to(anatomy.embeddings.weight.device)
    training = anatomy.model.training
    anatomy.model.eval()
    anatomy.backbone(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    anatomy.model.train(training)
    for hook in hooks:
        hook.remove()
    heads, size = anatomy.key_value_heads, anatomy.head_size
    return torch.stack(kept).view(len(anatomy.layers), 2, length, heads, size).transpose(2, 3).contiguous()
