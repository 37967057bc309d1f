"""Constrained decoding: whatever comes, an answer reads without a problem and ends in time."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rexkit.grammar import (
    COORD_TOKENS,
    END_OF_TURN,
    GRAMMAR_TOKENS,
    KeypointForm,
    SpanForm,
    read,
    to_bins,
    write,
)
from rexkit.grammar.constrain import Walk
from rexkit.grammar.forms import from_dict, to_dict
from rexkit.grammar.vocabulary import (
    INLINE,
    NO_TEXT,
    TEXT,
    TEXT_SEEN,
    TEXT_START,
    Choice,
    Vocabulary,
)
from rexkit.models.tiny_tokenizer import build_tiny_tokenizer
from rexkit.structures import Instance

SIZE = (640, 480)

# How Qwen2's tokenizer splits text before merging bytes (its tokenizer.json).
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def qwen_like() -> PreTrainedTokenizerFast:
    """A byte-level BPE that splits as Qwen2 does, trained on answers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [
        'cup cup holder, person1 unvisible "left ear": " ", "keypoints": {"nose": " ", ` ```json',
        '{"person1": {"bbox": " ", "keypoints": {"nose": "unvisible"}}, "person2"}}}\n```',
        "None word text line, hello), it <b> a<b <| ||> ,, <1 ！ ほげ café",
    ] * 20
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", END_OF_TURN, *GRAMMAR_TOKENS])
    tokenizer.add_tokens(list(COORD_TOKENS))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_OF_TURN, clean_up_tokenization_spaces=False
    )


TOKENIZERS = {"tiny": build_tiny_tokenizer(), "qwen": qwen_like()}
VOCABULARIES = {name: Vocabulary.of(tokenizer) for name, tokenizer in TOKENIZERS.items()}
both = pytest.mark.parametrize("name", TOKENIZERS)

# The forms of every kind of task, for questions that make them hard.
PHRASES = ("cup", "cup holder", 'dög, "big" <b>')
FORMS = {
    "detection": SpanForm(PHRASES),
    "any order": SpanForm(PHRASES, order="any", max_items=3),
    "pointing": SpanForm(PHRASES, "point"),
    "polygons": SpanForm(PHRASES, "polygon", max_points=8),
    "long polygons": SpanForm(PHRASES, "polygon"),
    "visual prompt": SpanForm(("object_1",), max_items=4),
    "ocr box": SpanForm(("word",), transcription="phrase", max_text=6),
    "ocr polygon": SpanForm(("text line",), "polygon", transcription="phrase", max_spans=3),
    "ocr two levels": SpanForm(("word", "text line"), transcription="phrase", max_text=2),
    "inline box": SpanForm(("word",), transcription="inline", max_text=4),
    "inline polygon": SpanForm(("word", "text line"), "polygon", transcription="inline"),
    "own phrases": SpanForm(free=True, max_items=2),
    "keypoints": KeypointForm(("person", "cat"), ("nose", "left ear", 'a "tail"')),
    "one being": KeypointForm(("hand",), ("wrist",), max_items=1),
}


def transcription(form):
    return form.transcription if isinstance(form, SpanForm) else None


def answer(form, vocabulary, budget, draw) -> list[int]:
    """An answer in which every choice is made by ``draw``, without its end."""
    walk = Walk(form, vocabulary, budget)
    ids = []
    while not walk.done:
        ids.append(draw(walk.choice))
        walk.advance(ids[-1])
    assert len(ids) <= budget
    assert ids[-1] == vocabulary.end
    return ids[:-1]


def drawer(vocabulary, seed, even=True):
    """Draws a token: of each kind alike, or of all alike."""
    rng = np.random.default_rng(seed)

    def draw(choice: Choice) -> int:
        if not even:
            return int(rng.choice(vocabulary.ids(choice)))
        bins = vocabulary.coordinates[choice.low : max(choice.low, choice.high)]
        kinds = [bins, np.array(choice.tokens, dtype=int)]
        if choice.text != NO_TEXT:
            kinds.append(np.flatnonzero(vocabulary.text[choice.text]))
        kinds = [kind for kind in kinds if len(kind)]
        return int(rng.choice(kinds[rng.integers(len(kinds))]))

    return draw


