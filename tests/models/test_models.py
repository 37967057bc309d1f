"""Models of both families: built, saved, opened by the auto classes, and run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedTokenizerFast

from rexkit.errors import ConfigError
from rexkit.grammar.tokens import COORD_TOKENS, GRAMMAR_TOKENS
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.coordinate_tokens import add_coordinate_tokens, coordinate_ids
from rexkit.models.pixels import pixel_budget
from rexkit.models.tiny import SHIPPED_WEIGHTS
from rexkit.models.tiny_tokenizer import build_tiny_tokenizer
from rexkit.models.vlm import part_of
from rexkit.structures import Annotation, Example, Question, Sample

FAMILIES = ("qwen3_vl", "qwen2_5_vl")
PROMPT = "Detect cup. Output the bounding box coordinates in [x0, y0, x1, y1] format."
RESPONSE = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><1><2><3><4><|box_end|>"


def example(
    prompt: str = PROMPT, response: str = RESPONSE, size: tuple[int, int] = (128, 128)
) -> Example:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    target = Annotation(size)
    sample = Sample(Image.fromarray(noise), target, "x:1")
    return Example(sample, Question(prompt, ["cup"], "detection"), response, target)


@pytest.fixture(scope="module", params=FAMILIES)
def vlm(request) -> TinyVLM:
    return TinyVLM(weights=None, family=request.param)


def test_a_checkpoint_opens_with_the_plain_auto_classes(vlm, tmp_path):
    vlm.save(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert type(model) is type(vlm.model)
    batch = vlm.encoder.examples([example()])
    assert torch.equal(model(**batch).logits, vlm.model(**batch).logits)
    again = processor(
        images=[example().image], text=[vlm.encoder.chat(PROMPT)], return_tensors="pt"
    )
    assert torch.allclose(again["pixel_values"], batch["pixel_values"], rtol=0, atol=1e-6)
    assert (
        again["input_ids"][0].tolist()
        == batch["input_ids"][0, : again["input_ids"].shape[1]].tolist()
    )
    assert model.generation_config.eos_token_id == vlm.tokenizer.eos_token_id
    assert model.generation_config.suppress_tokens == vlm.forbidden_ids()


def test_pretrained_opens_a_checkpoint(vlm, tmp_path):
    vlm.save(tmp_path)
    opened = PretrainedVLM(str(tmp_path), max_pixels=100_000, freeze=["vision_tower", "projector"])
    cell = 32 if vlm.model.config.model_type == "qwen3_vl" else 28
    assert opened.processor.image_processor.size["longest_edge"] == 100_000 // cell**2 * cell**2
    parts = {part for part, _, _ in opened.trainable_by_part()}
    assert parts == {"language_model"}
    batch = opened.encoder.examples([example()])
    assert torch.equal(opened.model(**batch).logits, vlm.model(**batch).logits)


def test_every_part_has_parameters(vlm):
    parts = {part for part, _, _ in vlm.trainable_by_part()}
    assert parts == {"vision_tower", "projector", "language_model"}


def test_an_unknown_part_is_an_error():
    with pytest.raises(ValueError, match="'vision'"):
        TinyVLM(weights=None, freeze=["vision"])


def test_labels_are_the_answer_and_nothing_else(vlm):
    batch = vlm.encoder.examples([example(), example(response=RESPONSE + ", " + RESPONSE)])
    for row, response in enumerate((RESPONSE, RESPONSE + ", " + RESPONSE)):
        learned = batch["labels"][row][batch["labels"][row] != -100]
        assert vlm.tokenizer.decode(learned) == response + "<|im_end|>"
        at = batch["labels"][row] != -100
        assert torch.equal(batch["input_ids"][row][at], learned)
    assert batch["attention_mask"][0].sum() < batch["attention_mask"][1].sum()


def test_padding_changes_nothing(vlm):
    """A question in a padded batch gives the same logits as alone."""
    short, long = example(), example(prompt="Point to the small cup on the left of the image.")
    alone = vlm.encoder.questions([short.image], [short.prompt])
    both = vlm.encoder.questions([short.image, long.image], [short.prompt, long.prompt])
    torch.testing.assert_close(
        vlm.model(**alone).logits[0, -1], vlm.model(**both).logits[0, -1], atol=2e-5, rtol=0
    )


def test_a_question_is_the_beginning_of_its_training_row(vlm):
    trained = vlm.encoder.examples([example()])["input_ids"][0].tolist()
    asked = vlm.encoder.questions([example().image], [PROMPT])["input_ids"][0].tolist()
    assert trained[: len(asked)] == asked


def test_too_long_is_an_error_that_names_the_sample():
    vlm = TinyVLM(weights=None, max_length=30)
    with pytest.raises(ValueError, match=r"x:1.*max_length=30"):
        vlm.encoder.examples([example()])


def test_the_system_prompt_comes_first():
    vlm = TinyVLM(weights=None, system_prompt="Be brief.")
    assert vlm.encoder.chat(PROMPT).startswith("<|im_start|>system\nBe brief.<|im_end|>")


def test_forbidden_ids_are_vision_tokens_and_rows_without_a_token(vlm):
    known = vlm.tokenizer.get_vocab()
    rows = vlm.model.get_input_embeddings().num_embeddings
    assert known["<|image_pad|>"] in vlm.forbidden_ids()
    assert set(range(len(vlm.tokenizer), rows)) <= set(vlm.forbidden_ids())
    assert not {known[t] for t in ("<5>", "<|box_start|>", "<|im_end|>")} & set(vlm.forbidden_ids())


def test_missing_coordinate_tokens_are_added_once_and_neighbours_start_alike():
    vlm = TinyVLM(weights=None)
    model, tokenizer = vlm.model, letters_only()
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    before = model.get_input_embeddings().weight.detach().clone()
    added = add_coordinate_tokens(model, tokenizer)
    assert len(added) == len(COORD_TOKENS) + len(GRAMMAR_TOKENS)
    assert add_coordinate_tokens(model, tokenizer) == []
    weight = model.get_input_embeddings().weight
    assert torch.equal(weight[: len(before)], before)
    rows = weight[torch.tensor(coordinate_ids(tokenizer))]
    near = torch.cosine_similarity(rows[:-1], rows[1:]).min()
    far = torch.cosine_similarity(rows[:100], rows[-100:]).max()
    assert near > 0.9 > 0.5 > far


def letters_only() -> PreTrainedTokenizerFast:
    """A tokenizer that knows nothing of the grammar."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.visual.blocks.0.attn.qkv.weight", "vision_tower"),
        ("model.visual.merger.mlp.0.weight", "projector"),
        ("model.visual.deepstack_merger_list.0.norm.weight", "projector"),
        ("model.language_model.layers.0.mlp.up_proj.weight", "language_model"),
        ("lm_head.weight", "language_model"),
    ],
)
def test_part_of(name, part):
    assert part_of(name) == part


