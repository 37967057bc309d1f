"""Images named on a command line: files, folders, globs, lists, URLs and the frames of videos."""

from __future__ import annotations

import codecs
import glob
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import UserError
from rexkit.formats.image_sources import ImageSource
from rexkit.formats.images import IMAGE_SUFFIXES

VIDEO_SUFFIXES = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"}


@dataclass(slots=True, eq=False)
class Input:
    """An image with its name in a run.

    Attributes:
        key: unique within a run and equal in every run: its path or URL, for a frame followed by
            ``#`` and its number.
        source: as `rexkit.formats.image_sources.open_source` takes it.
    """

    key: str
    source: ImageSource


def list_inputs(words: Sequence[str]) -> list[str]:
    """Return the images and videos that some arguments name, each once, in order.

    Args:
        words: files, URLs, folders (searched through for the image and video types, by name),
            globs (``**`` for any depth), and ``.txt`` files with a path or URL a line, relative to
            the folder of the list.

    Raises:
        UserError: a name does not exist, or contains no image or video.
    """
    found: dict[str, None] = {}
    for word in words:
        named = _listed(word)
        if not named:
            raise UserError(f"{word}: no image or video there")
        found |= dict.fromkeys(named)
    return list(found)


def is_video(path: str) -> bool:
    """Return whether a path has the suffix of a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def open_inputs(
    paths: Sequence[str], done: Collection[str] = (), every: int = 1
) -> Iterator[Input]:
    """Yield the images and video frames to predict.

    Args:
        paths: as `list_inputs` returns them.
        done: keys to skip.
        every: take every N-th frame of a video.

    Raises:
        UserError: a video cannot be read, or neither PyAV nor OpenCV is installed.
    """
    for path in paths:
        if not is_video(path):
            if path not in done:
                yield Input(path, path)
            continue
        for number, frame in enumerate(_frames(path)):
            key = f"{path}#{number:06d}"
            if number % every == 0 and key not in done:
                yield Input(key, frame())


def _listed(word: str) -> list[str]:
    if word.startswith(("http://", "https://")):
        return [word]
    path = Path(word)
    if path.is_dir():
        known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
        inside = (Path(d) / f for d, _, files in os.walk(path) for f in files)
        return sorted(os.path.normpath(f) for f in inside if f.suffix.lower() in known)
    if path.is_file() and path.suffix.lower() == ".txt":
        lines = filter(None, map(str.strip, _text_of(path).splitlines()))
        return [
            line
            if line.startswith(("http://", "https://"))
            else os.path.normpath(path.parent / line)
            for line in lines
        ]
    if path.exists():
        return [os.path.normpath(path)]
    return sorted(os.path.normpath(f) for f in glob.glob(word, recursive=True) if Path(f).is_file())


def _text_of(path: Path) -> str:
    """Return the text of a list; names in it may be in another encoding, as the file system's."""
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return os.fsdecode(data.removeprefix(codecs.BOM_UTF8))


def _frames(path: str) -> Iterator[Callable[[], NDArray[np.uint8]]]:
    """Yield the frames of a video as functions that return an RGB array."""
    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such video")
    try:
        import av
    except ImportError:
        yield from _frames_by_opencv(path)
        return

    def pixels(frame: Any) -> NDArray[np.uint8]:
        array: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        return array

    try:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                yield partial(pixels, frame)
    except (av.FFmpegError, IndexError) as error:
        raise UserError(f"{path}: the video cannot be read ({error})") from error


def _frames_by_opencv(path: str) -> Iterator[Callable[[], NDArray[np.uint8]]]:
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"{path}: reading videos needs PyAV or OpenCV: pip install av") from error
    video: Any = cv2.VideoCapture(path)
    if not video.isOpened():
        raise UserError(f"{path}: the video cannot be read")
    try:
        while video.grab():
            yield lambda: cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
    finally:
        video.release()