@both
@pytest.mark.parametrize("kind", FORMS)
def test_every_answer_reads_without_a_problem_and_holds_what_was_asked(name, kind):
    form, vocabulary = FORMS[kind], VOCABULARIES[name]
    for seed in range(16):
        budget = (300, 120)[seed % 2] if isinstance(form, SpanForm) else 500
        ids = answer(form, vocabulary, budget, drawer(vocabulary, seed, even=seed % 4 > 0))
        text = TOKENIZERS[name].decode(ids)
        prediction = read(text, SIZE, transcription=transcription(form))
        assert not prediction.problems, text
        found = list(prediction.instances)
        if isinstance(form, KeypointForm):
            names = [i.name for i in found]
            by_phrase = [[n for n in names if n.startswith(p)] for p in form.phrases]
            for phrase, own in zip(form.phrases, by_phrase, strict=True):
                assert own == [f"{phrase}{n}" for n in range(1, len(own) + 1)]
            assert all(tuple(i.keypoints) == form.keypoints for i in found)
            assert form.max_items is None or len(found) <= form.max_items
            continue
        if not form.phrases_are_free:
            assert sorted(prediction.phrases) == sorted(form.phrases)
        elif prediction.absent and form.phrases:
            assert tuple(prediction.absent) == form.phrases
            assert not found
        for instance in found:
            assert getattr(instance, form.geometry) is not None
            if form.geometry == "bbox":
                x0, y0, x1, y1 = to_bins(instance.bbox, SIZE)
                assert x0 < x1
                assert y0 < y1
            if form.transcription:
                assert instance.text
        if form.max_items and not form.phrases_are_free:
            assert all(len(prediction.of(p)) <= form.max_items for p in form.phrases)


@both
@pytest.mark.parametrize("kind", FORMS)
def test_it_closes_within_any_budget_and_says_which_is_too_small(name, kind):
    form, vocabulary = FORMS[kind], VOCABULARIES[name]
    with pytest.raises(ValueError, match="the shortest answer takes") as error:
        Walk(form, vocabulary, 1)
    least = int(str(error.value).split("takes ")[1].split()[0])
    for budget in range(least, least + 12, 2):
        for seed in range(2):
            ids = answer(form, vocabulary, budget, drawer(vocabulary, seed))
            text = TOKENIZERS[name].decode(ids)
            assert not read(text, SIZE, transcription=transcription(form)).problems
    with pytest.raises(ValueError, match="the shortest answer takes"):
        Walk(form, vocabulary, least - 1)


def follow(form, name, text, room=0) -> Walk:
    """The walk after a written text, spelled as training spells it; fails where it may not come."""
    ids = TOKENIZERS[name](text + END_OF_TURN, add_special_tokens=False).input_ids
    walk = Walk(form, VOCABULARIES[name], len(ids) + room)
    for token in ids:
        walk.advance(token)
    return walk


def square(phrase, x=10.0, **more) -> Instance:
    return Instance(phrase, bbox=np.array([x, x, x + 99, x + 77]), **more)


@both
def test_what_training_writes_may_come_token_by_token(name):
    found = [square(PHRASES[2]), square(PHRASES[0]), square(PHRASES[0], 50)]
    text = write(found, SIZE, phrases=PHRASES)
    assert follow(FORMS["detection"], name, text).done
    text = write(found[:2], SIZE, phrases=PHRASES[::-1])
    assert follow(FORMS["any order"], name, text).done
    with pytest.raises(ValueError, match="may not come"):
        follow(FORMS["detection"], name, text)
    polygon = [Instance("cup", polygon=np.arange(10.0).reshape(5, 2) * 20)]
    assert follow(FORMS["polygons"], name, write(polygon, SIZE, phrases=PHRASES)).done


