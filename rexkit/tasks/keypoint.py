"""Keypoint task: a box and named points for each instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rexkit.errors import DataError, did_you_mean
from rexkit.grammar.forms import KeypointForm
from rexkit.grammar.writer import write_keypoints
from rexkit.keypoints import KeypointSchema, find_schema
from rexkit.phrases import clean_phrase
from rexkit.registry import TASK_FNS
from rexkit.structures import Annotation, Example, ImageSize, Instance, Question, Sample
from rexkit.tasks.instance_order import sort_from_left
from rexkit.tasks.phrase import PhraseTask
from rexkit.tasks.prompt_sets import Diverse
from rexkit.tasks.task import QuestionArguments


@TASK_FNS.register_module()
class KeypointTask(PhraseTask):
    """Asks for a box and the keypoints of a schema for each instance, as JSON.

    A phrase may be any category with such keypoints: "cat" with the schema "animal". The response
    names an instance by its phrase with a number ("person1") and lists every keypoint of the
    schema in order; those that are None or missing are "unvisible". An instance without a labelled
    keypoint is ignored, as in COCO's keypoint evaluation, since its keypoints may be visible. If
    no instance is in the image, the response is an empty JSON object.

    The template is the public one of the Rex-Omni weights.

    Args:
        keypoint_type: the schema, a name or a config (`rexkit.keypoints.find_schema`).
        templates: prompts with the placeholders ``{phrases}`` and ``{keypoints}``.
        **options: as in `PhraseTask`.
    """

    name = "keypoint"
    geometry = "bbox"
    placeholders = ("phrases", "keypoints")
    accepts = ("categories", "keypoint_type")
    metrics = ("KeypointPCK", "KeypointAP")
    templates = (
        "Can you detect each {phrases} in the image using a [x0, y0, x1, y1] box format, and then "
        "provide the coordinates of its {keypoints} as [x0, y0]? Output the answer in JSON format.",
    )

    def __init__(
        self,
        keypoint_type: str | Mapping[str, Any] = "person",
        templates: Sequence[str] | Diverse | None = None,
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
        """Return the prompt for some phrases and the keypoints of a schema.

        Args:
            phrases: what to ask for.
            rng: draws the template; None takes the first one.
            schema: None takes the task's own.
        """
        names = (schema or self.schema).keypoints
        return super().prompt(phrases, rng).replace("{keypoints}", ", ".join(names))

    def response(self, target: Annotation, phrases: Sequence[str]) -> str:
        """Return the JSON response for a target, without its ignored instances."""
        seen = [i for i in target.instances if not i.ignore]
        if self.left_to_right:
            seen = sort_from_left(seen, self.geometry, target.image_size)
        return write_keypoints(seen, target.image_size)

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Return the question for the given categories and keypoints.

        Without ``keypoint_type`` the keypoints are those of the task's schema, and without
        categories the phrase is the name of the schema.
        """
        given = arguments.keypoint_type
        schema = self.schema if given is None else find_schema(given)
        categories = arguments.categories or [schema.name]
        phrases = [clean_phrase(phrase) for phrase in dict.fromkeys(categories)]
        prompt = self.prompt(phrases, schema=schema)
        return Question(prompt, phrases, self.name, tuple(schema.keypoints))

    def answer_form(self, question: Question) -> KeypointForm:
        """Return the JSON format with the keypoints that are asked for."""
        names = question.keypoints or tuple(self.schema.keypoints)
        return KeypointForm(tuple(question.phrases), names)

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """Return one question about a sample; see `Task.example`."""
        labelled = [self._labelled(i, sample.source) for i in sample.annotation.instances]
        target = replace(sample.annotation, instances=labelled)
        example = super().example(replace(sample, annotation=target), rng, training)
        return replace(example, sample=sample)

    def answerable(self, instance: Instance) -> Instance | None:
        """Return the instance if it has keypoints and a box, else None."""
        return None if instance.keypoints is None or instance.bbox is None else instance

    def _labelled(self, instance: Instance, source: str) -> Instance:
        """Return the instance with all keypoints of the schema, ignored if none is labelled."""
        given = instance.keypoints
        if given is None:
            return instance
        names = {name: self.schema.own_name(name) for name in given}
        if unknown := [name for name, own in names.items() if own is None]:
            near = did_you_mean(unknown[0], self.schema.keypoints)
            raise DataError(
                f"{unknown[0]!r} of a {instance.phrase!r} is not a keypoint of the schema "
                f"{self.schema.name!r}; {near}; or give the task another keypoint_type",
                source,
            )
        if len({*names.values()}) < len(names):
            raise DataError(
                f"two keypoints of a {instance.phrase!r} are the same one: {', '.join(names)}",
                source,
            )
        renamed = {names[name]: xy for name, xy in given.items()}
        keypoints = {name: renamed.get(name) for name in self.schema.keypoints}
        instance = replace(instance, keypoints=keypoints)
        if not instance.ignore and all(xy is None for xy in keypoints.values()):
            # Not as a crowd, which would match any number of predictions.
            extra = {**instance.extra, "iscrowd": False}
            instance = replace(instance, ignore=True, extra=extra)
        return instance
