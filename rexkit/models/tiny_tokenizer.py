"""The tokenizer of the tiny embedded model: whole words where it knows them, bytes elsewhere.

Any text can be written in it, so any phrase can be asked; the words of the synthetic data sets and
of the usual prompts are single tokens, so that small models see short sequences.
"""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rexkit.grammar.tokens import COORD_TOKENS, END_OF_TURN, GRAMMAR_TOKENS
from rexkit.models.processors import VISION_TOKENS

PAD = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"

WORDS = """
user assistant system None Detect Find Locate Point to every all each of the in this image picture
and a an on with box boxes bounding point points coordinates format Output output Where is are
Show me where please black white gray red green blue yellow purple orange cyan magenta pink brown
lime navy teal olive gold circle square triangle star cross ring diamond hexagon heart pentagon
arrow moon bar ellipse plus small large striped plain left right top bottom above below first
second RBC WBC Platelets cell cells nucleus person animal hand cat dog Given reference object
indicating one or more objects find similar their json keypoints bbox unvisible nose eye ear
shoulder elbow wrist hip knee ankle neck root tail front back paw thumb index middle ring pinky
finger word words text line lines recognize them Can you detect then provide its using answer JSON
polygon like element button icon field menu
""".split()

# Fixed stretches of the public prompts: one token each, where a large vocabulary needs twenty.
PHRASES = (
    ". Output the bounding box coordinates in [x0, y0, x1, y1] format.",
    " in this image in polygon format like [x0, y0, x1, y1, x2, y2 ...] and then recognize them?",
    " in the image using a [x0, y0, x1, y1] box format, and then provide the coordinates of its ",
    " as [x0, y0]? Output the answer in JSON format.",
    " indicating one or more objects, find all similar objects in the image"
    " and output their bounding boxes.",
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer from the lists above; the same lists give the same ids."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = list(dict.fromkeys(WORDS))
    pieces = [*letters, *(w for w in words if len(w) > 1), *(f"Ġ{w}" for w in words)]
    # ignore_merges takes a whole known word at once; an unknown one falls apart into bytes.
    tokenizer = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(pieces)}, [], ignore_merges=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PAD, START_OF_TURN, END_OF_TURN, *GRAMMAR_TOKENS, *VISION_TOKENS])
    plain = [*COORD_TOKENS, *PHRASES]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in plain])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END_OF_TURN,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
