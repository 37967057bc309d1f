"""Constrained decoding: every completion is read without a problem and ends in time."""

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
from rexkit.grammar.constraint_state import ConstraintState
from rexkit.grammar.forms import from_dict, to_dict
from rexkit.grammar.vocabulary import (
    INLINE,
    NO_TEXT,
    TEXT,
    TEXT_START,
    TEXT_VISIBLE,
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
    """A byte-level BPE that splits as Qwen2 does, trained on texts of the grammar."""
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
VOCABULARIES = {
    name: Vocabulary.from_tokenizer(tokenizer) for name, tokenizer in TOKENIZERS.items()
}
both = pytest.mark.parametrize("name", TOKENIZERS)

# Forms of every kind of task, with phrases that are hard to tokenize.
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
    "one instance": KeypointForm(("hand",), ("wrist",), max_items=1),
}


def transcription(form):
    return form.transcription if isinstance(form, SpanForm) else None


def complete(form, vocabulary, budget, draw) -> list[int]:
    """A completion in which ``draw`` makes every choice, without its end token."""
    state = ConstraintState(form, vocabulary, budget)
    ids = []
    while not state.done:
        ids.append(draw(state.choice))
        state.advance(ids[-1])
    assert len(ids) <= budget
    assert ids[-1] == vocabulary.end
    return ids[:-1]


def drawer(vocabulary, seed, even=True):
    """Draw a token, with equal probability for each kind, or for each token."""
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
def test_every_completion_is_read_without_a_problem_and_has_the_phrases(name, kind):
    form, vocabulary = FORMS[kind], VOCABULARIES[name]
    for seed in range(16):
        budget = (300, 120)[seed % 2] if isinstance(form, SpanForm) else 500
        ids = complete(form, vocabulary, budget, drawer(vocabulary, seed, even=seed % 4 > 0))
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
def test_completions_fit_any_budget_and_a_budget_that_is_too_small_is_an_error(name, kind):
    form, vocabulary = FORMS[kind], VOCABULARIES[name]
    with pytest.raises(ValueError, match="the shortest completion has") as error:
        ConstraintState(form, vocabulary, 1)
    least = int(str(error.value).split("completion has ")[1].split()[0])
    for budget in range(least, least + 12, 2):
        for seed in range(2):
            ids = complete(form, vocabulary, budget, drawer(vocabulary, seed))
            text = TOKENIZERS[name].decode(ids)
            assert not read(text, SIZE, transcription=transcription(form)).problems
    with pytest.raises(ValueError, match="the shortest completion has"):
        ConstraintState(form, vocabulary, least - 1)


def follow(form, name, text, spare=0) -> ConstraintState:
    """Return the state after a written text; fails at a token that is not allowed."""
    ids = TOKENIZERS[name](text + END_OF_TURN, add_special_tokens=False).input_ids
    state = ConstraintState(form, VOCABULARIES[name], len(ids) + spare)
    for token in ids:
        state.advance(token)
    return state


def square(phrase, x=10.0, **more) -> Instance:
    return Instance(phrase, bbox=np.array([x, x, x + 99, x + 77]), **more)


@both
def test_written_responses_are_allowed_token_by_token(name):
    found = [square(PHRASES[2]), square(PHRASES[0]), square(PHRASES[0], 50)]
    text = write(found, SIZE, phrases=PHRASES)
    assert follow(FORMS["detection"], name, text).done
    text = write(found[:2], SIZE, phrases=PHRASES[::-1])
    assert follow(FORMS["any order"], name, text).done
    with pytest.raises(ValueError, match="is not allowed"):
        follow(FORMS["detection"], name, text)
    polygon = [Instance("cup", polygon=np.arange(10.0).reshape(5, 2) * 20)]
    assert follow(FORMS["polygons"], name, write(polygon, SIZE, phrases=PHRASES)).done


@both
@pytest.mark.parametrize(
    "words", [["word"], ["hello", "hello), it", "a <b>,", "ほげ！", "50% < 60", "§①"], []]
)
def test_any_transcription_is_allowed(name, words):
    found = [square("word", 9 * n, text=text) for n, text in enumerate(words)]
    for where, form in (("phrase", FORMS["ocr box"]), ("inline", FORMS["inline box"])):
        free = SpanForm(form.phrases, transcription=where)
        text = write(found, SIZE, phrases=["word"], transcription=where)
        assert follow(free, name, text, spare=0 if words else 3).done


@both
@pytest.mark.parametrize("visible", ["", "n", "nl", "l", "nlt", "t"])
def test_any_keypoint_response_is_allowed(name, visible):
    form = FORMS["keypoints"]
    points = {
        k: np.array([50.0, 60]) if k.strip('a "')[0] in visible else None for k in form.keypoints
    }
    people = [square(form.phrases[n % 3 % 2], keypoints=points) for n in range(len(visible))]
    text = write(people, SIZE) if people else "```json\n{}\n```"
    assert follow(form, name, text).done


@settings(max_examples=40, deadline=None)
@given(
    phrases=st.lists(
        st.text('cup 1<,{"é猫', min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=4
    ),
    order=st.sampled_from(["asked", "any"]),
    seed=st.integers(0, 2**32 - 1),
    spare=st.integers(0, 60),
)
def test_any_phrases_in_any_budget(phrases, order, seed, spare):
    form = SpanForm(tuple(phrases), order=order)
    vocabulary = VOCABULARIES["qwen"]
    spans = sum(len(vocabulary.encode(phrase)) + 7 for phrase in form.phrases)
    ids = complete(form, vocabulary, spans + spare, drawer(vocabulary, seed))
    prediction = read(TOKENIZERS["qwen"].decode(ids), SIZE)
    assert not prediction.problems
    assert set(prediction.phrases) == set(form.phrases)


@both
def test_text_is_visible_and_contains_no_markup(name):
    vocabulary = VOCABULARIES[name]
    may = {spelling: vocabulary.text[:, token] for spelling, token in vocabulary._tokens.items()}
    assert not any(may[token].any() for token in (*COORD_TOKENS, *GRAMMAR_TOKENS, END_OF_TURN))
    assert not may["Ġ"][TEXT_START]
    assert may["Ġ"][TEXT]
    assert may["Â"][TEXT_START]
    assert not may["Â"][TEXT_VISIBLE]  # it may become a no-break space
    assert may[","][TEXT_VISIBLE]
    assert not may[","][TEXT_VISIBLE + INLINE]


def test_only_the_end_token_is_allowed_after_the_end():
    vocabulary = VOCABULARIES["tiny"]
    state = ConstraintState(FORMS["one instance"], vocabulary, 60)
    draw = drawer(vocabulary, 0)
    while not state.done:
        state.advance(draw(state.choice))
    state.advance(7)
    assert vocabulary.ids(state.choice).tolist() == [vocabulary.end]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_forms_survive_json(form):
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
def test_invalid_span_forms_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpanForm(**arguments)


def test_invalid_keypoint_forms_are_refused():
    with pytest.raises(ValueError, match="digit"):
        KeypointForm(("person1",), ("nose",))
    with pytest.raises(ValueError, match="once"):
        KeypointForm(("person",), ("nose", "nose"))
    with pytest.raises(ValueError, match="must be one of"):
        from_dict({"type": "Poem"})
