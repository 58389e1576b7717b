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
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, get_args

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D
from typing_extensions import override

from methods.anatomy import Anatomy, SiteName, weight_of
from methods.base import Card, Claim, PeftForm, Range, TaskInfo
from methods.composition.parameters import merge_linear_updates
from methods.composition.targets import Targets, missing_target
from methods.lowrank.lora import LoRA

if TYPE_CHECKING:
    from bitsandbytes.functional import QuantState

ALL: tuple[SiteName, ...] = get_args(SiteName)


BLOCK = 64


class NF4Linear(nn.Module):
    """A frozen projection in four bits. Unlike in bitsandbytes' Linear4bit everything is a buffer, so that all of it is
    counted, moved, copied and saved with the module; and the bias keeps its dtype under autocast."""

    packed: Tensor  # two weights to a byte
    magnitudes: Tensor  # one byte for each block
    codebook: Tensor
    offset: Tensor  # the mean of the magnitudes
    magnitude_units: Tensor
    magnitude_codebook: Tensor

    def __init__(self, projection: nn.Linear | Conv1D) -> None:
        from bitsandbytes.functional import quantize_4bit

        super().__init__()
        weight = weight_of(projection)
        self.transposed = isinstance(projection, Conv1D)
        self.out_features, self.in_features = weight.shape
        self.dtype = weight.dtype
        self.bias = projection.bias
        packed, state = quantize_4bit(weight.contiguous(), blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
        self.magnitude_block = state.state2.blocksize
        self.register_buffer("packed", packed)
        self.register_buffer("magnitudes", state.absmax)
        self.register_buffer("codebook", state.code)
        self.register_buffer("offset", state.offset)
        self.register_buffer("magnitude_units", state.state2.absmax)
        self.register_buffer("magnitude_codebook", state.state2.code)

    @property
    def weight(self) -> Tensor:
        """Without entries: some architectures look at a projection's weight for its dtype."""
        return self.magnitude_units.new_empty(0, dtype=self.dtype)

    @override
    def forward(self, x: Tensor) -> Tensor:
        from bitsandbytes import matmul_4bit

        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        bias = None if self.bias is None else self.bias.to(x.dtype)
        y: Tensor = matmul_4bit(x, self.packed.t(), quant_state=self._state(x.dtype), bias=bias)  # (…, in) to (…, out)
        return y

    @torch.no_grad()
    def dequantise(self) -> nn.Linear | Conv1D:
        """A plain projection again."""
        from bitsandbytes.functional import dequantize_4bit

        weight = dequantize_4bit(self.packed, self._state(self.dtype))
        plain: nn.Linear | Conv1D
        with torch.device("meta"):  # for a moment: what matters is assigned below
            if self.transposed:
                plain, weight = Conv1D(self.out_features, self.in_features), weight.T.contiguous()
            else:
                plain = nn.Linear(self.in_features, self.out_features, bias=False)
        plain.weight = nn.Parameter(weight, requires_grad=False)
        plain.bias = self.bias
        return plain.train(self.training)

    def _state(self, dtype: torch.dtype) -> QuantState:
        from bitsandbytes.functional import QuantState

        units = QuantState(
            absmax=self.magnitude_units,
            code=self.magnitude_codebook,
            blocksize=self.magnitude_block,
            dtype=torch.float32,
        )
        return QuantState(
            absmax=self.magnitudes,
            shape=torch.Size((self.out_features, self.in_features)),
            code=self.codebook,
            blocksize=BLOCK,
            quant_type="nf4",
            dtype=dtype,
            offset=self.offset,
            state2=units,
        )


class QLoRA(LoRA):
    """Dettmers et al., NeurIPS 2023: LoRA on projections in four bits."""

    identical_at_start: ClassVar[bool] = False
    targets: Targets = ALL

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if importlib.util.find_spec("bitsandbytes") is None:
            return "4-bit weights need the package bitsandbytes, which is not installed"
        # By default whatever there is of them.
        return None if self.targets == ALL else missing_target(anatomy, self.targets)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        # Updates first, while the projections can still be asked for their dimensions.
        present = tuple(name for name in self.targets if anatomy.sites([name]))
        LoRA.adapt(self.model_copy(update={"targets": present}), anatomy, task)
        if not anatomy.word_embeddings.weight.is_meta:
            for layer in anatomy.layers:
                for parent, attribute, child in _children(layer.module):
                    if isinstance(child, (nn.Linear, Conv1D)):
                        setattr(parent, attribute, NF4Linear(child))

    @override
    def merge(self, model: nn.Module) -> bool:
        for parent, attribute, child in _children(model):
            if isinstance(child, NF4Linear):
                setattr(parent, attribute, child.dequantise())
        return merge_linear_updates(model)

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        note = (
            "Trained beside a backbone in four bits (NF4, double quantisation), and exported for the plain one, so that"
            " predictions differ by the error of rounding; load the backbone with BitsAndBytesConfig(load_in_4bit=True,"
            ' bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True) to have what was trained.'
        )
        return replace(super().as_peft(anatomy), note=note, exact=False)

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
        search=(Range("lr", 1e-4, 1e-2, "the paper used 1e-4 and 2e-4", "dettmers2023qlora"),),
        quantised=True,
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
                measure="training_memory_bytes",
                comparator="lora",
                relation="lower",
                scope="Llama on a GPU",
                matched=("rank", "targets"),
            ),
        ),
    )


def _children(root: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    return [(parent, name, child) for parent in root.modules() for name, child in parent.named_children()]
