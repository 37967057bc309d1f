"""The calls of the tutorials in the repository IDEA-Research/Rex-Omni, with one changed import.

Each entry has the arguments that the tutorial of that name passes, and the prompt that the public
wrapper makes of them. The model is replaced by one that gives a response in the answer grammar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from rexkit.backends import Backend, Generation, Request
from rexkit.compat import RexOmniVisualize, RexOmniWrapper

PUBLIC_KEYS = [
    *("success", "image_size", "resized_size", "task", "prompt", "raw_output"),
    *("extracted_predictions", "inference_time", "num_output_tokens", "num_prompt_tokens"),
    *("generation_time", "tokens_per_second"),
]

CAFE = (
    "man, woman, yellow flower, sofa, robot-shope light, blanket, microwave, laptop, cup, "
    "white chair, lamp"
).split(", ")
BOYS = [
    *("boys holding microphone", "boy playing piano", "the four guitars on the wall"),
    "the guitar in someone's hand",
]
LAYOUT = ["header", "headline", "paragraph", "page number", "figure", "section"]
DETECT = "Detect {}. Output the bounding box coordinates in [x0, y0, x1, y1] format."
KEYPOINTS = (
    "Can you detect each {} in the image using a [x0, y0, x1, y1] box format, and then provide the "
    "coordinates of its {} as [x0, y0]? Output the answer in JSON format."
)
PERSON = (
    "nose, left eye, right eye, left ear, right ear, left shoulder, right shoulder, left elbow, "
    "right elbow, left wrist, right wrist, left hip, right hip, left knee, right knee, left ankle, "
    "right ankle"
)
ANIMAL = (
    "left eye, right eye, nose, neck, root of tail, left shoulder, left elbow, left front paw, "
    "right shoulder, right elbow, right front paw, left hip, left knee, left back paw, right hip, "
    "right knee, right back paw"
)
POLYGON = (
    "Can you detect all text line in this image in polygon format like [x0, y0, x1, y1, x2, y2 "
    "...] and then recognize them?"
)
# 644 of 2246 is bin 286, and so on.
SIMILAR = (
    'Given reference boxes {"object_1": ["<286><760><374><855>", "<524><669><545><728>"]} '
    "indicating one or more objects, find all similar objects in the image and output their "
    "bounding boxes."
)

# tutorial: (image size, max_tokens, arguments of inference, font_size, draw_width, prompt)
TUTORIALS = {
    "detection_example.py": (
        *((1440, 810), 4096, dict(task="detection", categories=CAFE), 20, 5),
        DETECT.format(", ".join(CAFE)),
    ),
    "referring_example.py": (
        *((1536, 1024), 4096, dict(task="detection", categories=BOYS), 20, 5),
        DETECT.format(", ".join(BOYS)),
    ),
    "layout_grouding_examle.py": (
        *((622, 979), 4096, dict(task="detection", categories=LAYOUT), 20, 5),
        DETECT.format(", ".join(LAYOUT)),
    ),
    "gui_grounding_example.py": (
        (1900, 1728),
        4096,
        dict(task="gui_grounding", categories=["more information of song 'Photograph'"]),
        *(20, 5),
        'Detect element "more information of song \'Photograph\'"" in the image.',
    ),
    "person_keypointing_example.py": (
        (740, 494),
        2048,
        dict(task="keypoint", keypoint_type="person", categories=["person"]),
        *(6, 6),
        KEYPOINTS.format("person", PERSON),
    ),
    "animal_keypointing_example.py": (
        (724, 345),
        2048,
        dict(task="keypoint", keypoint_type="animal", categories=["cat"]),
        *(6, 6),
        KEYPOINTS.format("cat", ANIMAL),
    ),
    "ocr_word_box_example.py": (
        *((720, 720), 2048, dict(task="ocr_box", categories=["word"]), 20, 5),
        "Detect all word and recognize them.",
    ),
    "ocr_textline_box_example.py": (
        *((720, 720), 2048, dict(task="ocr_box", categories=["text line"]), 15, 3),
        "Detect all text line and recognize them.",
    ),
    "ocr_polygon_example.py": (
        *((720, 720), 2048, dict(task="ocr_polygon", categories=["text line"]), 15, 5),
        POLYGON,
    ),
    "object_pointing_example.py": (
        (1210, 1223),
        2048,
        dict(task="pointing", categories=["open boxes", "closed boxes"]),
        *(30, 10),
        "Point to open boxes, closed boxes.",
    ),
    "affordance_pointing_example.py": (
        (626, 348),
        2048,
        dict(task="pointing", categories=["where I can hold the green cup"]),
        *(20, 10),
        "Point to where I can hold the green cup.",
    ),
    "gui_pointing_example.py": (
        (1900, 1728),
        2048,
        dict(task="pointing", categories=["element 'pause current song'"]),
        *(50, 15),
        "Point to element 'pause current song'.",
    ),
    "pointing_example.py": (
        *((1200, 800), 2048, dict(task="pointing", categories=["pigeons"]), 20, 10),
        "Point to pigeons.",
    ),
    "visual_prompt_example.py": (
        (2246, 1590),
        2048,
        dict(
            task="visual_prompting",
            visual_prompt_boxes=[[644, 1210, 842, 1361], [1180, 1066, 1227, 1160]],
        ),
        *(30, 10),
        SIMILAR,
    ),
}

BOX, POINT = "<100><200><500><600>", "<500><500>"
OUTLINE = "<100><100><900><120><890><400><110><380>"
KEYPOINT_RESPONSE = (
    '```json\n{"KIND1": {"bbox": " <100> <200> <500> <600> ", "keypoints": '
    '{"nose": " <300> <400> ", "left eye": "unvisible"}}}\n```'
)


def span(phrase: str, geometry: str) -> str:
    return f"<|object_ref_start|>{phrase}<|object_ref_end|><|box_start|>{geometry}<|box_end|>"


def response(prompt: str) -> str:
    """A response of the kind that a prompt asks for: one instance of every phrase but the last."""
    if found := re.match(r"Can you detect each (.+) in the image using", prompt):
        return KEYPOINT_RESPONSE.replace("KIND", found[1])
    if "recognize" in prompt:
        geometry = OUTLINE if "polygon" in prompt else BOX
        return ", ".join(span(text, geometry) for text in ("Hello", "Rachel,"))
    if prompt.startswith("Given reference boxes"):
        return span("object_1", f"{BOX},{BOX}")
    words = re.match(r'(?:Detect|Point to) (?:element ")?(.+?)(?:""?)?(?: in the image)?\.', prompt)
    geometry = POINT if prompt.startswith("Point") else BOX
    *first, last = words[1].split(", ")
    return ", ".join(
        [*(span(p, geometry) for p in first), span(last, geometry if not first else "None")]
    )


class Answering(Backend):
    """Gives `response` to every request."""

    model_source = "given"

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        return [Generation(response(r.prompt), [1] * 7, 50, 0.5, False) for r in requests]


@pytest.fixture(scope="module")
def wrapper_of(tmp_path_factory):
    """Build a wrapper of a small checkpoint, its backend replaced."""
    from rexkit.models import TinyVLM

    folder = tmp_path_factory.mktemp("checkpoint")
    TinyVLM(weights=None, family="qwen2_5_vl", layers=1, min_pixels=16 * 784).save(folder)

    def build(**arguments):
        wrapper = RexOmniWrapper(model_path=str(folder), **arguments)
        sampling = wrapper.predictor.backend.sampling
        wrapper.predictor.backend = Answering()
        return wrapper, sampling

    return build


@pytest.mark.parametrize("name", TUTORIALS)
def test_the_calls_of_a_tutorial(name, wrapper_of, tmp_path):
    size, max_tokens, arguments, font_size, draw_width, prompt = TUTORIALS[name]
    rex_model, sampling = wrapper_of(
        backend="transformers",
        max_tokens=max_tokens,
        temperature=0.0,
        top_p=0.05,
        top_k=1,
        repetition_penalty=1.05,
    )
    assert sampling.max_new_tokens == max_tokens
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.0, 0.05, 1)
    assert sampling.repetition_penalty == 1.05
    image = Image.new("RGB", size, "grey")
    results = rex_model.inference(images=image, **arguments)
    result = results[0]
    assert list(result) == PUBLIC_KEYS
    assert result["success"] is True
    assert result["task"] == arguments["task"]
    assert result["prompt"] == prompt
    assert result["image_size"] == size
    assert result["raw_output"] == response(prompt) + "<|im_end|>"
    predictions = result["extracted_predictions"]
    phrases = list(predictions)
    if arguments["task"].startswith("ocr"):
        assert phrases == ["Hello", "Rachel,"]
    else:
        assert phrases == arguments.get("categories", ["object_1"])
    vis_image = RexOmniVisualize(
        image=image,
        predictions=predictions,
        font_size=font_size,
        draw_width=draw_width,
        show_labels=True,
    )
    assert vis_image.size == size
    assert (np.asarray(vis_image) != np.asarray(image)).any()
    vis_image.save(tmp_path / "visualize.jpg")


def test_batch_inference(wrapper_of):
    rex_model, _ = wrapper_of(backend="transformers", max_tokens=4096, top_p=0.05)
    images = [Image.new("RGB", size) for size in ((1440, 810), (1536, 1024))]
    results = rex_model.inference(
        images=images, task=["detection", "detection"], categories=[CAFE, BOYS]
    )
    assert [result["prompt"] for result in results] == [
        DETECT.format(", ".join(categories)) for categories in (CAFE, BOYS)
    ]
    assert [list(result["extracted_predictions"]) for result in results] == [CAFE, BOYS]
    assert results[0]["extracted_predictions"]["lamp"] == []
    box = [x / 999 * side for x, side in zip((100, 200, 500, 600), (1440, 810) * 2, strict=True)]
    assert results[0]["extracted_predictions"]["man"] == [
        {"type": "box", "coords": pytest.approx(box)}
    ]
