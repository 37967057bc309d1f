"""Keypoints: a box and named points on each thing asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.grammar.forms import KeypointForm
from rexkit.grammar.writer import legal_phrase, write_keypoints
from rexkit.keypoints import KeypointSchema, find_schema
from rexkit.registry import TASK_FNS
from rexkit.structures import Annotation, Example, ImageSize, Instance, Question, Sample
from rexkit.tasks.phrase import PhraseTask
from rexkit.tasks.task import QuestionArguments


@TASK_FNS.register_module()
class KeypointTask(PhraseTask):
    """A box and the keypoints of a schema for each instance, as JSON.

    A phrase may be any that has such keypoints: "cat" with the schema "animal". An instance is
    answered under its phrase with a number ("person1"), with every keypoint of the schema in its
    order; those that are None, or that it lacks, are "unvisible". An instance of which not one
    keypoint is labelled is ignored, as in COCO's keypoint evaluation: that nobody labelled it does
    not mean that nothing can be seen. Where nothing that was asked for is there, the answer is
    empty JSON.

    The template is the public one of the Rex-Omni weights.

    Args:
        keypoint_type: the schema, a name or a config (`rexkit.keypoints.find_schema`).
        templates: prompts with a ``{phrases}`` and a ``{keypoints}`` place.
        **options: as of `PhraseTask`.
    """

    name = "keypoint"
    geometry = "bbox"
    places = ("phrases", "keypoints")
    accepts = ("categories", "keypoint_type")
    metrics = ("KeypointPCK", "KeypointAP")
    templates = (
        "Can you detect each {phrases} in the image using a [x0, y0, x1, y1] box format, and then "
        "provide the coordinates of its {keypoints} as [x0, y0]? Output the answer in JSON format.",
    )

    def __init__(
        self,
        keypoint_type: str | Mapping[str, Any] = "person",
        templates: Sequence[str] | None = None,
        **options: Any,
    ):
        super().__init__(templates, **options)
        self.schema = find_schema(keypoint_type)

    def prompt(
        self,
        phrases: Sequence[str],
        rng: np.random.Generator | None = None,
        schema: KeypointSchema | None = None,
    ) -> str:
        """The question for some phrases; left out, the schema is the task's own."""
        names = (schema or self.schema).keypoints
        return super().prompt(phrases, rng).replace("{keypoints}", ", ".join(names))

    def response(self, target: Annotation, phrases: Sequence[str]) -> str:
        seen = [i for i in target.instances if not i.ignore]
        if self.left_to_right:
            seen.sort(key=self._left)
        return write_keypoints(seen, target.image_size)

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Return the question for the given categories and keypoints.

        Without ``keypoint_type`` the keypoints are those of the task's schema, and without
        categories the phrase is the name of the schema.
        """
        given = arguments.keypoint_type
        schema = self.schema if given is None else find_schema(given)
        categories = arguments.categories or [schema.name]
        phrases = [legal_phrase(phrase) for phrase in dict.fromkeys(categories)]
        prompt = self.prompt(phrases, schema=schema)
        return Question(prompt, phrases, self.name, tuple(schema.keypoints))

    def answer_form(self, question: Question) -> KeypointForm:
        names = question.keypoints or tuple(self.schema.keypoints)
        return KeypointForm(tuple(question.phrases), names)

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        labelled = [self._labelled(i, sample.source) for i in sample.annotation.instances]
        target = replace(sample.annotation, instances=labelled)
        example = super().example(replace(sample, annotation=target), rng, training)
        return replace(example, sample=sample)

    def answerable(self, instance: Instance) -> Instance | None:
        return None if instance.keypoints is None or instance.bbox is None else instance

    def _labelled(self, instance: Instance, source: str) -> Instance:
        """The instance with all keypoints of the schema, ignored if not one is labelled."""
        given = instance.keypoints
        if given is None:
            return instance
        if strangers := [name for name in given if name not in self.schema.keypoints]:
            raise DataError(
                f"{strangers[0]!r} of a {instance.phrase!r} is no keypoint of the schema "
                f"{self.schema.name!r}; give the task another keypoint_type",
                source,
            )
        keypoints = {name: given.get(name) for name in self.schema.keypoints}
        instance = replace(instance, keypoints=keypoints)
        if not instance.ignore and all(xy is None for xy in keypoints.values()):
            # Ignored as one thing is, not as a crowd, which would excuse any number of answers.
            extra = {**instance.extra, "iscrowd": False}
            instance = replace(instance, ignore=True, extra=extra)
        return instance
