"""What constrained decoding gives and costs: ``python -m benchmarks.constrained``.

First an untrained tiny model writes 500 answers for every kind of task, sampled at temperature 1,
and the problems in them are counted.

Then the cost: a Qwen2.5-VL with random weights at the real vocabulary size (151,936 rows and 1,000
coordinates), batch 32, generates with the constraint as its logits processor; its ordinary tokens
beyond those of the tiny tokenizer are spelled at random. ``cost`` is the time in the constraint as
a share of the rest of the generation, for the dearest kind of answer. The model is far smaller than
real ones (width 512 and 4 layers, where Qwen2.5-VL-3B has 2,048 and 36), so its step is far cheaper
and the share an upper bound of what it is there; the recorder of scores is measured likewise. What
is done once a process, sorting the vocabulary for free text, is given by itself. Times are CPU
times of one thread, so that other work on the machine does not count. The last line is JSON.
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

ANSWERS = 500
ROWS = 151_936 + 1_000
BATCH = 32
STEPS = 24
WIDTH, LAYERS = 512, 4

THINGS = ("red circle", "blue square", "cup")
# Few keypoints, for the tiny tokenizer spells most words in bytes.
HAND = {"name": "small hand", "keypoints": ["wrist", "thumb"], "sigmas": 0.1}
SIZE = (128, 128)


def questions() -> dict[str, tuple[Task, Question]]:
    """One of every kind of task."""
    tasks: dict[str, tuple[Task, dict[str, Any]]] = {
        "detection": (GroundingTask(), {"categories": THINGS}),
        "pointing": (PointingTask(), {"categories": THINGS}),
        "visual_prompting": (VisualPromptTask(), {"visual_prompt_boxes": [[1, 2, 30, 40]]}),
        "ocr_box": (OCRBoxTask(), {}),
        "ocr_polygon": (OCRPolygonTask(), {}),
        "ocr_inline": (OCRBoxTask(transcription="inline"), {}),
        "keypoint": (KeypointTask(HAND), {}),
    }
    return {
        kind: (task, task.question(SIZE, QuestionArguments(**words)))
        for kind, (task, words) in tasks.items()
    }


def count_problems(number: int) -> Counter[str]:
    """The problems in that many answers of each kind, by kind."""
    vlm = TinyVLM(weights=None, hidden_size=64, layers=1, max_pixels=96 * 96)
    limits = {"batch_size": 250, "max_new_tokens": 100, "temperature": 1.0}
    backend = TransformersBackend(vlm, **limits, constrain=True, scores=False)
    image = ShapesDataset(1)[0].image
    problems: Counter[str] = Counter()
    for kind, (task, question) in questions().items():
        request = Request(image, question.prompt, task.answer_form(question))
        answers = backend.generate([request] * number)
        parse = PARSERS.build(task.parser)
        found = [parse(answer.text, image.size) for answer in answers]
        problems.update({kind: sum(len(prediction.problems) for prediction in found)})
        items = sum(len(prediction.instances) for prediction in found)
        cut = sum(answer.truncated for answer in answers)
        print(
            f"{kind:<18}{number:>6} answers{items:>7} items{problems[kind]:>4} problems{cut:>4} cut"
        )
    return problems


def real_size_vocabulary() -> Vocabulary:
    """The tiny tokenizer's, with ordinary tokens of random letters up to the real size."""
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
    """A processor whose CPU time is added up."""

    def __init__(self, inner: LogitsProcessor):
        self.inner = inner
        self.seconds = 0.0
        self.steps = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        start = time.process_time()
        scores = self.inner(input_ids, scores)
        self.seconds += time.process_time() - start
        self.steps += 1
        return scores


def real_size_model() -> Any:
    """A Qwen2.5-VL of real vocabulary with random weights."""
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
    """Time in the constraint by kind of answer, and in the recorder, over that of the rest."""
    start = time.process_time()
    assert vocabulary.text.shape[1] == ROWS  # looked at for the first time
    once = time.process_time() - start
    print(f"\nsorting the vocabulary for free text, once a process: {once:.1f} s")
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
    print(f"\n{'':<18}{'ms a step':>12}{'constraint':>12}{'share':>9}")
    for kind, (task, question) in questions().items():
        form = task.answer_form(question)
        # Answers go on longer than they are watched, so that no row ends.
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
    torch.set_num_threads(1)
    problems = count_problems(ANSWERS)
    shares = costs(real_size_model(), real_size_vocabulary())
    recorder = shares.pop("recorder")
    record = {
        "answers": ANSWERS * len(questions()),
        "problems": sum(problems.values()),
        "cost": round(max(shares.values()), 4),
        "cost_of_scores": round(recorder, 4),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
