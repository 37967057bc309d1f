"""Packed rows: equal to the plain padded batch in what they compute and in their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference_log_probs import branch_log_probs
from small_models import KINDS, small_model
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import pad
from transformers import AttentionInterface

from rexkit.models import TinyVLM
from rexkit.packing import (
    Tree,
    build_rows,
    label_positions,
    logits_at_labels,
    model_inputs,
    pack,
    unfold,
    use_tree_attention,
)
from rexkit.packing.attention import NAMES, block_mask, dense_mask, tree_attention
from rexkit.packing.forward import position_ids

FAMILIES = ("qwen3_vl", "qwen2_5_vl")
SMALL = dict(hidden_size=64, layers=2, heads=2, vision_hidden_size=64)


@pytest.fixture(scope="module", params=KINDS)
def vlm(request) -> TinyVLM:
    return small_model(request.param, **SMALL)


def tree(
    vlm: TinyVLM, rng: np.random.Generator, num_images: int, branches: list[int], text: int = 5
) -> Tree:
    """A prefix with num_images of random sizes and random text, and random branches."""
    shapes = [tuple(rng.integers(40, 130, 2)) for _ in range(num_images)]
    noise = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    images = [Image.fromarray(pixels) for pixels in noise]
    chat = "<|im_start|>user\n" + "<|vision_start|><|image_pad|><|vision_end|> cup" * num_images
    encoded = vlm.processor(images=images, text=[chat], return_tensors="pt") if num_images else {}
    start = encoded["input_ids"][0] if num_images else torch.zeros(0, dtype=torch.long)
    kinds = encoded["mm_token_type_ids"][0] if num_images else torch.zeros(0, dtype=torch.long)

    def some(number: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(0, 250, number))

    return Tree(
        torch.cat([start, some(text)]),
        torch.cat([kinds, torch.zeros(text, dtype=torch.long)]),
        [some(n) for n in branches],
        pixel_values=encoded.get("pixel_values"),
        image_grid_thw=encoded.get("image_grid_thw"),
    )


def padded(vlm: TinyVLM, trees: list[Tree]) -> tuple[torch.Tensor, torch.Tensor]:
    """The plain way: a row for each branch, each with its prompt and images; (branches, T)."""
    pairs = [(t, b) for t in trees for b in t.branches]
    length = max(len(t.prefix) + len(b) for t, b in pairs)
    ids, kinds, mask = (torch.zeros(len(pairs), length, dtype=torch.long) for _ in range(3))
    for i, (t, b) in enumerate(pairs):
        ids[i, : len(t.prefix) + len(b)] = torch.cat([t.prefix, b])
        kinds[i, : len(t.prefix)] = t.token_types
        mask[i, : len(t.prefix) + len(b)] = 1
    seen = [t for t, _ in pairs if t.pixel_values is not None]
    vision = {
        key: torch.cat([getattr(t, key) for t in seen])
        for key in ("pixel_values", "image_grid_thw")
        if seen
    }
    logits = vlm.model(input_ids=ids, attention_mask=mask, mm_token_type_ids=kinds, **vision).logits
    every = logits.log_softmax(-1)
    longest = max(len(b) for _, b in pairs)
    found, entropy = [], []
    for i, (t, b) in enumerate(pairs):
        row = every[i, len(t.prefix) - 1 : len(t.prefix) + len(b) - 1]
        found.append(pad(row.gather(1, b[:, None])[:, 0], (0, longest - len(b))))
        entropy.append(pad(-(row.exp() * row).sum(-1), (0, longest - len(b))))
    return torch.stack(found), torch.stack(entropy)


def gradients(vlm: TinyVLM, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    vlm.model.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in vlm.model.named_parameters() if p.grad is not None}


def check_equal(vlm: TinyVLM, trees: list[Tree], rows: list[list[int]]) -> None:
    batch = build_rows(trees, rows)
    expected, expected_entropy = padded(vlm, trees)
    found, entropy = (
        unfold(v, batch, expected.shape[1]) for v in branch_log_probs(vlm.model, batch)
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(entropy, expected_entropy, atol=1e-5, rtol=0)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = (weights * found).sum(), (weights * expected).sum()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-4)
    ours, theirs = gradients(vlm, ours), gradients(vlm, theirs)
    assert ours.keys() == theirs.keys()
    scale = max(float(g.norm()) for g in theirs.values())
    for name, gradient in theirs.items():
        off = float((ours[name] - gradient).norm())
        assert off <= 1e-4 * max(float(gradient.norm()), 1e-3 * scale), name


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_random_packed_rows_equal_the_padded_batch(vlm, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    groups = data.draw(
        st.lists(
            st.tuples(st.integers(0, 2), st.lists(st.integers(1, 9), min_size=1, max_size=4)),
            min_size=1,
            max_size=4,
        )
    )
    trees = [
        tree(vlm, rng, num_images, branches, text=int(rng.integers(1, 9)))
        for num_images, branches in groups
    ]
    rows = pack([len(t) for t in trees], data.draw(st.sampled_from([1, 60, 500])))
    check_equal(vlm, trees, rows)


def test_two_images_a_row_in_every_way(vlm):
    rng = np.random.default_rng(3)
    one, other, both = (tree(vlm, rng, n, [4, 7, 2]) for n in (1, 1, 2))
    check_equal(vlm, [one, other], [[0, 1]])
    check_equal(vlm, [one, other], [[1, 0]])
    check_equal(vlm, [both], [[0]])
    check_equal(vlm, [both, one, other], [[2, 0], [1]])


def words(prefix: int, *branches: int, context: list[int] | None = None) -> Tree:
    """A tree of text only; its tokens are counted from 1."""
    ids = torch.arange(1, 1 + prefix + sum(branches)).split([prefix, *branches])
    return Tree(ids[0], torch.zeros_like(ids[0]), ids[1:], context)


def test_the_prefix_predicts_the_first_token_of_a_branch():
    batch = build_rows([words(3, 2, 0, 3)], [[0]])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert batch["branch"].tolist() == [[0, 0, 0, 1, 1, 3, 3, 3]]
    assert batch["labels"].tolist() == [4, 5, 6, 7, 8]
    assert batch["previous"].tolist() == [3, 4, 3, 6, 7]
    assert batch["column"].tolist() == [2, 3, 2, 5, 6]
    assert batch["lengths"].tolist() == [2, 0, 3]
    table = unfold(batch["labels"], batch, 3)
    assert table.tolist() == [[4, 5, 0], [0, 0, 0], [6, 7, 8]]


def test_context_tokens_are_not_labels():
    batch = build_rows([words(2, 3, 2, context=[2, 0])], [[0]])
    assert batch["labels"].tolist() == [5, 6, 7]
    assert batch["previous"].tolist() == [4, 2, 6]
    assert batch["nth"].tolist() == [0, 0, 1]


def test_the_order_of_rows_does_not_change_that_of_predictions():
    trees = [words(2, 1, 2), words(5, 3), words(1, 1)]
    one, other = build_rows(trees, [[0, 1, 2]]), build_rows(trees, [[2], [1, 0]])
    for key in ("labels", "previous", "owner", "nth", "lengths"):
        assert torch.equal(one[key], other[key])


@pytest.mark.parametrize("prefix", [0, 1])
def test_a_prefix_ends_in_text(prefix):
    tree = words(prefix, 2)
    with pytest.raises(ValueError, match=r"tree 1.*text"):
        build_rows([words(2, 1), Tree(tree.prefix, tree.token_types + 1, tree.branches)], [[0, 1]])


def mask_by_loops(tree: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    rows, length = tree.shape
    seen = torch.zeros(rows, length, length, dtype=torch.bool)
    for r in range(rows):
        for q in range(length):
            for k in range(q + 1):
                own = branch[r, k] in (0, branch[r, q])
                seen[r, q, k] = own and tree[r, k] == tree[r, q]
    return seen


def test_masks_separate_trees_and_branches():
    batch = build_rows([words(3, 2, 4), words(1, 1), words(2, 5)], [[0, 1], [2]])
    expected = mask_by_loops(batch["tree"], batch["branch"])
    dense = dense_mask(batch["tree"], batch["branch"])
    assert torch.equal(dense[:, 0], expected)
    blocks = block_mask(batch["tree"], batch["branch"])
    rows, length = batch["tree"].shape
    each = [torch.arange(n) for n in (rows, length, length)]
    r, q, k = torch.meshgrid(*each, indexing="ij")
    assert torch.equal(blocks.mask_mod(r, 0, q, k), expected)
    assert blocks.shape == (rows, 1, length, length)


def test_flex_attention_skips_masked_blocks():
    batch = build_rows([words(128, 128, 128, 128)], [[0]])
    blocks = block_mask(batch["tree"], batch["branch"])
    assert blocks.sparsity() == pytest.approx(100 * (1 - 7 / 16))


def test_an_unknown_attention_is_named():
    tiny = TinyVLM(weights=None, **SMALL)
    with pytest.raises(ValueError, match="attention: 'flash'; known are dense, tree, flex"):
        use_tree_attention(tiny.model, "flash")


@pytest.mark.parametrize("family", FAMILIES)
def test_tree_attention_equals_the_padded_batch(family):
    tiny = TinyVLM(weights=None, family=family, **SMALL)
    rng = np.random.default_rng(5)
    trees = [tree(tiny, rng, n, branches) for n, branches in ((1, [4, 7]), (0, [3]), (2, [2, 1]))]
    trees.append(tree(tiny, rng, 1, [0]))
    plain = padded(tiny, trees)[0].detach()
    layer = tiny.model.base_model.language_model.layers[0].self_attn
    tower = tiny.model.base_model.visual.config
    assert layer.config._attn_implementation == "sdpa"  # named so by transformers
    use_tree_attention(tiny.model, "tree")
    assert layer.config._attn_implementation == NAMES["tree"]
    assert tower._attn_implementation == "sdpa"
    assert AttentionInterface()[NAMES["tree"]] is tree_attention
    torch.testing.assert_close(padded(tiny, trees)[0].detach(), plain)
    check_equal(tiny, trees, [[0, 1], [3, 2]])
    check_equal(tiny, trees, [[0, 1, 2, 3]])


def test_flex_attention_gives_the_same_log_probs():
    tiny = TinyVLM(weights=None, **SMALL)
    trees = [tree(tiny, np.random.default_rng(n), n, [4, 7]) for n in (1, 2)]
    batch = build_rows(trees, [[0, 1]])
    expected, _ = branch_log_probs(tiny.model, batch)
    use_tree_attention(tiny.model, "flex")
    assert isinstance(model_inputs(batch, tiny.model.base_model)["attention_mask"], BlockMask)
    # Compiling it takes minutes without a GPU; the plain function computes the same.
    with torch.compiler.set_stance("force_eager"), torch.no_grad():
        found, _ = branch_log_probs(tiny.model, batch)
        # A plain batch still works too, as generation needs it.
        assert torch.isfinite(tiny.model(input_ids=torch.ones(1, 9, dtype=torch.long)).logits).all()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_positions_of_a_branch_continue_where_the_prefix_ends(vlm):
    tree_ = tree(vlm, np.random.default_rng(0), 2, [3, 2])
    batch = build_rows([words(4, 2), tree_], [[0, 1]], pad_id=0)
    inner = vlm.model.base_model
    found = position_ids(batch, inner)[:, 0, 6:]
    size = len(tree_.prefix)
    expected, _ = inner.get_rope_index(
        input_ids=tree_.prefix[None],
        mm_token_type_ids=tree_.token_types[None],
        image_grid_thw=tree_.image_grid_thw,
    )
    assert torch.equal(found[:, :size], expected[:, 0])
    end = int(expected.max())
    assert found[:, size:].tolist() == [[end + 1, end + 2, end + 3, end + 1, end + 2]] * 3


def test_logits_only_where_a_token_is_predicted(vlm):
    trees = [tree(vlm, np.random.default_rng(1), 1, [3, 5]) for _ in range(2)]
    batch = build_rows(trees, [[1], [0]])
    inner = vlm.model.base_model
    with logits_at_labels(inner, label_positions(batch)):
        logits = vlm.model(**model_inputs(batch, inner)).logits
    assert logits.shape[:2] == (1, 16)
    expected, _ = branch_log_probs(vlm.model, batch)
    got = logits[0].log_softmax(-1).gather(1, batch["labels"][:, None])[:, 0]
    torch.testing.assert_close(got, expected)
    assert vlm.model(**model_inputs(batch, inner)).logits.shape[:2] == batch["input_ids"].shape


def test_an_attention_that_would_mix_branches_is_an_error():
    tiny = TinyVLM(weights=None, **SMALL)
    tiny.model.set_attn_implementation("eager")
    with pytest.raises(ValueError, match=r"'eager'.*'sdpa'"):
        model_inputs(build_rows([words(2, 1)], [[0]]), tiny.model.base_model)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(10, 60))
def test_packed_rows_hold_every_tree_once_and_never_too_much(lengths, room):
    rows = pack(lengths, room)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    filled = [sum(lengths[i] for i in row) for row in rows]
    assert all(n <= room or len(row) == 1 for n, row in zip(filled, rows, strict=True))
    # No two rows would fit into one.
    assert all(a + b > room for n, a in enumerate(filled) for b in filled[n + 1 :])
