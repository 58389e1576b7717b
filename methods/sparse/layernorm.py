"""LN-tuning: only the normalisation layers are trained.

    h = (γ + Δγ) ⊙ (x − μ) / σ + (β + Δβ),   γ, β, Δγ, Δβ (hidden)

Qi, Ruan, Zuo, Li. Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models. 2022. Where an
architecture normalises by the root mean square there is no μ and no β, and γ alone is trained; the paper has layer
normalisation only. Norms outside the layers, after the embeddings or after the last layer, are trained as well.
"""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, PeftForm, Range, TaskInfo
from methods.composition.exchange import ADAPTER, INSIDE


class LayerNormTuning(Method):
    """Qi et al., 2022: normalisation layers alone are trained."""

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        anatomy.unfreeze_norms()

    @override
    def merge(self, model: nn.Module) -> bool:
        """Nothing to fold: the trained model is the plain architecture already."""
        return True

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        parts = {name: name.rpartition(".") for name in anatomy.norm_names}
        tensors: dict[str, Tensor] = {
            f"{INSIDE}{module}.ln_tuning_layers.{ADAPTER}.{attribute}": anatomy.model.get_parameter(name)
            for name, (module, _, attribute) in parts.items()
        }
        return PeftForm("LN_TUNING", {"target_modules": sorted({module for module, *_ in parts.values()})}, tensors)

    card = Card(
        name="layernorm",
        title="LN-tuning",
        family="sparse",
        composition="parameter",
        formula=r"h = (\gamma + \Delta\gamma) \odot \frac{x - \mu}{\sigma} + (\beta + \Delta\beta)",
        summary=(
            "Of the backbone only the gains and biases of its normalisation layers are trained: about three"
            " parameters in ten thousand of a BERT encoder. They rescale and shift hidden states dimension by"
            " dimension, between layers that stay as they were. The changed vectors are all that is stored for each"
            " task, and inference costs what the backbone costs."
        ),
        citation="qi2022lntuning",
        search=(Range("lr", 5e-4, 5e-2, "two decades from half the default, as earlier searches of ours found"),),
        claims=(
            Claim(
                text="Scores higher than other methods that train less than a thousandth of the parameters.",
                source="qi2022lntuning",
                measure="score",
                comparator="bitfit",
                relation="higher",
                scope="as we read the abstract, which does not name them; BitFit is of that size on BERT",
            ),
        ),
    )
