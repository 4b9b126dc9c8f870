"""Tiny random models and batches of every family that must work."""

from __future__ import annotations

import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    LlamaConfig,
    ModernBertConfig,
    PreTrainedModel,
    RobertaConfig,
)

LAYERS = 3
_SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_labels": 3,
    "pad_token_id": 1,
    "max_position_embeddings": 64,
}
_MODERN = {"global_attn_every_n_layers": 2, "local_attention": 8}
_MODERN |= {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
_DEBERTA = {
    "relative_attention": True,
    "position_buckets": 8,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
}
CONFIGS = {
    "bert": BertConfig(**_SMALL),
    "roberta": RobertaConfig(**_SMALL, bos_token_id=0, eos_token_id=2),
    "distilbert": DistilBertConfig(
        vocab_size=60, dim=32, n_layers=LAYERS, n_heads=4, hidden_dim=48, num_labels=3, pad_token_id=1
    ),
    "electra": ElectraConfig(**_SMALL, embedding_size=16),
    "albert": AlbertConfig(**_SMALL, embedding_size=16),
    "albert-groups": AlbertConfig(**_SMALL, embedding_size=16, num_hidden_groups=3),
    "deberta-v2": DebertaV2Config(**_SMALL, **_DEBERTA),
    "deberta-v2-conv": DebertaV2Config(**_SMALL, **_DEBERTA, conv_kernel_size=3),
    "modernbert": ModernBertConfig(**_SMALL, **_MODERN, classifier_pooling="cls"),
    "modernbert-mean": ModernBertConfig(**_SMALL, **_MODERN, classifier_pooling="mean"),
}
EAGER_ONLY = {"deberta-v2", "deberta-v2-conv"}
LLAMA = LlamaConfig(**_SMALL)


def build(config, attention: str = "sdpa", seed: int = 0, **changes) -> PreTrainedModel:
    """A model with random weights, larger than the usual initialisation so that its layers are not near linear."""
    config = type(config)(**{**config.to_dict(), **changes})
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and "embed" not in name:
                parameter.normal_(0, 0.2)
    return model.eval()


def batch_of(rows: int = 5, length: int = 12, seed: int = 1) -> dict[str, torch.Tensor]:
    """Token ids and a mask with rows of different lengths, padded on the right."""
    ids = torch.randint(5, 60, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(rows, length, dtype=torch.long)
    for row in range(rows):
        end = length - (3 * row) % (length - 3)
        mask[row, end:], ids[row, end:] = 0, 1
    return {"input_ids": ids, "attention_mask": mask}
