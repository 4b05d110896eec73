"""What each family of Hugging Face models calls its sizes, and what of its structure no key says.

One function a family gives the fields of a ModelShape. The facts come from the families' configuration classes and
published configurations; tests compare the counts they lead to with those of the models themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from hanse.contracts.workload import Experts, LatentAttention
from hanse.workloads.keys import Config

Fields = dict[str, Any]


def _decoder(config: Config, *, tied: bool, context: int | None = None) -> Fields:
    """The keys that Llama and most families after it share."""
    heads = config.size("num_attention_heads")
    hidden = config.size("hidden_size")
    return {
        "family": "decoder", "layers": config.size("num_hidden_layers"), "hidden": hidden, "heads": heads,
        "kv_heads": config.size("num_key_value_heads", default=heads), "ffn": config.size("intermediate_size"),
        "vocab": config.size("vocab_size"), "context": config.size("max_position_embeddings", default=context),
        "tied_head": config.flag("tie_word_embeddings", tied), "head_size": config.optional("head_dim"),
    }  # fmt: skip


def _windows(config: Config, fields: Fields, *, window: int | None, every: int | None = None) -> None:
    """`window` for the layers that slide; `every` which layer does not, unless `layer_types` lists them one by one."""
    kinds = config.data.get("layer_types")
    if isinstance(kinds, list):
        full = sum(each == "full_attention" for each in kinds)
        if set(kinds) - {"full_attention", "sliding_attention"}:
            raise config.refuse(f"it has layers of the kinds {', '.join(sorted({str(each) for each in kinds}))}")
        if full == len(kinds):
            return
        every = round(len(kinds) / full) if full else None
    if window is not None:
        fields["window"] = window
        fields["full_attention_every"] = every


def _attention_biases(config: Config, fields: Fields, *, default: bool = False) -> None:
    """`attention_bias` is of q, k, v and o, `mlp_bias` of the feed-forward."""
    attention, mlp = config.flag("attention_bias", default), config.flag("mlp_bias", False)
    inner = fields["ffn"] * (2 if fields.get("gated", True) else 1) + fields["hidden"]
    if attention and mlp:
        fields["biases"] = "all"
    elif attention:
        fields["biases"] = "qkv"
        _extra(fields, fields["layers"] * fields["hidden"])
    elif mlp:
        _extra(fields, fields["layers"] * inner)


def _extra(fields: Fields, parameters: int) -> None:
    fields["extra_parameters"] = fields.get("extra_parameters", 0) + parameters


def _llama(config: Config) -> Fields:
    fields = _decoder(config, tied=False, context=2048)
    _attention_biases(config, fields)
    plain = "biases" not in fields and "extra_parameters" not in fields
    if plain and fields["head_size"] in (None, fields["hidden"] // fields["heads"]):
        fields["family"] = "llama"
    return fields


def _like_llama(config: Config) -> Fields:
    """Llama's matrices in another order, or with factors that a Llama does not have."""
    return {**_llama(config), "family": "decoder"}


def _smollm3(config: Config) -> Fields:
    return {**_like_llama(config), "tied_head": config.flag("tie_word_embeddings", True)}


def _mistral(config: Config) -> Fields:
    fields = _llama(config)
    window = config.optional("sliding_window")
    if window is not None and window < fields["context"]:
        fields |= {"family": "decoder", "window": window}
    return fields


def _mixtral(config: Config) -> Fields:
    fields = {**_mistral(config), "family": "decoder"}
    experts = config.size("num_local_experts", default=8), config.size("num_experts_per_tok", default=2)
    fields["experts"] = Experts(count=experts[0], active=experts[1], ffn=fields["ffn"])
    return fields


def _qwen2(config: Config) -> Fields:
    fields = {**_decoder(config, tied=False, context=32768), "biases": "qkv"}
    if config.flag("use_sliding_window", False):
        _windows(config, fields, window=config.optional("sliding_window"))
    return fields


def _qwen3(config: Config) -> Fields:
    fields = {**_decoder(config, tied=False, context=32768), "qk_norm": True}
    if config.kind == "qwen3":
        fields["head_size"] = fields["head_size"] or 128
    _attention_biases(config, fields)
    if config.flag("use_sliding_window", False):
        _windows(config, fields, window=config.optional("sliding_window"))
    return fields


