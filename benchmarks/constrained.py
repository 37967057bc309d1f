"""Constrained decoding: what it prevents and what it costs.

    python -m benchmarks.constrained

First an untrained tiny model samples 500 completions for each kind of task at temperature 1, and
the problems in them are counted.

Then the cost is measured: a Qwen2.5-VL with random weights and the real vocabulary size (151,936
rows and 1,000 coordinates) generates at batch 32 with the constraint as logits processor; the
tokens of the base vocabulary beyond those of the tiny tokenizer have random spellings. ``cost`` is
the time in the constraint relative to the rest of the generation, for the most expensive kind of
task. The model is far smaller than real ones (width 512 and 4 layers; Qwen2.5-VL-3B has 2,048 and
36), so its step is far cheaper and the cost is an upper bound; the recorder of scores is measured
in the same way. Work done once per process, the classification of the vocabulary for free text, is
printed separately. Times are CPU times of one thread, so that other processes do not count. The
last line is JSON.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import numpy as np
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from rexkit.backends import Request, TransformersBackend
from rexkit.backends.constraint import ChoiceMask, GrammarConstraint
from rexkit.backends.recorder import Recorder
from rexkit.datasets import ShapesDataset
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.models import TinyVLM
from rexkit.models.tiny_tokenizer import build_tiny_tokenizer
from rexkit.registry import PARSERS
from rexkit.tasks import (
    GroundingTask,
    KeypointTask,
    OCRBoxTask,
    OCRPolygonTask,
    PointingTask,
    Question,
    QuestionArguments,
    Task,
    VisualPromptTask,
)

COMPLETIONS = 500
ROWS = 151_936 + 1_000
BATCH = 32
STEPS = 24
WIDTH, LAYERS = 512, 4

CATEGORIES = ("red circle", "blue square", "cup")
# Few keypoints, since the tiny tokenizer splits most words into bytes.
HAND = {"name": "small hand", "keypoints": ["wrist", "thumb"], "sigmas": 0.1}
SIZE = (128, 128)


def questions() -> dict[str, tuple[Task, Question]]:
    """Return one question for each kind of task."""
    tasks: dict[str, tuple[Task, dict[str, Any]]] = {
        "detection": (GroundingTask(), {"categories": CATEGORIES}),
        "pointing": (PointingTask(), {"categories": CATEGORIES}),
        "visual_prompting": (VisualPromptTask(), {"visual_prompt_boxes": [[1, 2, 30, 40]]}),
        "ocr_box": (OCRBoxTask(), {}),
        "ocr_polygon": (OCRPolygonTask(), {}),
        "ocr_inline": (OCRBoxTask(transcription="inline"), {}),
        "keypoint": (KeypointTask(HAND), {}),
    }
    return {
        kind: (task, task.question(SIZE, QuestionArguments(**arguments)))
        for kind, (task, arguments) in tasks.items()
    }


def count_problems(number: int) -> Counter[str]:
    """Count the problems in completions of each kind of task."""
    vlm = TinyVLM(weights=None, hidden_size=64, layers=1, max_pixels=96 * 96)
    limits = {"batch_size": 250, "max_new_tokens": 100, "temperature": 1.0}
    backend = TransformersBackend(vlm, **limits, constrain=True, scores=False)
    image = ShapesDataset(1)[0].image
    problems: Counter[str] = Counter()
    for kind, (task, question) in questions().items():
        request = Request(image, question.prompt, task.answer_form(question))
        completions = backend.generate([request] * number)
        parse = PARSERS.build(task.parser)
        found = [parse(completion.text, image.size) for completion in completions]
        problems.update({kind: sum(len(prediction.problems) for prediction in found)})
        items = sum(len(prediction.instances) for prediction in found)
        cut = sum(completion.truncated for completion in completions)
        print(
            f"{kind:<18}{number:>6} completions{items:>7} items{problems[kind]:>4} problems"
            f"{cut:>4} cut"
        )
    return problems


def real_size_vocabulary() -> Vocabulary:
    """Extend the vocabulary of the tiny tokenizer with random tokens to the real size."""
    tokenizer = build_tiny_tokenizer()
    tokens = dict(tokenizer.get_vocab())
    rng = np.random.default_rng(0)
    letters = np.array([token for token in tokens if len(token) == 1])
    while len(tokens) < ROWS:
        tokens.setdefault("".join(rng.choice(letters, rng.integers(4, 9))), len(tokens))
    return Vocabulary(
        tokens,
        lambda text: tokenizer(text, add_special_tokens=False).input_ids,
        tokenizer.eos_token_id,
        tokenizer.added_tokens_decoder.keys(),
    )


class Timed(LogitsProcessor):
    """A logits processor that measures its CPU time."""

    def __init__(self, inner: LogitsProcessor):
        self.inner = inner
        self.seconds = 0.0
        self.steps = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Call the inner processor and add its time."""
        start = time.process_time()
        scores = self.inner(input_ids, scores)
        self.seconds += time.process_time() - start
        self.steps += 1
        return scores


def real_size_model() -> Any:
    """Build a Qwen2.5-VL with the real vocabulary size and random weights."""
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": ROWS,
            "hidden_size": WIDTH,
            "intermediate_size": 3 * WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [8, 12, 12],
            },
        },
        vision_config={"depth": 1, "hidden_size": 64, "num_heads": 2, "out_hidden_size": WIDTH},
        tie_word_embeddings=True,
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


@torch.inference_mode()
def costs(model: Any, vocabulary: Vocabulary) -> dict[str, float]:
    """Return the time in the constraint by task, and in the recorder, relative to the rest."""
    start = time.process_time()
    assert vocabulary.text.shape[1] == ROWS  # computed on first access
    once = time.process_time() - start
    print(f"\nclassifying the vocabulary for free text, once per process: {once:.1f} s")
    mask = ChoiceMask(vocabulary)
    config = GenerationConfig(
        max_new_tokens=STEPS,
        do_sample=True,
        top_k=0,
        eos_token_id=vocabulary.end,
        pad_token_id=vocabulary.end,
    )
    prompt = torch.full((BATCH, 100), 7)
    shares = {}
    print(f"\n{'':<18}{'ms per step':>12}{'constraint':>12}{'share':>9}")
    for kind, (task, question) in questions().items():
        form = task.answer_form(question)
        # The constraint allows more tokens than are generated, so that no row ends.
        constraint = Timed(GrammarConstraint(mask, [form] * BATCH, 20 * STEPS))
        recorder = Timed(Recorder(vocabulary))
        start = time.process_time()
        model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            generation_config=config,
            logits_processor=LogitsProcessorList([recorder, constraint]),
        )
        rest = time.process_time() - start - constraint.seconds - recorder.seconds
        shares[kind] = constraint.seconds / rest
        shares["recorder"] = max(shares.get("recorder", 0.0), recorder.seconds / rest)
        step, own = (1000 * seconds / constraint.steps for seconds in (rest, constraint.seconds))
        print(f"{kind:<18}{step:>12.1f}{own:>12.2f}{shares[kind]:>9.2%}")
    print(f"{'recorder':<18}{'':>24}{shares['recorder']:>9.2%}")
    return shares


def main() -> None:
    """Print the tables and the results."""
    torch.set_num_threads(1)
    problems = count_problems(COMPLETIONS)
    shares = costs(real_size_model(), real_size_vocabulary())
    recorder = shares.pop("recorder")
    record = {
        "completions": COMPLETIONS * len(questions()),
        "problems": sum(problems.values()),
        "cost": round(max(shares.values()), 4),
        "cost_of_scores": round(recorder, 4),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
