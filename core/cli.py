"""The conventions of the commands: exit status, error messages, help, and the files they write.

Exit statuses: 0 for success, 2 for a mistake of the user, 130 for Ctrl-C, 143 for SIGTERM, 141 for a closed pipe. Any other
exception is a bug. It is not caught: Python prints its traceback, and the status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from core.errors import UserError
from core.files import check_writable, write_atomically

MAX_STEM = 180  # bytes of the name of a written file, before method and suffix; file systems take 255


def run_command(program: str, command: Callable[[], int]) -> int:
    """Run a command and return its exit status.

    Args:
        program: Name of the program as typed after `python -m`; error messages start with it.
        command: Does the work and returns the exit status.

    Returns:
        The status that `command` returns; 2 for a UserError (one line on stderr); 130 for Ctrl-C, 143 for SIGTERM (both after
        temporary folders are removed); 141 if the process that reads the output has closed the pipe.

    >>> run_command("explain", lambda: 0)
    0
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # warnings and errors of TensorFlow only
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name may hold characters that the terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        return command()
    except _Terminated:
        return 143
    except UserError as error:
        print_error(program, error)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # at exit Python writes the rest of its output, which must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


class _Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt it is no Exception, so nothing catches it on its way."""


def _terminate(*_: object) -> None:
    raise _Terminated


def report_renamed_command(old: str, new: str) -> int:
    """Print the new name of a renamed command on stderr, in one line. Returns exit status 2."""
    print_error(old, f"This command is now `python -m {new}`.")
    return 2


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line and shows examples at the end of `--help`.

    Args:
        program: Name of the program as typed after `python -m`.
        description: What the program does, in one sentence.
        examples: Pairs of arguments (after the command) and what they do: ("photo.jpg", "explain a picture").
        command: How the program is typed, by default `python -m PROGRAM`.
    """

    def __init__(
        self, program: str, description: str, examples: Sequence[tuple[str, str]], command: str | None = None
    ) -> None:
        command = command or f"python -m {program}"
        lines = [f"  {command} {arguments}\n      {purpose}" for arguments, purpose in examples]
        super().__init__(
            prog=command,
            description=description,
            epilog="\n".join(["examples:", *lines]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise UserError with one line. Unlike argparse, it does not print the usage."""
        raise UserError(f"{message} (see {self.prog} --help)")


def unique_stems(pictures: Sequence[str]) -> list[str]:
    """The file name of each picture without its suffix, made unique by a number.

    Names that differ in case only count as equal, because some file systems do not distinguish them. A name is cut after
    MAX_STEM bytes.

    >>> unique_stems(["a/cat.jpg", "b/Cat.png"])
    ['cat', 'Cat-2']
    """
    stems: list[str] = []
    taken: set[str] = set()
    numbers: dict[
        str, int
    ] = {}  # the last number that was tried for a stem: 10,000 equal stems take no longer than others
    for picture in pictures:
        stem = name = _shorten(Path(picture).stem)
        number = numbers.get(stem.casefold(), 1)
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        numbers[stem.casefold()] = number
        taken.add(name.casefold())
        stems.append(name)
    return stems


def _shorten(stem: str) -> str:
    """The beginning of a stem, so that a file system takes it with a method's name, a number and a suffix."""
    encoded = os.fsencode(stem)
    return stem if len(encoded) <= MAX_STEM else encoded[:MAX_STEM].decode("utf-8", "ignore")


def make_folder(folder: Path, option: str = "--out") -> None:
    """Create a folder and test that files can be written there, before any work starts.

    Raises UserError, which names the command-line `option` that chooses another folder, if nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"The folder '{folder}' cannot be written ({error.strerror}); choose another folder with {option}."
        ) from error


def check_file(path: Path, option: str = "--out") -> None:
    """Test that a file can be written, before any work starts.

    Raises UserError, which names the command-line `option` that chooses another file, if it cannot be written.
    """
    try:
        check_writable(path)
    except OSError as error:
        raise UserError(f"'{path}' cannot be written ({error.strerror}); choose another file with {option}.") from error


def write_file(path: Path, content: bytes) -> str:
    """Write a file atomically and return its path. Raises UserError if that is not possible."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"'{path}' cannot be written ({error.strerror}).") from error
    return str(path)


def print_error(program: str, message: object) -> None:
    """Print the program's name and a message on stderr, in one line. Line breaks within the message become spaces."""
    sys.stderr.write(f"{program}: {' '.join(str(message).split())}\n")


_NATIVE_LINES = (b"INFO:", b"I0000 ", b"WARNING: All log messages before absl::InitializeLog()")


@contextlib.contextmanager
def hide_info_lines() -> Iterator[None]:
    """Hide lines that the native code of LiteRT and TensorFlow prints to stderr and that are no warnings.

    All other lines are held back and printed when the context ends.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held_back:
        stderr = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held_back.seek(0)
            for line in held_back:
                if not line.startswith(_NATIVE_LINES):
                    os.write(2, line)