def test_pixel_budget():
    assert pixel_budget(1, 28 * 28, 28) == {"shortest_edge": 784, "longest_edge": 784}
    with pytest.raises(ValueError, match="max_pixels=700"):
        pixel_budget(1, 700, 28)
    with pytest.raises(ValueError, match="min_pixels"):
        pixel_budget(2000, 1000, 28)


def test_another_family_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(ConfigError, match=r"'llava'.*qwen3_vl"):
        PretrainedVLM(str(tmp_path))


def test_a_prompt_of_any_script_survives_the_tokenizer():
    tokenizer = build_tiny_tokenizer()
    text = 'Detect café, 日本語, "a < b", naïve—dash.\n<|box_start|><12><999>None<|im_end|>'
    assert tokenizer.decode(tokenizer(text).input_ids) == text


@pytest.mark.skipif(not SHIPPED_WEIGHTS.is_file(), reason="no weights in this tree")
def test_shipped_weights_are_small_and_load():
    assert SHIPPED_WEIGHTS.stat().st_size <= 8_000_000
    shipped, fresh = TinyVLM(), TinyVLM(weights=None)
    name, weight = next(shipped.model.named_parameters())
    assert not torch.equal(weight, dict(fresh.model.named_parameters())[name])


def test_wrong_weights_are_an_error(tmp_path):
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="unexpected"):
        TinyVLM(weights=str(tmp_path / "w.safetensors"))
    with pytest.raises(FileNotFoundError, match="nothing"):
        TinyVLM(weights="nothing")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("work_dirs/misspelt/final", "'work_dirs/misspelt/final' is not a folder, and cannot be"),
        ("tiny", "'tiny' is not a folder, and cannot be loaded from the model hub"),
        ("work", "work is not a checkpoint (it is a work directory; use work/final): "),
        ("damaged", "damaged is not a checkpoint: .* not a valid JSON file"),
        ("other", "other is not a checkpoint: .* model type `other`"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, monkeypatch, path, said):
    for folder, text in (
        ("work/final", "{}"),
        ("damaged", "{"),
        ("other", '{"model_type": "other"}'),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said.replace("(", r"\(").replace(")", r"\)")):
        PretrainedVLM(path)
