"""What hides operations, run so that they are seen.

Each gives what the original does, in operations that are called one by one.
"""

import math
from typing import Any

import torch

# Attention takes longer where its weights are computed as one tensor.
_MOST_WEIGHTS = 2**26


def cond(
    original: Any,
    pred: Any,
    true_fn: Any = None,
    false_fn: Any = None,
    operands: Any = (),
) -> Any:
    """Calls one of two branches, where `torch.cond` would compile both."""
    return (true_fn if pred else false_fn)(*operands)


def call_checkpoint(run: Any, _: Any, *inputs: Any) -> Any:
    """Calls what a reentrant checkpoint would run without gradients."""
    return run(*inputs)


def may_unfold(query: Any, key: Any, *_: Any, **__: Any) -> bool:
    """Whether attention can be computed by `attend`."""
    weights = query.numel() // query.shape[-1] * key.shape[-2]
    # Numbers that half precision holds no more are only passed through.
    return weights <= _MOST_WEIGHTS and query.dtype != torch.float16


def attend(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    """Computes `torch.nn.functional.scaled_dot_product_attention`."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(groups, -3) for x in (key, value))
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1])
    scores = torch.matmul(query, key.transpose(-2, -1)) * scale
    hidden = None
    if is_causal:
        hidden = torch.ones(
            scores.shape[-2:], dtype=torch.bool, device=scores.device
        ).triu(1)
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        hidden = attn_mask.logical_not()
    elif attn_mask is not None:
        hidden = torch.isneginf(attn_mask.detach())
        scores = scores + attn_mask.masked_fill(hidden, 0.0)
    if hidden is not None:
        # Where all is hidden the weights are zero, and not NaN.
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(hidden, lowest)
    weights = torch.softmax(scores, -1)
    if hidden is not None:
        weights = weights.masked_fill(hidden, 0.0)
    if dropout_p:
        weights = torch.nn.functional.dropout(weights, dropout_p)
    return torch.matmul(weights, value)
