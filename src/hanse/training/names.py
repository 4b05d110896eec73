"""Names of the decoder's parameters in Hugging Face's Llama files."""

from __future__ import annotations

_LLAMA_NAMES = {
    "embed.": "model.embed_tokens.", "blocks.": "model.layers.", "head.": "lm_head.", "norm.": "model.norm.",
    "attention_norm.": "input_layernorm.", "mlp_norm.": "post_attention_layernorm.",
    **{f"attention.{part}.": f"self_attn.{part}_proj." for part in "qkvo"},
    **{f"mlp.{part}.": f"mlp.{part}_proj." for part in ("gate", "up", "down")},
}  # fmt: skip


def llama_name(name: str) -> str:
    """'blocks.0.attention.q.weight' → 'model.layers.0.self_attn.q_proj.weight'."""
    head, dot, rest = name.partition(".")
    top = _LLAMA_NAMES[head + dot]
    if head != "blocks":
        return top + rest
    number, _, inner = rest.partition(".")
    prefix, _, kind = inner.rpartition(".")
    return f"{top}{number}.{_LLAMA_NAMES[prefix + '.']}{kind}"
