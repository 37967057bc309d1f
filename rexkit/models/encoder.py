"""Prompts and responses as tensors: chat markup, images, padding, labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rexkit.errors import DataError
from rexkit.grammar.tokens import END_OF_TURN
from rexkit.models.pixels import grid_size, to_patches
from rexkit.structures import Example, ImageSize

if TYPE_CHECKING:
    from PIL.Image import Image

IGNORE_INDEX = -100
"""The label of a position that is not learned (the convention of torch and transformers)."""


class Encoder:
    """Turns examples into training batches and questions into generation batches.

    It holds a processor and no model, so data workers can carry it.

    Args:
        processor: of the model, as `load_processor` gives it, with its ``system_prompt``.
        max_length: the longest sequence allowed, in tokens; a longer one is an error that names
            the sample; images and responses are never truncated.
    """

    def __init__(self, processor: Any, max_length: int | None = None):
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.system_prompt: str | None = processor.system_prompt
        self.max_length = max_length
        self._chats: dict[tuple[str, bool], str] = {}

    def chat(self, prompt: str, text_only: bool = False) -> str:
        """Return the prompt in chat markup, with one image, up to the start of the response.

        Args:
            prompt: in words.
            text_only: whether there is no image.
        """
        if (prompt, text_only) not in self._chats:
            if len(self._chats) > 10_000:
                self._chats.clear()
            user = [{"type": "text", "text": prompt}]
            if not text_only:
                user.insert(0, {"type": "image"})
            messages: list[dict[str, Any]] = [{"role": "user", "content": user}]
            if self.system_prompt is not None:
                messages.insert(0, {"role": "system", "content": self.system_prompt})
            self._chats[prompt, text_only] = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        return self._chats[prompt, text_only]

    def questions(self, images: Sequence[Image], prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return a batch to generate from, padded on the left."""
        vision = self.images(images)
        return self.left_padded(self.prompt_ids(vision["image_grid_thw"], prompts)) | vision

    def images(self, images: Sequence[Image]) -> dict[str, torch.Tensor]:
        """Return the input of the vision tower: ``pixel_values`` and ``image_grid_thw``."""
        pixel_values, grids = to_patches(images, self.processor.image_processor)
        return {
            "pixel_values": torch.from_numpy(pixel_values),
            "image_grid_thw": torch.from_numpy(grids),
        }

    def prompt_ids(self, grids: torch.Tensor, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of prompts in chat markup.

        Args:
            grids: ``image_grid_thw`` (N, 3) of each prompt's image, which says how many tokens
                it takes.
            prompts: in words.
        """
        cells = grids.prod(1) // self.processor.image_processor.merge_size**2
        token = self.processor.image_token
        chats = [
            self.chat(prompt).replace(token, token * number)
            for prompt, number in zip(prompts, cells.tolist(), strict=True)
        ]
        ids: list[list[int]] = self.tokenizer(chats).input_ids
        return ids

    def left_padded(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """Return the input ids, attention mask and token type ids of rows, padded on the left."""
        width = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        kinds = self.processor.create_mm_token_type_ids(rows)
        return {
            "input_ids": torch.tensor([[pad] * (width - len(row)) + [*row] for row in rows]),
            "attention_mask": torch.tensor(
                [[0] * (width - len(row)) + [1] * len(row) for row in rows]
            ),
            "mm_token_type_ids": torch.tensor([[0] * (width - len(row)) + row for row in kinds]),
        }

    def examples(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Return a batch to train on, padded on the right; labels only in the responses.

        A batch in which no example has an image has one cell of `blank_cell` in a masked position,
        so that the vision tower takes part in every step: processes that train together must run
        the same modules.

        Raises:
            DataError: as in `check`.
        """
        with self._named(examples):
            encoded = self._encode_examples(examples)
        prompts, responses = encoded["input_ids"], self.responses(examples)
        for example, prompt, response in zip(examples, prompts, responses, strict=True):
            self.check_length(example.source, len(prompt), len(response))
        return self._pad(encoded, responses)

    def on_one_image(self, examples: Sequence[Example]) -> tuple[list[list[int]], Any]:
        """Return the prompts of examples that share an image, which is processed once.

        Args:
            examples: of one image.

        Returns:
            The token ids of each prompt, image expanded; and what the processor made of the
            first: ``mm_token_type_ids`` (1, prompt), and ``pixel_values`` and ``image_grid_thw``
            where there is an image.
        """
        with self._named(examples[:1]):
            encoded = self._encode_examples(examples[:1])
        first, text_only = encoded["input_ids"][0], examples[0].text_only
        others: list[list[int]] = self.tokenizer(
            [self.chat(e.prompt, text_only) for e in examples], add_special_tokens=False
        ).input_ids
        if text_only:
            return others, encoded
        pad = self.processor.image_token_id
        pads = [pad] * first.count(pad)
        expanded = []
        for ids in others:
            index = ids.index(pad)
            expanded.append([*ids[:index], *pads, *ids[index + 1 :]])
        return expanded, encoded

    def responses(self, examples: Sequence[Example]) -> list[list[int]]:
        """Return the token ids of the responses, with the end of the turn."""
        texts = [e.response + END_OF_TURN for e in examples]
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False).input_ids
        return ids

    def check(self, example: Example, room: int | None = None) -> None:
        """Check that an example can be a training input.

        Args:
            example: with its image.
            room: tokens that follow the prompt; if left out, those of the response.

        Raises:
            DataError: its image is thinner than the model accepts, or it is longer than
                ``max_length``; or, with ``room``, it has no image, which generation needs.
        """
        text_only = example.text_only and room is None
        cells = 0 if text_only else self._cells(example.image.size, example.source)
        if self.max_length is None:
            return
        chat, response = self.chat(example.prompt, text_only), example.response + END_OF_TURN
        most = len(response.encode()) if room is None else room
        if cells + len(chat.encode()) + most <= self.max_length:
            return  # no token is shorter than a byte
        words = len(self.tokenizer(chat).input_ids) - (not text_only)
        if room is None:
            room = len(self.tokenizer(response, add_special_tokens=False).input_ids)
        self.check_length(example.source, cells + words, room)

    def check_prompt(
        self, image_size: ImageSize, prompt: str, context: int, source: str = ""
    ) -> None:
        """Check that a completion can begin after an image and a prompt.

        Args:
            image_size: (width, height) of the image.
            prompt: in words.
            context: the most tokens of the model.
            source: of the sample, for the message.

        Raises:
            DataError: the image is thinner than the model accepts, or nothing is left of the
                context.
        """
        cells = self._cells(image_size, source)
        chat = self.chat(prompt)
        if cells + len(chat.encode()) < context:  # no token is shorter than a byte
            return
        words = len(self.tokenizer(chat).input_ids) - 1
        if cells + words >= context:
            raise DataError(
                f"the prompt has {words} tokens and the image {cells}, but the model's context "
                f"is {context}; ask for fewer categories at once, or lower max_pixels",
                source,
            )

    def check_length(self, source: str, prompt: int, response: int) -> None:
        """Raise a DataError for an example longer than ``max_length``.

        Args:
            source: of its sample.
            prompt: its tokens, the image's included.
            response: its tokens.
        """
        length = prompt + response
        if self.max_length is not None and length > self.max_length:
            raise DataError(
                f"{length} tokens (prompt {prompt}, response {response}) exceed "
                f"max_length={self.max_length}; raise it, or lower the model's max_pixels or the "
                "number of categories asked for",
                source,
            )

    def _cells(self, image_size: ImageSize, source: str) -> int:
        """Return the number of tokens of an image."""
        processor = self.processor.image_processor
        try:
            width, height = grid_size(image_size, processor)
        except DataError as error:
            raise error.at(source) from error
        return int(width * height // (processor.patch_size * processor.merge_size) ** 2)

    @contextmanager
    def _named(self, examples: Sequence[Example]) -> Iterator[None]:
        """Name the sample in an error about one of several images."""
        try:
            yield
        except DataError:
            for example in examples:
                if not example.text_only:
                    self._cells(example.image.size, example.source)
            raise

    def _encode_examples(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the output of the processor for examples, without padding.

        There are no ``pixel_values`` and ``image_grid_thw`` where no example has an image.
        """
        seen = [example for example in examples if not example.text_only]
        vision = self.images([example.image for example in seen]) if seen else {}
        expanded = iter(
            self.prompt_ids(vision["image_grid_thw"], [e.prompt for e in seen]) if seen else ()
        )
        texts = [self.chat(e.prompt, text_only=True) for e in examples if e.text_only]
        plain = iter(self.tokenizer(texts).input_ids if texts else ())
        ids = [next(plain if example.text_only else expanded) for example in examples]
        kinds = self.processor.create_mm_token_type_ids(ids)
        return {"input_ids": ids, "mm_token_type_ids": kinds} | vision

    def blank_cell(self) -> dict[str, torch.Tensor]:
        """Return ``pixel_values`` and ``image_grid_thw`` of an image of one cell, all zeros."""
        settings = self.processor.image_processor
        side = settings.merge_size
        values = 3 * settings.temporal_patch_size * settings.patch_size**2
        return {
            "pixel_values": torch.zeros(side * side, values),
            "image_grid_thw": torch.tensor([[1, side, side]]),
        }

    def _pad(self, encoded: dict[str, Any], responses: list[list[int]]) -> dict[str, torch.Tensor]:
        rows = [[*p, *r] for p, r in zip(encoded["input_ids"], responses, strict=True)]
        blank = "pixel_values" not in encoded
        shape = (len(rows), max(map(len, rows)) + blank)
        ids = np.full(shape, self.tokenizer.pad_token_id, dtype=np.int64)
        kinds, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        labels = np.full(shape, IGNORE_INDEX, dtype=np.int64)
        for i, (row, response) in enumerate(zip(rows, responses, strict=True)):
            prompt_length = len(row) - len(response)
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
            kinds[i, :prompt_length] = encoded["mm_token_type_ids"][i]
            labels[i, prompt_length : len(row)] = response
        if blank:  # masked, after the longest row
            ids[0, -1] = self.processor.image_token_id
            encoded = encoded | self.blank_cell()
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "mm_token_type_ids": torch.from_numpy(kinds),
            "pixel_values": encoded["pixel_values"],
            "image_grid_thw": encoded["image_grid_thw"],
            "labels": torch.from_numpy(labels),
        }
