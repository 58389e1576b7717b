"""QLoRA: LoRA on a backbone whose projections are kept in four bits.

    h = dequantise(W_NF4) x + (α / r) B A x

Every projection of every layer is quantised to the 4-bit NormalFloat in blocks of 64 entries, and the blocks'
scales once more (double quantisation); every projection has a low-rank update. The quantised backbone is not the
backbone: predictions differ from its own before the first step.

Dettmers, Pagnoni, Holtzman, Zettlemoyer. QLoRA: Efficient Finetuning of Quantized LLMs. NeurIPS 2023. Quantisation is
that of bitsandbytes. The paper's paged optimiser is left out. Merging dequantises: the merged model has the size of
the backbone and the predictions of the quantised one.
"""

from __future__ import annotations

import importlib.util
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from methods.anatomy import Anatomy, SiteName
from methods.base import Card, Claim, TaskInfo
from methods.composition.parameters import merge_linear_updates
from methods.composition.targets import Targets
from methods.lowrank.lora import LoRA

ALL: tuple[SiteName, ...] = get_args(SiteName)


class QLoRA(LoRA):
    card: ClassVar[Card] = Card(
        name="qlora",
        title="QLoRA",
        family="low-rank",
        composition="parameter",
        formula=r"h = \mathrm{dequant}(W^{\mathrm{NF4}}) x + \frac{\alpha}{r} B A x",
        summary=(
            "The frozen projections of the backbone are stored with four bits per entry and expanded whenever they"
            " are used; thin matrices beside each of them are trained as in LoRA. The weights take about a quarter of"
            " the memory that 16 bits take, at the cost of expanding them in every pass and of an error of rounding."
            " Embeddings and normalisation stay as they are."
        ),
        citation="dettmers2023qlora",
        bibtex="""@inproceedings{dettmers2023qlora,
  author = {Dettmers, Tim and Pagnoni, Artidoro and Holtzman, Ari and Zettlemoyer, Luke},
  title = {{QLoRA}: Efficient Finetuning of Quantized {LLMs}},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year = {2023},
  eprint = {2305.14314},
  archiveprefix = {arXiv},
}""",
        claims=(
            Claim(
                text="Matches full fine-tuning in 16 bits.",
                source="dettmers2023qlora",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="RoBERTa-large and T5 on GLUE and instructions, Llama of 7 to 65 billion parameters",
            ),
            Claim(
                text="Training takes less memory than LoRA.",
                source="dettmers2023qlora",
                measure="peak_memory_bytes",
                comparator="lora",
                relation="lower",
                scope="Llama on a GPU",
            ),
        ),
    )

    targets: Targets = ALL

    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if importlib.util.find_spec("bitsandbytes") is None:
            return "4-bit weights need the package bitsandbytes, which is not installed"
        for site in anatomy.sites(ALL):
            if not isinstance(site.projection, nn.Linear):
                kind, architecture = type(site.projection).__name__, anatomy.config.model_type
                return f"bitsandbytes quantises Linear layers, and the projections of {architecture} are {kind}"
        return None

    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        if not anatomy.word_embeddings.weight.is_meta:
            # T5 looks at the dtype of its feed-forward output, which has to be one to compute in.
            kept = getattr(anatomy.backbone, "_keep_in_fp32_modules", None) or ()
            for site in anatomy.sites(ALL):
                # Parts of a fused projection share one module.
                if type(site.module) is nn.Linear and site.attribute not in kept:
                    site.replace(_quantised(site.module))
        present = tuple(name for name in self.targets if anatomy.sites([name]))
        LoRA.adapt(self.model_copy(update={"targets": present}), anatomy, task)

    def merge(self, model: nn.Module) -> bool:
        for parent in list(model.modules()):
            for attribute, child in list(parent.named_children()):
                if isinstance(child, nn.Linear) and type(child).__name__ == "Linear4bit":
                    setattr(parent, attribute, _dequantised(child))
        return merge_linear_updates(model)


def _quantised(linear: nn.Linear) -> nn.Module:
    import bitsandbytes as bnb

    device = linear.weight.device
    new = bnb.nn.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=None,
        compress_statistics=True,
        quant_type="nf4",
    )
    new.weight = bnb.nn.Params4bit(
        linear.weight.data.cpu(), requires_grad=False, quant_type="nf4", compress_statistics=True, module=new
    )
    new.bias = linear.bias
    # Otherwise evaluation on a CPU packs the weights anew, for a kernel that has to be fetched from the hub.
    new.support_avx512bf16_for_cpu = False
    return new.to(device)


@torch.no_grad()
def _dequantised(linear: nn.Linear) -> nn.Linear:
    from bitsandbytes.functional import dequantize_4bit

    weight: Tensor = dequantize_4bit(linear.weight.data, linear.weight.quant_state)  # type: ignore[attr-defined]
    plain = nn.Linear(linear.in_features, linear.out_features, bias=False, device=weight.device)
    plain.weight = nn.Parameter(weight.float().view(linear.out_features, linear.in_features), requires_grad=False)
    plain.bias = linear.bias
    return plain