def _qwen_experts(config: Config, fields: Fields, shared: int) -> Fields:
    if config.size("decoder_sparse_step", default=1) != 1:
        raise config.refuse("only some of its layers are mixtures (decoder_sparse_step)")
    fields["experts"] = Experts(
        count=config.size("num_experts", "num_local_experts"), active=config.size("num_experts_per_tok"),
        ffn=config.size("moe_intermediate_size"), shared_ffn=shared,
        dense_layers=len(config.data.get("mlp_only_layers") or ()),
    )  # fmt: skip
    return fields


def _qwen2_moe(config: Config) -> Fields:
    fields = _qwen_experts(config, _qwen2(config), config.size("shared_expert_intermediate_size"))
    _extra(fields, fields["layers"] * fields["hidden"])  # the shared expert's gate
    return fields


def _qwen3_moe(config: Config) -> Fields:
    return _qwen_experts(config, _qwen3(config), 0)


def _shared_and_first(config: Config) -> Experts:
    """Experts as DeepSeek's families name them."""
    if config.size("moe_layer_freq", default=1) != 1:
        raise config.refuse("only some of its layers are mixtures (moe_layer_freq)")
    inner = config.size("moe_intermediate_size")
    return Experts(
        count=config.size("n_routed_experts"), active=config.size("num_experts_per_tok"), ffn=inner,
        shared_ffn=inner * config.count("n_shared_experts"), dense_layers=config.count("first_k_dense_replace"),
    )  # fmt: skip


def _deepseek(config: Config) -> Fields:
    fields = {**_decoder(config, tied=False, context=4096), "experts": _shared_and_first(config)}
    fields["latent"] = latent = LatentAttention(
        q_rank=config.optional("q_lora_rank"), kv_rank=config.size("kv_lora_rank"),
        nope_dim=config.size("qk_nope_head_dim"), rope_dim=config.size("qk_rope_head_dim"),
        v_dim=config.size("v_head_dim"),
    )  # fmt: skip
    fields |= {"kv_heads": fields["heads"], "head_size": latent.nope_dim + latent.rope_dim}
    fields["mtp_layers"] = config.count("num_nextn_predict_layers")
    return fields


def _glm4_moe(config: Config) -> Fields:
    fields = {**_decoder(config, tied=False, context=131072), "experts": _shared_and_first(config)}
    fields |= {"qk_norm": config.flag("use_qk_norm", False), "mtp_layers": config.count("num_nextn_predict_layers")}
    fields["biases"] = "qkv" if config.flag("attention_bias", False) else "none"  # its output projection has none
    return fields


def _gpt2(config: Config) -> Fields:
    hidden, heads = config.size("n_embd", "hidden_size"), config.size("n_head", "num_attention_heads")
    return {
        "family": "decoder", "layers": config.size("n_layer", "num_hidden_layers"), "hidden": hidden, "heads": heads,
        "kv_heads": heads, "ffn": config.size("n_inner", default=4 * hidden), "vocab": config.size("vocab_size"),
        "context": config.size("n_positions", "n_ctx"), "tied_head": config.flag("tie_word_embeddings", True),
        "gated": False, "norm": "layer", "biases": "all", "positions": "learned",
    }  # fmt: skip


def _gptj(config: Config) -> Fields:
    fields = _gpt2(config) | {"biases": "none", "positions": "rotary", "layer_norms": 1}
    fields["tied_head"] = config.flag("tie_word_embeddings", False)
    # The feed-forward and the head have biases, attention has none.
    _extra(fields, fields["layers"] * (fields["ffn"] + fields["hidden"]) + fields["vocab"])
    return fields


def _gpt_neox(config: Config) -> Fields:
    fields = _decoder(config, tied=False) | {"gated": False, "norm": "layer", "biases": "all"}
    if not config.flag("attention_bias", True):
        fields["biases"] = "none"
        _extra(fields, fields["layers"] * (fields["ffn"] + fields["hidden"]))
    return fields


def _bloom(config: Config) -> Fields:
    hidden, heads = config.size("hidden_size", "n_embed"), config.size("n_head", "num_attention_heads")
    return {
        "family": "decoder", "layers": config.size("n_layer", "num_hidden_layers"), "hidden": hidden, "heads": heads,
        "kv_heads": heads, "ffn": 4 * hidden, "vocab": config.size("vocab_size"),
        "context": config.size("seq_length", default=2048), "gated": False, "norm": "layer", "biases": "all",
        "positions": "alibi", "extra_parameters": 2 * hidden,
    }  # fmt: skip


