"""Shared-prefix packing: rows of token trees in which shared tokens are computed once.

A tree is a prefix (system prompt, image, question) and branches (responses). A branch attends to
its prefix and itself, and its M-RoPE positions continue where the prefix ends; several trees may
share a row. Plain packing is trees with one branch, several tasks on one image are a prefix that
ends after the image, and a GRPO group is a prompt with its completions.

`pack` assigns trees to rows, `build_rows` lays them out, `model_inputs` adds position ids and the
attention mask. All follow from three ids of each token: its ``tree``, its ``branch`` (0 is the
prefix) and its ``step`` within that prefix or branch. Log-probabilities, losses and gradients equal
those of the plain padded batch.
"""

from rexkit.packing.attention import AttentionKind, default_tree_attention, use_tree_attention
from rexkit.packing.forward import model_inputs
from rexkit.packing.label_positions import LabelPositions, label_positions, logits_at_labels
from rexkit.packing.trees import Batch, Tree, build_rows, pack, unfold

__all__ = [
    "AttentionKind",
    "Batch",
    "LabelPositions",
    "Tree",
    "build_rows",
    "default_tree_attention",
    "label_positions",
    "logits_at_labels",
    "model_inputs",
    "pack",
    "unfold",
    "use_tree_attention",
]
