"""Names of the decoder's parameters in Hugging Face's Llama and Mixtral files."""

from __future__ import annotations

_LLAMA_NAMES = {
    "embed.": "model.embed_tokens.", "blocks.": "model.layers.", "head.": "lm_head.", "norm.": "model.norm.",
    "attention_norm.": "input_layernorm.", "mlp_norm.": "post_attention_layernorm.",
    **{f"attention.{part}.": f"self_attn.{part}_proj." for part in "qkvo"},
    **{f"mlp.{part}.": f"mlp.{part}_proj." for part in ("gate", "up", "down")}, "mlp.router.": "block_sparse_moe.gate.",
}  # fmt: skip

_MIXTRAL_PARTS = {"gate": "w1", "up": "w3", "down": "w2"}


def llama_name(name: str) -> str:
    """'blocks.0.attention.q.weight' → 'model.layers.0.self_attn.q_proj.weight'."""
    head, dot, rest = name.partition(".")
    top = _LLAMA_NAMES[head + dot]
    if head != "blocks":
        return top + rest
    number, _, inner = rest.partition(".")
    prefix, _, kind = inner.rpartition(".")
    if prefix.startswith("mlp.experts."):
        _, _, expert, part = prefix.split(".")
        return f"{top}{number}.block_sparse_moe.experts.{expert}.{_MIXTRAL_PARTS[part]}.{kind}"
    return f"{top}{number}.{_LLAMA_NAMES[prefix + '.']}{kind}"
