"""Larger sets of prompts for training, drawn by ``templates="diverse"``.

The first template of a task, which tests and inference use, is not in these sets: a task draws from
its own templates and from those of its set.
"""

from __future__ import annotations

from typing import Literal

Diverse = Literal["diverse"]
DIVERSE: Diverse = "diverse"
"""The value of ``templates`` that stands for a task's own templates and its set."""

PROMPT_SETS: dict[str, tuple[str, ...]] = {
    "detection": (
        "Mark {phrases} in the photo.",
        "Box {phrases}.",
        "Draw a box around each {phrases}.",
        "Draw boxes around {phrases} and list their corners.",
        "Which regions of the image show {phrases}?",
        "Return one box per instance of {phrases}.",
        "List the boxes of {phrases}.",
        "I am looking for {phrases}. Where do they appear?",
        "Search the image for {phrases} and report what you find as boxes.",
        "Look for {phrases}; answer with bounding boxes only.",
        "Do you see {phrases}? If so, give me the boxes.",
        "Is there any {phrases} here? Box every one.",
        "Outline all {phrases} with rectangles.",
        "Give rectangles for {phrases}, as x0, y0, x1, y1.",
        "Report top-left and bottom-right corners of {phrases}.",
        "For each of the following, give all boxes: {phrases}.",
        "Categories: {phrases}. Localize their instances.",
        "Object detection for {phrases}.",
        "Run detection with these classes: {phrases}.",
        "Targets: {phrases}. Output: boxes.",
        "Spot {phrases} and tell me where each one is.",
        "Tell me the position of every {phrases}.",
        "Show all places where {phrases} can be seen.",
        "Highlight {phrases} using boxes.",
        "Pick out {phrases} from the scene.",
        "Identify {phrases} and bound each one tightly.",
        "Tight boxes for {phrases}, please.",
        "Annotate this picture: {phrases}.",
        "Label {phrases} with box annotations.",
        "Could you box {phrases} for me?",
        "Would you point out {phrases} with rectangles?",
        "I need the coordinates of {phrases}.",
        "What are the coordinates of {phrases}?",
        "Ground these phrases in the image: {phrases}.",
        "Match each expression to its region: {phrases}.",
        "Where in the image can I find {phrases}?",
        "Check the picture for {phrases} and box all of them.",
        "Scan for {phrases}. Say None for whatever is missing.",
        "Some of these may be absent: {phrases}. Box those that are there.",
        "{phrases} (boxes)",
        "where are {phrases}",
        "{phrases}",
    ),
    "pointing": (
        "Put a point on {phrases}.",
        "Place one point on each {phrases}.",
        "Give a point for every {phrases}.",
        "Click on {phrases}.",
        "Mark each {phrases} with a dot.",
        "Return the x, y position of {phrases}.",
        "Which pixels would you touch to select {phrases}?",
        "List a point per instance: {phrases}.",
        "Where should I click to hit {phrases}?",
        "Count {phrases} by pointing at each one.",
        "Tap every {phrases} once.",
        "Indicate {phrases} by points.",
        "Points for: {phrases}.",
        "Answer with points only: where are {phrases}?",
        "Do you see {phrases}? Point at them.",
        "point: {phrases}",
    ),
    "ocr_box": (
        "Read every {phrases} and box it.",
        "Give each {phrases} with its box.",
        "Transcribe all {phrases} and say where they are, as boxes.",
        "What does the image say? List each {phrases} with a box.",
        "Text spotting at the level of a {phrases}, with boxes.",
        "Run OCR by {phrases} and return rectangles.",
        "Write down every {phrases} you can read, with its rectangle.",
        "Extract the {phrases} content together with bounding boxes.",
        "Locate and read each {phrases}.",
        "Which {phrases} can be read here, and where? Use boxes.",
        "OCR, {phrases} level, boxes.",
        "Box and transcribe: {phrases}.",
    ),
    "ocr_polygon": (
        "Read every {phrases} and outline it with a polygon.",
        "Give each {phrases} with the polygon around it.",
        "Transcribe all {phrases} and trace their outlines.",
        "What does the image say? List each {phrases} with its polygon.",
        "Text spotting at the level of a {phrases}, with polygons.",
        "Run OCR by {phrases} and return the corner points of each.",
        "Write down every {phrases} you can read and its outline.",
        "Extract the {phrases} content together with polygons.",
        "Trace and read each {phrases}.",
        "OCR, {phrases} level, polygons.",
    ),
    "keypoint": (
        "For each {phrases}, give a box and these keypoints as JSON: {keypoints}.",
        "Estimate the pose of every {phrases}. Keypoints: {keypoints}. Reply in JSON.",
        "Locate all {phrases} and their {keypoints}; use JSON.",
        "Box each {phrases} and mark its {keypoints}, in JSON format.",
        "Where are the {keypoints} of each {phrases}? Return JSON.",
        "Pose estimation for {phrases} with {keypoints}, as JSON.",
        "List every {phrases} as JSON with bbox and keypoints ({keypoints}).",
        "Give me JSON with the box of each {phrases} and the positions of {keypoints}.",
        "Keypoint detection. Category: {phrases}. Keypoints: {keypoints}. Format: JSON.",
        "Find the skeleton of each {phrases}: {keypoints}. Answer as JSON.",
    ),
    "visual_prompting": (
        "The boxes {references} show examples. Box everything of the same kind.",
        "Here are examples: {references}. Where are the others?",
        "Use {references} as reference and mark all objects like them.",
        "Find every instance that looks like {references}.",
        "Detect by example: {references}.",
        "Box all objects of the category shown by {references}.",
        "What else in the image is the same kind of object as {references}? Box all.",
        "With {references} as exemplars, list all matching boxes.",
        "Examples: {references}. Return the boxes of all similar objects.",
        "Count objects like {references} by boxing each.",
    ),
}
"""Templates by the name of their task."""

LIST_STYLES = (", ", ", ", "; ", " and ")
"""What phrases are joined by, where templates are diverse; " and " is before the last one only."""


def join_phrases(phrases: list[str], style: str) -> str:
    """Return phrases as a list in words.

    >>> join_phrases(["cup", "dog", "cat"], " and "), join_phrases(["cup", "dog"], "; ")
    ('cup, dog and cat', 'cup; dog')
    """
    if style == " and " and len(phrases) > 1:
        return ", ".join(phrases[:-1]) + style + phrases[-1]
    return style.join(phrases) if style != " and " else phrases[0]
