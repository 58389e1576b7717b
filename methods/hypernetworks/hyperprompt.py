"""HyperPrompt: keys and values for every layer's attention, generated from a prompt for each task.

    K_l = U_K relu(D_K P_τ),  V_l = U_V relu(D_V P_τ)                  P_τ (length × d), D (b × d), U (heads · d_h × b)
    head_l = softmax(q [K_l; k]ᵀ / √d_h) [V_l; v]

form `share`: every layer has D and U of its own, which all tasks share.
form `global`: D and U are generated for each task and layer, by linear maps that all layers share:

    I = MLP([z_τ; z_l])                                                (c)
    D_K, U_K, D_V, U_V = linear maps of I

He, Zheng, Tay, Gupta, Du, Aribandi, Zhao, Li, Chen, Metzler, Cheng, Chi. HyperPrompt: Prompt-based Task-Conditioning
of Transformers. ICML 2022. The paper tunes the whole backbone beside the prompts in its main results; here it is
frozen, as in the paper's comparison of parameter-efficient methods. As the paper conditions self-attention, the
attention of a decoder to its encoder has none. Its third form, with hypernetworks for each task and layer, is left out.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, Range, TaskInfo
from methods.composition.inputs import Prefix, insert_prefixes
from methods.hypernetworks.generation import Batch, GeneratedWeights, Hypernetwork, read_tasks, weight_generator


class PromptHypernetwork(Hypernetwork):
    """From a layer to its keys and values for every task, each (tasks, heads, length, d_h)."""

    def __init__(self, batch: Batch, prompt: nn.Parameter, heads: int) -> None:
        super().__init__(batch)
        self.prompt = prompt
        self.heads = heads

    @abstractmethod
    def bottlenecks(self, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """D_K, U_K, D_V, U_V of a layer, for every task or for all."""

    @override
    def generate(self, *place: int) -> tuple[Tensor, Tensor]:
        (layer,) = place
        key_down, key_up, value_down, value_up = self.bottlenecks(layer)
        return self._heads(key_down, key_up), self._heads(value_down, value_up)

    def _heads(self, down: Tensor, up: Tensor) -> Tensor:
        inner = (self.prompt @ down.mT).relu()  # (tasks, length, b)
        rows: Tensor = inner @ up.mT  # (tasks, length, heads · d_h)
        return rows.view(*rows.shape[:-1], self.heads, -1).transpose(1, 2)  # (tasks, heads, length, d_h)


class SharedHypernetwork(PromptHypernetwork):
    """With D and U of one layer."""

    def __init__(self, batch: Batch, prompt: nn.Parameter, heads: int, head_dim: int, width: int) -> None:
        super().__init__(batch, prompt, heads)
        size = prompt.shape[2]
        self.down = nn.Parameter(size**-0.5 * torch.randn(2, width, size).to(prompt))
        self.up = nn.Parameter(width**-0.5 * torch.randn(2, heads * head_dim, width).to(prompt))

    @override
    def bottlenecks(self, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.down[0], self.up[0], self.down[1], self.up[1]


class GlobalHypernetwork(PromptHypernetwork):
    """With D and U that are generated for each task and layer."""

    def __init__(
        self,
        batch: Batch,
        prompt: nn.Parameter,
        layers: int,
        heads: int,
        head_dim: int,
        width: int,
        embedding: int,
        condition: int,
    ) -> None:
        super().__init__(batch, prompt, heads)
        self.task = nn.Parameter(torch.randn(len(batch.tasks), embedding))
        self.layer = nn.Parameter(torch.randn(layers, embedding))
        self.project = nn.Sequential(nn.Linear(2 * embedding, embedding), nn.ReLU(), nn.Linear(embedding, condition))
        self.shapes = ((width, prompt.shape[2]), (heads * head_dim, width)) * 2
        self.maps = nn.ModuleList([weight_generator(condition, shape, random=True) for shape in self.shapes])

    @override
    def bottlenecks(self, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        where = self.layer[layer].expand(len(self.task), -1)  # (tasks, embedding)
        condition = self.project(torch.cat([self.task, where], dim=1))  # (tasks, c)
        key_down, key_up, value_down, value_up = (
            each(condition).view(-1, *shape) for each, shape in zip(self.maps, self.shapes, strict=True)
        )
        return key_down, key_up, value_down, value_up


class GeneratedPrefix(Prefix):
    """A layer's prefix, as the hypernetwork makes it."""

    def __init__(self, source: GeneratedWeights) -> None:
        super().__init__()
        self.source = source

    @override
    def forward(self) -> tuple[Tensor, Tensor]:
        key, value = self.source()
        return key, value