@both
@pytest.mark.parametrize(
    "words", [["word"], ["hello", "hello), it", "a <b>,", "ほげ！", "50% < 60", "§①"], []]
)
def test_any_transcription_may_be_written(name, words):
    found = [square("word", 9 * n, text=text) for n, text in enumerate(words)]
    for where, form in (("phrase", FORMS["ocr box"]), ("inline", FORMS["inline box"])):
        free = SpanForm(form.phrases, transcription=where)
        text = write(found, SIZE, phrases=["word"], transcription=where)
        assert follow(free, name, text, room=0 if words else 3).done


@both
@pytest.mark.parametrize("seen", ["", "n", "nl", "l", "nlt", "t"])
def test_any_keypoint_answer_may_be_written(name, seen):
    form = FORMS["keypoints"]
    points = {
        k: np.array([50.0, 60]) if k.strip('a "')[0] in seen else None for k in form.keypoints
    }
    beings = [square(form.phrases[n % 3 % 2], keypoints=points) for n in range(len(seen))]
    text = write(beings, SIZE) if beings else "```json\n{}\n```"
    assert follow(form, name, text).done


@settings(max_examples=40, deadline=None)
@given(
    phrases=st.lists(
        st.text('cup 1<,{"é猫', min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=4
    ),
    order=st.sampled_from(["asked", "any"]),
    seed=st.integers(0, 2**32 - 1),
    room=st.integers(0, 60),
)
def test_any_phrases_in_any_room(phrases, order, seed, room):
    form = SpanForm(tuple(phrases), order=order)
    vocabulary = VOCABULARIES["qwen"]
    spans = sum(len(vocabulary.spell(phrase)) + 7 for phrase in form.phrases)
    ids = answer(form, vocabulary, spans + room, drawer(vocabulary, seed))
    prediction = read(TOKENIZERS["qwen"].decode(ids), SIZE)
    assert not prediction.problems
    assert set(prediction.phrases) == set(form.phrases)


@both
def test_text_can_be_seen_and_spells_no_markup(name):
    vocabulary = VOCABULARIES[name]
    may = {spelling: vocabulary.text[:, token] for spelling, token in vocabulary._tokens.items()}
    assert not any(may[token].any() for token in (*COORD_TOKENS, *GRAMMAR_TOKENS, END_OF_TURN))
    assert not may["Ġ"][TEXT_START]
    assert may["Ġ"][TEXT]
    assert may["Â"][TEXT_START]
    assert not may["Â"][TEXT_SEEN]  # it may become a no-break space
    assert may[","][TEXT_SEEN]
    assert not may[","][TEXT_SEEN + INLINE]


def test_the_end_is_all_that_comes_after_the_end():
    vocabulary = VOCABULARIES["tiny"]
    walk = Walk(FORMS["one being"], vocabulary, 60)
    draw = drawer(vocabulary, 0)
    while not walk.done:
        walk.advance(draw(walk.choice))
    walk.advance(7)
    assert vocabulary.ids(walk.choice).tolist() == [vocabulary.end]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_form_goes_through_json(form):
    assert from_dict(json.loads(json.dumps(to_dict(form)))) == form


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(), "phrases"),
        (dict(phrases=("a",), geometry="mask"), "geometry"),
        (dict(phrases=("<|box_end|>",)), "markup"),
        (dict(phrases=("a",), max_items=0), "max_items"),
        (dict(phrases=("a",), max_points=2), "max_points"),
    ],
)
def test_a_form_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpanForm(**arguments)


def test_keypoint_forms_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="digit"):
        KeypointForm(("person1",), ("nose",))
    with pytest.raises(ValueError, match="once"):
        KeypointForm(("person",), ("nose", "nose"))
    with pytest.raises(ValueError, match="is none of"):
        from_dict({"type": "Poem"})
