"""Writes a small Llama model of ours as GGUF in float32, so that llama.cpp serves exactly its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from torch import Tensor

from o1kit.models.language_model import LanguageModel

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(model: LanguageModel, tokenizer: Any, path: Path) -> Path:
    """The model with its tokens as pieces; text need not be split right, since prompts are sent as token ids."""
    config, writer = model.lm.config, gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    pieces = [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    special = {tokenizer.pad_token_id: 3, tokenizer.eos_token_id: 3, tokenizer.unk_token_id: 2}
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.replace(" ", "\u2581") for piece in pieces])
    writer.add_token_scores([0.0] * len(pieces))
    writer.add_token_types([special.get(i, 1) for i in range(len(pieces))])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_add_bos_token(False)
    for name, tensor in model.lm.state_dict().items():
        if name != "lm_head.weight":  # tied to the embeddings
            writer.add_tensor(_renamed(name), _array(name, tensor, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _renamed(name: str) -> str:
    name = name.removeprefix("model.").removesuffix(".weight")
    if not name.startswith("layers."):
        return {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[name]
    _, layer, rest = name.split(".", 2)
    return f"blk.{layer}.{NAMES[rest]}.weight"


def _array(name: str, tensor: Tensor, config: Any) -> np.ndarray:
    """GGUF keeps the halves of each rotary pair side by side."""
    array = tensor.detach().float().numpy()
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return array
    rows, columns = array.shape
    return np.ascontiguousarray(
        array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )
