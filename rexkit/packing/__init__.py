"""Forests: rows of token trees, so that what sequences share is computed once.

A tree is a trunk (system prompt, image, question) and branches (answers). A branch sees its trunk
and itself, and its M-RoPE positions go on where the trunk's end; several trees may share a row.
Packing is trees with one branch, several tasks on one image are a trunk that ends after the
image, and a GRPO group is a prompt with its completions.

`pack` says which trees share a row, `plant` lays them out, `grow` gives the model its positions and
its mask. From three numbers of each token everything follows: its ``tree``, its ``branch`` (0 is
the trunk) and its ``step`` within that trunk or branch. Log-probabilities, losses and gradients are
those of the plain padded batch.
"""

from rexkit.packing.attention import Kind, default_tree_attention, use_tree_attention
from rexkit.packing.forward import grow, predicting_only
from rexkit.packing.trees import Batch, Tree, pack, plant, unfold

__all__ = [
    "Batch",
    "Kind",
    "Tree",
    "default_tree_attention",
    "grow",
    "pack",
    "plant",
    "predicting_only",
    "unfold",
    "use_tree_attention",
]