class HyperPrompt(Method):
    """He et al., ICML 2022: generated prefixes."""

    identical_at_start: ClassVar[bool] = False
    lr: LearningRate = 3e-3
    length: int = Field(10, ge=1, le=1024, description="keys and values per layer")
    bottleneck: int = Field(8, ge=1, le=4096, description="width b between the prompt and keys or values")
    form: Literal["global", "share"] = Field("global", description="whether bottlenecks are generated or the layer's")
    embedding: int = Field(32, ge=1, le=4096, description="size of the task and layer embeddings (form global)")
    condition: int = Field(16, ge=1, le=4096, description="size c of what is generated from (form global)")

    @model_validator(mode="after")
    def _embeddings_are_for_generating(self) -> Self:
        if self.form == "share":
            self.refuse_idle("embedding", "condition", unless="form is global")
        return self

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if not anatomy.uses_attention_interface:
            return f"the attention of {anatomy.config.model_type} cannot be exchanged (no AttentionInterface)"
        return None

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like, batch = anatomy.word_embeddings.weight, read_tasks(anatomy, task)
        heads, head_dim, size = anatomy.num_kv_heads, anatomy.head_dim, anatomy.hidden_size
        prompt = nn.Parameter(torch.randn(len(task.members), self.length, size).to(like))
        if self.form == "global":
            one = GlobalHypernetwork(
                batch, prompt, anatomy.num_layers, heads, head_dim, self.bottleneck, self.embedding, self.condition
            ).to(like)
            anatomy.backbone.add_module("hypernetwork", one)
            sources = [GeneratedWeights(one, layer.index) for layer in anatomy.layers]
        else:
            each = [SharedHypernetwork(batch, prompt, heads, head_dim, self.bottleneck) for _ in anatomy.layers]
            anatomy.backbone.add_module("hypernetworks", nn.ModuleList(each))
            sources = [GeneratedWeights(own, layer.index) for own, layer in zip(each, anatomy.layers, strict=True)]
        own = zip(anatomy.layers, sources, strict=True)
        insert_prefixes(anatomy, {layer.attention: GeneratedPrefix(source) for layer, source in own})

    card = Card(
        name="hyperprompt",
        title="HyperPrompt",
        family="hypernetwork",
        composition="input",
        formula=r"\mathrm{softmax}\left(q [K_l; k]^\top / \sqrt{d}\right) [V_l; v], \quad"
        r" (K_l, V_l) = g_\phi(P_\tau, z_\tau, z_l)",
        summary=(
            "In every layer keys and values are put in front of those that attention computes from the input. They"
            " are generated from one prompt for each task, through a bottleneck that is itself generated from"
            " embeddings of the task and the layer, or that belongs to the layer. Tasks share what generates. As"
            " with prefix tuning, what attention looks at becomes longer, in training and at inference, where the"
            " keys and values are generated once."
        ),
        citation="he2022hyperprompt",
        search=(Range("lr", 3e-4, 3e-2, "two decades around the default"),),
        claims=(
            Claim(
                text="Generated keys and values score higher than prompt tuning.",
                source="he2022hyperprompt",
                measure="score",
                comparator="prompt_tuning",
                relation="higher",
                scope="T5 on mixtures of GLUE and SuperGLUE",
                task_kind="mixture",
            ),
            Claim(
                text="They score higher than adapters generated by HyperFormer++.",
                source="he2022hyperprompt",
                measure="score",
                comparator="hyperformer_pp",
                relation="higher",
                scope="T5 on mixtures of GLUE and SuperGLUE",
                task_kind="mixture",
            ),
        ),
    )
