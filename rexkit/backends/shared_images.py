"""Images that several requests share: encoded once, and prefilled once per batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from rexkit._compat.transformers import select_rope_deltas, vision_outputs
from rexkit.backends.backend import Request
from rexkit.models import VLM

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(slots=True, eq=False)
class EncodedImage:
    """The output of the vision tower for one image.

    Attributes:
        grid: (3,) ``image_grid_thw``.
        features: (cells, width), the embeddings of the image's tokens.
        deepstack: (cells, width) each, added in the first layers (Qwen3-VL).
    """

    grid: torch.Tensor
    features: torch.Tensor
    deepstack: list[torch.Tensor]


class VisionTower:
    """Encodes the images of some requests, each once.

    Requests share an image if their ``image`` is the same object. Its encoding is kept until its
    last request has been encoded.

    Args:
        vlm: the model.
        requests: all requests that will follow.
    """

    def __init__(self, vlm: VLM, requests: Sequence[Request]):
        self.vlm = vlm
        self._left = Counter(id(request.image) for request in requests)
        self._encoded: dict[int, EncodedImage] = {}

    def encode(self, images: Sequence[Image]) -> list[EncodedImage]:
        """Return the encoding of each of the next images; equal objects for equal images."""
        new = {id(image): image for image in images if id(image) not in self._encoded}
        if new:
            self._encoded |= zip(new, self._run(list(new.values())), strict=True)
        found = [self._encoded[id(image)] for image in images]
        for image in images:
            self._left[id(image)] -= 1
            if not self._left[id(image)]:
                del self._encoded[id(image)]
        return found

    def _run(self, images: Sequence[Image]) -> list[EncodedImage]:
        model: Any = self.vlm.model
        inputs = self.vlm.encoder.images(images)
        pixels, grids = (inputs[k].to(model.device) for k in ("pixel_values", "image_grid_thw"))
        output = model.get_image_features(pixels.to(model.dtype), grids, return_dict=True)
        deepstack = getattr(output, "deepstack_features", None) or []
        return [
            EncodedImage(grid, features, [layer[number] for layer in deepstack])
            for number, (grid, features) in enumerate(zip(grids, output.pooler_output, strict=True))
        ]


def image_arguments(encoded: Sequence[EncodedImage]) -> dict[str, Any]:
    """Return the model arguments that replace the pixels of encoded images."""
    grids = torch.stack([one.grid for one in encoded])
    outputs = vision_outputs([one.features for one in encoded], [one.deepstack for one in encoded])
    return {**outputs, "image_grid_thw": grids}


def prefilled(
    vlm: VLM, prompts: Sequence[list[int]], encoded: Sequence[EncodedImage]
) -> dict[str, Any]:
    """Prefill prompts up to the end of their images, and return how to generate from there.

    Prompts with the same image are equal up to the end of the image, since the chat template puts
    the image before the text. This prefix is computed once per image and copied for its prompts.

    Args:
        vlm: the model.
        prompts: token ids, as `Encoder.prompt_ids` gives them.
        encoded: the image of each prompt.

    Returns:
        ``input_ids``, ``attention_mask``, and the ``past_key_values`` of the prefixes.
    """
    token = vlm.processor.image_token_id  # type: ignore[attr-defined]
    ends = [len(prompt) - prompt[::-1].index(token) for prompt in prompts]
    different = {id(one): one for one in encoded}
    row_of = {key: row for row, key in enumerate(different)}
    rows = [row_of[id(one)] for one in encoded]
    firsts = [rows.index(row) for row in range(len(row_of))]
    device = vlm.model.device
    heads, tails = (
        {name: value.to(device) for name, value in vlm.encoder.left_padded(ids).items()}
        for ids in (
            [prompts[row][: ends[row]] for row in firsts],
            [prompt[end:] for prompt, end in zip(prompts, ends, strict=True)],
        )
    )
    cache = DynamicCache(config=vlm.model.config)
    inner = vlm.inner
    inner(
        **heads, **image_arguments(list(different.values())), past_key_values=cache, use_cache=True
    )
    copies = torch.tensor(rows, device=device)
    cache.batch_select_indices(copies)
    # M-RoPE positions differ from token indices by these deltas, which generation continues from.
    select_rope_deltas(inner, copies)
    joined = {
        name: torch.cat([heads[name][copies], tails[name]], 1)
        for name in ("input_ids", "attention_mask")
    }
    return {**joined, "past_key_values": cache}
