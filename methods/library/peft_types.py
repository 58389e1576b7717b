"""What the methods of huggingface/peft learn, by type: a title and one clause for each, under its family.

Mangrulkar et al. PEFT: State-of-the-art Parameter-Efficient Fine-Tuning methods. 2022.
"""

from __future__ import annotations

from records.vocabulary import Composition

# The family of low rank also holds what is no less a structured change of projections, orthogonal or spectral, since
# the card has no other place for it.
LOW_RANK: dict[str, tuple[str, str]] = {
    "lora": ("LoRA", "a product of two thin matrices is added to chosen projections"),
    "adalora": ("AdaLoRA", "updates in the form of a singular value decomposition share a budget of rank"),
    "adamss": ("AdaMSS", "low-rank updates are learnt in several subspaces of each projection"),
    "boft": ("BOFT", "chosen projections are multiplied by orthogonal matrices of butterfly factors"),
    "c3a": ("C³A", "block-circulant matrices are added to chosen projections"),
    "deft": ("DEFT", "a subspace of each chosen projection is taken out and replaced"),
    "delora": ("DeLoRA", "low-rank updates are normalised, and bounded in strength"),
    "fourierft": ("FourierFT", "a few Fourier coefficients of each projection's change are learnt"),
    "frod": ("FRoD", "scales and sparse entries between projections' shared factors are learnt"),
    "glora": ("GLoRA", "weights and biases of chosen projections are scaled and shifted by low-rank terms"),
    "gralora": ("GraLoRA", "each projection is cut into blocks, each with a low-rank update of its own"),
    "hira": ("HiRA", "chosen projections are multiplied, entry by entry, by a low-rank matrix"),
    "hra": ("HRA", "chosen projections are multiplied by a chain of Householder reflections"),
    "lily": ("Lily", "low-rank updates share their factors across layers"),
    "loha": ("LoHa", "the entrywise product of two low-rank matrices is added to chosen projections"),
    "lokr": ("LoKr", "Kronecker products are added to chosen projections"),
    "miss": ("MiSS", "one small matrix, expanded by repetition, is added to each chosen projection"),
    "oft": ("OFT", "chosen projections are multiplied by block-diagonal orthogonal matrices"),
    "osf": ("OSF", "chosen projections are trained in the space orthogonal to their leading singular directions"),
    "peanut": ("PEANuT", "a small network computes each projection's change from its pretrained weight"),
    "poly": ("Polytropon", "several low-rank updates are mixed by a learnt choice for each task"),
    "psoft": ("PSOFT", "an orthogonal matrix is learnt within each projection's principal subspace"),
    "pvera": ("PVeRA", "vectors scale random low-rank factors, which are sampled rather than fixed"),
    "randlora": ("RandLoRA", "scaled sums of random low-rank factors are added to chosen projections"),
    "road": ("RoAd", "pairs of a projection's outputs are rotated and scaled"),
    "tinylora": ("TinyLoRA", "a tiny vector is projected into low-rank updates of many projections"),
    "unilora": ("Uni-LoRA", "one vector is spread over the low-rank updates of all projections"),
    "vblora": ("VB-LoRA", "low-rank updates are put together from a bank of vectors that all layers share"),
    "vera": ("VeRA", "vectors scale random low-rank factors which all layers share and which are not trained"),
    "waveft": ("WaveFT", "a few wavelet coefficients of each projection's change are learnt"),
    "xlora": ("X-LoRA", "several trained LoRAs are mixed by a network that reads hidden states"),
}
SPARSE: dict[str, tuple[str, str]] = {
    "beft": ("BEFT", "biases of chosen projections are trained"),
    "ln_tuning": ("LN tuning", "normalisation layers are trained"),
    "shira": ("SHiRA", "a sparse set of entries of chosen projections is trained"),
    "supertuning": ("Super-Tuning", "the entries of chosen projections that are largest, or smallest, are trained"),
    "trainable_tokens": ("Trainable tokens", "the embeddings of chosen tokens are trained"),
}
ADAPTER: dict[str, tuple[str, str]] = {
    "ia3": ("(IA)³", "vectors rescale keys, values, and the inner activations of the feed-forward block"),
    "shadow": ("ShadowPEFT", "a small network beside the backbone exchanges states with every layer"),
}
SOFT_PROMPT: dict[str, tuple[str, str]] = {
    "adaption_prompt": ("LLaMA-Adapter", "gated prompts are attended to in the upper layers"),
    "cartridge": ("Cartridge", "a cache of keys and values that precedes every input is trained"),
    "cpt": ("CPT", "the embeddings of a context of given tokens are trained"),
    "multitask_prompt_tuning": ("Multitask prompt tuning", "tasks share a prompt, which low-rank factors adjust"),
    "p_tuning": ("P-tuning", "a small network produces vectors that are put in front of the input's embeddings"),
    "prefix_tuning": ("Prefix tuning", "keys and values are put in front of those of every layer's attention"),
    "prompt_tuning": ("Prompt tuning", "vectors are put in front of the input's embeddings"),
}
FAMILIES: tuple[tuple[str, Composition, str, dict[str, tuple[str, str]]], ...] = (
    ("low-rank", "parameter", r"\theta' = \theta \oplus \phi", LOW_RANK),
    ("sparse", "parameter", r"\theta' = \theta \oplus \phi", SPARSE),
    ("adapter", "function", r"f_\theta \circ f_\phi", ADAPTER),
    ("soft-prompt", "input", r"f_\theta([\phi; x])", SOFT_PROMPT),
)
