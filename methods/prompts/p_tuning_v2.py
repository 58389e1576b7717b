"""P-tuning v2: prompts in every layer, for understanding tasks.

    head_l = softmax(q [K_l; k]ᵀ / √d) [V_l; v],   K_l, V_l (heads × length × d)

The mechanism is that of prefix tuning, and so is the code here. What the paper adds is a setting: prompts at this
depth under a classification head rather than a verbaliser, for models of moderate size and for tagging as well as
classification; with the reparametrisation optional, since it helps on some tasks and hurts on others. As in the
authors' code there is dropout on the prefixes, which prefix tuning has not by default. With `reparametrise`,

    (K_l, V_l)_{l} = W₂ tanh(W₁ E + b₁) + b₂,   E (length × heads · d), W₁ (width × heads · d)

gives the prefixes of all layers at once, as the authors' and huggingface/peft's prefix encoder do; W₂ is kept as one
matrix for each layer. Only the resulting prefixes are stored. The paper has no encoder-decoders: they get what prefix
tuning gives them.

Liu, Ji, Fu, Tam, Du, Yang, Tang. P-Tuning: Prompt Tuning Can Be Comparable to Fine-tuning Across Scales and Tasks.
ACL 2022. The paper's multi-task training is left out.
"""

from __future__ import annotations

from pydantic import Field

from methods.base import Card, Claim, Range
from methods.prompts.prefix_tuning import PrefixTuning


class PTuningV2(PrefixTuning):
    """Liu et al., ACL 2022: prefixes with dropout."""

    dropout: float = Field(0.1, ge=0, lt=1, description="dropout on the prefixes")

    card = Card(
        name="p_tuning_v2",
        title="P-tuning v2",
        family="soft-prompt",
        composition="input",
        formula=r"\mathrm{softmax}\left(q [K_l; k]^\top / \sqrt{d}\right) [V_l; v], \quad l = 1, \dots, L",
        summary=(
            "In every layer learned keys and values are put in front of those that attention computes from the"
            " input, with dropout on them, under an ordinary classification head; the backbone is frozen. This is"
            " prefix tuning applied to language understanding: prompts that reach every layer act more directly on"
            " the output than prompts at the input alone. They lengthen what attention looks at, in training and at"
            " inference. A network that produces them while training is an option."
        ),
        citation="liu2022ptuningv2",
        search=(Range("lr", 5e-3, 5e-1, "the authors' code uses 5e-3 to 1e-2", "liu2022ptuningv2"),),
        claims=(
            Claim(
                text="Comparable to full fine-tuning across scales and tasks.",
                source="liu2022ptuningv2",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="models of 330 million to 10 billion parameters, with 0.1 % to 3 % of the parameters",
            ),
            Claim(
                text="Prompts in every layer score higher than prompts at the input alone.",
                source="liu2022ptuningv2",
                measure="score",
                comparator="prompt_tuning",
                relation="higher",
            ),
        ),
    )
