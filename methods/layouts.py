"""The architectures that are known, as data: where each keeps its layers, projections and positions."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Stack:
    """Layers of one build. `layers` is a path from the backbone, with `*` for every child; the others are
    paths from a layer. Alternatives are divided by `|`; `Wqkv[1/3]` is the second third of a fused module's
    outputs. `attention` is the module that calls the attention function; `ffn_gate` the second projection
    of a gated feed-forward block, whose output goes through the nonlinearity. `cross` holds query, key, value
    and output of the attention to an encoder, and `cross_attention` the module that calls its function.
    `attention_residual` is the module that is called with attention's result and with what attention was given, and
    adds the two, where one does.
    """

    layers: str
    attention: str
    query: str
    key: str
    value: str
    attention_output: str
    ffn_in: str
    ffn_out: str
    ffn_gate: str = ""
    attention_residual: str = ""
    cross_attention: str = ""
    cross: tuple[str, ...] = ()
    causal: bool = False


@dataclass(frozen=True)
class Layout:
    """An architecture. `positions` is the table of learned positions, empty where positions are rotary or
    relative, of which the first `reserved_positions` rows stand for none. `exchangeable_attention` says that
    it calls transformers' attention interface. `reader` is the part of the backbone that a language model calls
    past the backbone itself, empty where there is none."""

    stacks: tuple[Stack, ...]
    positions: str = ""
    reserved_positions: int = 0
    exchangeable_attention: bool = True
    reader: str = ""


_BERT_LAYERS = Stack(
    layers="encoder.layer.*",
    attention="attention.self",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    attention_residual="attention.output",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
)
_BERT = Layout((_BERT_LAYERS,), positions="embeddings.position_embeddings")
# RoBERTa counts positions from its padding index plus one.
_ROBERTA = replace(_BERT, reserved_positions=2)

_ALBERT = Layout(
    (
        Stack(
            layers="encoder.albert_layer_groups.*.albert_layers.*",
            attention="attention",
            query="attention.query",
            key="attention.key",
            value="attention.value",
            attention_output="attention.dense",
            ffn_in="ffn",
            ffn_out="ffn_output",
        ),
    ),
    positions="embeddings.position_embeddings",
)

# Positions are relative, in attention of its own; a table of absolute ones is optional and off in published models.
_DEBERTA_V2 = Layout(
    (
        replace(
            _BERT_LAYERS,
            query="attention.self.query_proj",
            key="attention.self.key_proj",
            value="attention.self.value_proj",
        ),
    ),
    exchangeable_attention=False,
)

_DISTILBERT = Layout(
    (
        Stack(
            layers="transformer.layer.*",
            attention="attention",
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            attention_output="attention.out_lin",
            ffn_in="ffn.lin1",
            ffn_out="ffn.lin2",
        ),
    ),
    positions="embeddings.position_embeddings",
)

_MODERNBERT = Layout(
    (
        Stack(
            layers="layers.*",
            attention="attn",
            query="attn.Wqkv[0/3]",
            key="attn.Wqkv[1/3]",
            value="attn.Wqkv[2/3]",
            attention_output="attn.Wo",
            ffn_gate="mlp.Wi[0/2]",
            ffn_in="mlp.Wi[1/2]",
            ffn_out="mlp.Wo",
        ),
    )
)

_LLAMA_LAYERS = Stack(
    layers="layers.*",
    attention="self_attn",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.o_proj",
    ffn_in="mlp.up_proj",
    ffn_gate="mlp.gate_proj",
    ffn_out="mlp.down_proj",
    causal=True,
)
_LLAMA = Layout((_LLAMA_LAYERS,))

_GPT2 = Layout(
    (
        Stack(
            layers="h.*",
            attention="attn",
            query="attn.c_attn[0/3]",
            key="attn.c_attn[1/3]",
            value="attn.c_attn[2/3]",
            attention_output="attn.c_proj",
            ffn_in="mlp.c_fc",
            ffn_out="mlp.c_proj",
            causal=True,
        ),
    ),
    positions="wpe",
)

# OPT and BART keep two rows of their position tables for padding.
_OPT_LAYERS = Stack(
    layers="decoder.layers.*",
    attention="self_attn",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.out_proj",
    ffn_in="fc1",
    ffn_out="fc2",
    causal=True,
)
_OPT = Layout((_OPT_LAYERS,), positions="decoder.embed_positions", reserved_positions=2, reader="decoder")
_BART = Layout(
    (
        replace(_OPT_LAYERS, layers="encoder.layers.*", causal=False),
        replace(
            _OPT_LAYERS,
            cross_attention="encoder_attn",
            cross=(
                "encoder_attn.q_proj",
                "encoder_attn.k_proj",
                "encoder_attn.v_proj",
                "encoder_attn.out_proj",
            ),
        ),
    ),
    positions="encoder.embed_positions",
    reserved_positions=2,
)

_T5_ENCODER = Stack(
    layers="encoder.block.*",
    attention="layer.0.SelfAttention",
    query="layer.0.SelfAttention.q",
    key="layer.0.SelfAttention.k",
    value="layer.0.SelfAttention.v",
    attention_output="layer.0.SelfAttention.o",
    # Two projections in version 1.1, of which the first goes through the nonlinearity.
    ffn_in="layer.1.DenseReluDense.wi|layer.1.DenseReluDense.wi_1",
    ffn_gate="layer.1.DenseReluDense.wi_0",
    ffn_out="layer.1.DenseReluDense.wo",
)
_T5 = Layout(
    (
        _T5_ENCODER,
        replace(
            _T5_ENCODER,
            layers="decoder.block.*",
            cross_attention="layer.1.EncDecAttention",
            cross=(
                "layer.1.EncDecAttention.q",
                "layer.1.EncDecAttention.k",
                "layer.1.EncDecAttention.v",
                "layer.1.EncDecAttention.o",
            ),
            ffn_in="layer.2.DenseReluDense.wi|layer.2.DenseReluDense.wi_1",
            ffn_gate="layer.2.DenseReluDense.wi_0",
            ffn_out="layer.2.DenseReluDense.wo",
            causal=True,
        ),
    )
)

# By `config.model_type`.
LAYOUTS: dict[str, Layout] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
    "albert": _ALBERT,
    "deberta-v2": _DEBERTA_V2,
    "modernbert": _MODERNBERT,
    "gpt2": _GPT2,
    "opt": _OPT,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "t5": _T5,
    "bart": _BART,
}