def _opt(config: Config) -> Fields:
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    if config.size("word_embed_proj_dim", default=hidden) != hidden:
        raise config.refuse("its embedding is of another width than its layers (word_embed_proj_dim)")
    return {
        "family": "decoder", "layers": config.size("num_hidden_layers"), "hidden": hidden, "heads": heads,
        "kv_heads": heads, "ffn": config.size("ffn_dim"), "vocab": config.size("vocab_size"),
        "context": config.size("max_position_embeddings"), "tied_head": config.flag("tie_word_embeddings", True),
        "gated": False, "norm": "layer", "biases": "all" if config.flag("enable_bias", True) else "none",
        "positions": "learned", "extra_parameters": 2 * hidden,  # its table of positions begins two rows late
    }  # fmt: skip


def _falcon(config: Config) -> Fields:
    hidden = config.size("hidden_size", "n_embed")
    heads = config.size("num_attention_heads", "n_head")
    new = config.flag("new_decoder_architecture", False)
    kv_heads = 1 if config.flag("multi_query", True) else heads
    shared_norm = config.flag("parallel_attn", True) and not new
    return {
        "family": "decoder", "layers": config.size("num_hidden_layers", "n_layer"), "hidden": hidden, "heads": heads,
        "kv_heads": config.size("num_kv_heads", "n_head_kv", default=heads) if new else kv_heads,
        "ffn": config.size("ffn_hidden_size", default=4 * hidden), "vocab": config.size("vocab_size"),
        "context": config.size("max_position_embeddings", default=2048),
        "tied_head": config.flag("tie_word_embeddings", True), "gated": False, "norm": "layer",
        "biases": "all" if config.flag("bias", False) else "none",
        "positions": "alibi" if config.flag("alibi", False) else "rotary",
        "layer_norms": 1 if shared_norm or config.optional("num_ln_in_parallel_attn") == 1 else 2,
    }  # fmt: skip


def _gemma(config: Config) -> Fields:
    return _decoder(config, tied=True, context=8192) | {"head_size": config.size("head_dim", default=256)}


def _gemma2(config: Config) -> Fields:
    fields = _gemma(config) | {"layer_norms": 4}
    _windows(config, fields, window=config.size("sliding_window", default=4096), every=2)
    return fields


def _gemma3(config: Config) -> Fields:
    # Published files leave out what equals the family's defaults.
    usual = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208}
    whole = Config(
        data={**usual, "max_position_embeddings": 131_072, **config.data}, where=config.where, kind=config.kind
    )
    fields = _gemma(whole) | {"layer_norms": 4, "qk_norm": True}
    every = whole.size("sliding_window_pattern", "_sliding_window_pattern", default=6)
    _windows(whole, fields, window=whole.size("sliding_window", default=4096), every=every)
    return fields


def _phi(config: Config) -> Fields:
    fields = _decoder(config, tied=False, context=2048)
    fields |= {"gated": False, "norm": "layer", "biases": "all", "layer_norms": 1}
    _extra(fields, fields["vocab"])  # the head's bias
    return fields


def _phi3(config: Config) -> Fields:
    fields = _decoder(config, tied=False)
    window = config.optional("sliding_window")
    if window is not None and window < fields["context"]:
        fields["window"] = window
    return fields


def _olmo(config: Config) -> Fields:
    return _like_llama(config) | {"layer_norms": 0}  # its norms have no parameters


def _olmo2(config: Config) -> Fields:
    fields = _like_llama(config) | {"qk_norm": True}
    size = fields["head_size"] or fields["hidden"] // fields["heads"]
    # Queries and keys are normed over all heads together.
    _extra(fields, fields["layers"] * size * (fields["heads"] + fields["kv_heads"] - 2))
    _windows(config, fields, window=config.optional("sliding_window"), every=4)
    return fields


def _gpt_oss(config: Config) -> Fields:
    fields = _decoder(config, tied=False) | {"biases": "all"}
    fields["experts"] = Experts(
        count=config.size("num_local_experts"), active=config.size("num_experts_per_tok", "experts_per_token"),
        ffn=fields["ffn"],
    )  # fmt: skip
    _windows(config, fields, window=config.optional("sliding_window"), every=2)
    _extra(fields, fields["layers"] * fields["heads"])  # attention sinks
    return fields


