"""What the commands share: their manners towards users, shells and pipes, and the files they write."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from models import Classifier, UserError
from models.engine import write_atomically


def run(command: Callable[[], int]) -> int:
    """A command's exit status: its own, 2 for a user's mistake, 130 for Ctrl-C, 141 where nobody reads on."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # for what needs TensorFlow
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal cannot show
    try:
        return command()
    except UserError as error:
        say(error)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough; what is left must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """One line, without the usage that argparse puts before it."""
        raise UserError(f"{message} (see {self.prog} --help)")


def class_index(text: str, classifier: Classifier) -> int:
    """A class by label, or by index where no label is that number."""
    if text.strip().isdecimal() and text.strip() not in classifier.labels:
        return classifier.index(int(text))
    return classifier.index(text)


def stems(pictures: Sequence[str]) -> list[str]:
    """A file name for each picture, unique even where case does not count."""
    found: list[str] = []
    taken: set[str] = set()
    for picture in pictures:
        stem = name = Path(picture).stem
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        found.append(name)
    return found


def make_folder(folder: Path) -> None:
    """Make it, and see whether files can be written there before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"Nothing can be written to '{folder}' ({error.strerror}); name another folder with --out."
        ) from error


def write(path: Path, content: bytes) -> str:
    """Write a file whole or not at all; its path. Raises UserError where that is not possible."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"'{path}' cannot be written ({error.strerror}).") from error
    return str(path)


def png(pixels: np.ndarray) -> bytes:
    """uint8 pixels (H, W, 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=3)  # a third of the default's time, a tenth more bytes
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An array as a .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def say(what: object) -> None:
    """One line on stderr, whatever a file's name holds."""
    sys.stderr.write(f"explain: {' '.join(str(what).split())}\n")


def wake(classifier: Classifier) -> None:
    """A first pass without LiteRT's line about its delegate, which no setting of its own silences."""
    side = classifier.stride
    with quiet():
        classifier.forward(np.zeros((1, *(classifier.canvas or (side, side)), 3), np.float32))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Lines that native code prints to stderr meanwhile come out at the end, those that begin with INFO excepted."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        stderr = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            kept.seek(0)
            for line in kept:
                if not line.startswith(b"INFO:"):
                    os.write(2, line)
