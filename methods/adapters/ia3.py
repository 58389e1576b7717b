"""(IA)³: keys, values and the feed-forward block's inner activations are rescaled.

    k ← l_k ⊙ k,   v ← l_v ⊙ v,   FFN(x) = W_out (l_ff ⊙ σ(W_in x))

l_k and l_v have an entry for every key and value dimension, in the attention to an encoder too, l_ff one for every
inner dimension, after the gate where there is one; all start at one, so that training starts from the backbone. A
rescaled output is a rescaled weight and bias, a rescaled input a weight with rescaled columns: nothing is left to
compute after merging.

Liu, Tam, Muqeeth, Mohta, Huang, Bansal, Raffel. Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than
In-Context Learning. NeurIPS 2022. The paper's further losses (unlikelihood, length normalisation) and its
pre-training of the vectors are left out.
"""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, PeftForm, Range, TaskInfo
from methods.composition.exchange import ADAPTER, INSIDE, beside_parts, projections, updated_modules
from methods.composition.parameters import LinearUpdate, add_linear_update, merge_linear_updates


class RescaledOutput(LinearUpdate):
    """y ← l ⊙ y, with l (out)."""

    def __init__(self, size: int, like: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(like.new_ones(size))

    @override
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y * self.scale.to(y.dtype)

    @override
    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight * self.scale[:, None], None if bias is None else bias * self.scale


class RescaledInput(LinearUpdate):
    """x ← l ⊙ x, with l (in)."""

    def __init__(self, size: int, like: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(like.new_ones(size))

    @override
    def before(self, x: Tensor) -> Tensor:
        return x * self.scale.to(x.dtype)

    @override
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y

    @override
    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight * self.scale, bias


class IA3(Method):
    """Liu et al., NeurIPS 2022: learned vectors rescale activations."""

    lr: LearningRate = 1e-2

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like = anatomy.word_embeddings.weight
        for site in anatomy.sites(("key", "value")):
            add_linear_update(site, RescaledOutput(site.out_features, like))
        for layer in anatomy.layers:
            add_linear_update(layer.ffn_out, RescaledInput(layer.ffn_out.in_features, like))

    @override
    def merge(self, model: nn.Module) -> bool:
        return merge_linear_updates(model)

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        tensors, inner = {}, []
        modules = updated_modules(anatomy.model)
        for name, module in modules.items():
            scales = {share: update.get_parameter("scale") for share, update in module.updates.items()}
            first = next(iter(scales.values()))
            if isinstance(next(iter(module.updates.values())), RescaledInput):
                inner.append(name)
                scale = first[None]  # (1, in)
            else:
                scale = beside_parts(module, scales, first.new_ones(module.parts * len(first)))[:, None]  # (out, 1)
            tensors[f"{INSIDE}{name}.ia3_l.{ADAPTER}"] = scale
        options = projections(anatomy.model, modules)
        targets = options["target_modules"]
        feedforward = sorted({name if name in targets else name.rpartition(".")[2] for name in inner})
        return PeftForm("IA3", options | {"feedforward_modules": feedforward}, tensors)

    card = Card(
        name="ia3",
        title="(IA)³",
        family="adapter",
        composition="parameter",
        formula=r"k \leftarrow l_k \odot k, \quad v \leftarrow l_v \odot v, \quad"
        r" \mathrm{FFN}(x) = W_2 (l_{\mathrm{ff}} \odot \sigma(W_1 x))",
        summary=(
            "Keys, values and the inner activations of the feed-forward blocks are multiplied, entry by entry, by"
            " learned vectors. These vectors are all that is trained and stored for each task. They can be multiplied"
            " into the weights after training; inference then costs what the backbone costs. Directions of the"
            " hidden space can be made larger or smaller, but not mixed."
        ),
        citation="liu2022tfew",
        search=(Range("lr", 1e-3, 1e-1, "the paper used 3e-3", "liu2022tfew"),),
        claims=(
            Claim(
                text="Scores higher than full fine-tuning when examples are few.",
                source="liu2022tfew",
                measure="score",
                comparator="full",
                relation="higher",
                scope="T0-3B, with tens of examples per task",
                max_train_examples=100,
            ),
            Claim(
                text="Trains fewer parameters than LoRA.",
                source="liu2022tfew",
                measure="adapter_parameters",
                comparator="lora",
                relation="lower",
            ),
            Claim(
                text="It scores higher than in-context learning.",
                source="liu2022tfew",
                measure="score",
                comparator="few_shot",
                relation="higher",
                scope="T0 with 3 and 11 billion parameters, against GPT-3 with 32 examples in its prompt",
            ),
            Claim(
                text="A prediction costs far less than with in-context learning.",
                source="liu2022tfew",
                measure="inference_flops",
                comparator="few_shot",
                relation="lower",
                scope="T0 with 3 and 11 billion parameters, against GPT-3 with 32 examples in its prompt",
            ),
        ),
    )