def _apertus(config: Config) -> Fields:
    fields = _decoder(config, tied=False) | {"gated": False, "qk_norm": True}
    _attention_biases(config, fields)
    _extra(fields, 2 * fields["layers"])  # xIELU's two
    return fields


def _nemotron(config: Config) -> Fields:
    fields = _decoder(config, tied=False) | {"gated": False, "norm": "layer"}
    _attention_biases(config, fields)
    return fields


def _starcoder2(config: Config) -> Fields:
    fields = _decoder(config, tied=True) | {"gated": False, "norm": "layer"}
    fields["biases"] = "all" if config.flag("use_bias", True) else "none"
    _windows(config, fields, window=config.optional("sliding_window"))
    return fields


def _cohere(config: Config) -> Fields:
    fields = _decoder(config, tied=True, context=8192) | {"norm": "layer", "layer_norms": 1}
    if config.flag("use_qk_norm", False):
        size = fields["head_size"] or fields["hidden"] // fields["heads"]
        _extra(fields, fields["layers"] * size * (fields["heads"] + fields["kv_heads"]))
    if config.kind == "cohere2":
        every = config.size("sliding_window_pattern", default=4)
        _windows(config, fields, window=config.optional("sliding_window"), every=every)
    return fields


def _bert(config: Config) -> Fields:
    heads, hidden = config.size("num_attention_heads"), config.size("hidden_size")
    table = config.size("max_position_embeddings", default=512)
    padding = 0 if config.kind == "bert" else 2  # RoBERTa's table begins two rows late
    return {
        "family": "encoder", "layers": config.size("num_hidden_layers"), "hidden": hidden, "heads": heads,
        "kv_heads": heads, "ffn": config.size("intermediate_size"), "vocab": config.size("vocab_size"),
        "context": max(1, table - padding), "tied_head": True, "gated": False, "norm": "layer", "biases": "all",
        "positions": "learned", "extra_parameters": hidden * (config.size("type_vocab_size", default=2) + padding),
    }  # fmt: skip


def _modernbert(config: Config) -> Fields:
    fields = _decoder(config, tied=True, context=8192) | {"family": "encoder", "norm": "layer"}
    _extra(fields, fields["hidden"])  # a norm after the embedding
    every = config.size("global_attn_every_n_layers", default=3)
    _windows(config, fields, window=config.size("local_attention", default=128), every=every)
    return fields


def _vit(config: Config) -> Fields:
    heads = config.size("num_attention_heads")
    patch, image = config.size("patch_size"), config.size("image_size")
    labels = config.data.get("id2label")
    return {
        "family": "vit", "layers": config.size("num_hidden_layers"), "hidden": config.size("hidden_size"),
        "heads": heads, "kv_heads": heads, "ffn": config.size("intermediate_size"),
        "vocab": len(labels) if isinstance(labels, Mapping) and labels else config.size("num_labels", default=1000),
        "context": (image // patch) ** 2 + 1, "tied_head": False, "gated": False, "norm": "layer", "biases": "all",
        "positions": "learned", "patch_elements": config.size("num_channels", default=3) * patch**2,
    }  # fmt: skip


FAMILIES: Final[dict[str, Callable[[Config], Fields]]] = {
    "apertus": _apertus, "bert": _bert, "bloom": _bloom, "cohere": _cohere, "cohere2": _cohere,
    "deepseek_v2": _deepseek, "deepseek_v3": _deepseek, "falcon": _falcon, "gemma": _gemma, "gemma2": _gemma2,
    "gemma3": _gemma3, "gemma3_text": _gemma3, "glm4_moe": _glm4_moe, "gpt2": _gpt2, "gpt_neox": _gpt_neox,
    "gpt_oss": _gpt_oss, "gptj": _gptj, "granite": _like_llama, "kimi_k2": _deepseek, "llama": _llama,
    "mistral": _mistral, "mixtral": _mixtral, "modernbert": _modernbert, "nemotron": _nemotron, "olmo": _olmo,
    "olmo2": _olmo2, "olmo3": _olmo2, "opt": _opt, "phi": _phi, "phi3": _phi3, "qwen2": _qwen2,
    "qwen2_moe": _qwen2_moe, "qwen3": _qwen3, "qwen3_moe": _qwen3_moe, "roberta": _bert, "smollm3": _smollm3,
    "starcoder2": _starcoder2, "vit": _vit, "xlm-roberta": _bert,
}  # fmt: skip
