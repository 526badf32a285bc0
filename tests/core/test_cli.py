"""The conventions of the commands: exit status, one line on stderr, and files that are written or refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import (
    Parser,
    check_file,
    hide_info_lines,
    make_folder,
    print_error,
    report_renamed_command,
    run_command,
    unique_stems,
    write_file,
)
from core.errors import PictureError, UserError

ROOT = Path(__file__).parents[2]


def raising(error: BaseException):
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize("status", [0, 1, 7])
def test_the_status_of_the_command_is_returned(status: int, capsys) -> None:
    assert run_command("explain", lambda: status) == status
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [UserError("Two\nlines."), PictureError("Two   lines.")])
def test_a_mistake_is_status_2_and_one_line(error: UserError, capsys) -> None:
    assert run_command("explain", raising(error)) == 2
    assert capsys.readouterr() == ("", "explain: Two lines.\n")


def test_ctrl_c_is_status_130_without_words(capsys) -> None:
    assert run_command("explain", raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command("explain", raising(ZeroDivisionError()))


def test_a_closed_pipe_is_status_141_without_words() -> None:
    """In a process of its own, whose stdout nobody reads any more."""
    code = (
        "import sys; from core.cli import run_command; sys.exit(run_command('x', lambda: print('line ' * 9999) or 0))"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_print_error_needs_no_encoding_to_be_one_line(capsys) -> None:
    print_error("audit", "a\r\n\tb")
    assert capsys.readouterr().err == "audit: a b\n"


def test_a_renamed_command_names_the_new_one(capsys) -> None:
    assert report_renamed_command("models.train", "training") == 2
    said = capsys.readouterr().err
    assert said.startswith("models.train: ")
    assert "`python -m training`" in said
    assert said.count("\n") == 1


def test_a_parser_shows_its_examples_and_reports_mistakes_in_one_line() -> None:
    parser = Parser("explain", "Explain it.", [("a.jpg", "one picture"), ("--list", "the methods")])
    parser.add_argument("--method")
    shown = parser.format_help()
    assert "  python -m explain a.jpg\n      one picture\n" in shown
    assert "  python -m explain --list\n      the methods" in shown
    for arguments in (["--no-such-option"], ["--meth", "x"]):  # no abbreviations
        with pytest.raises(UserError, match=r"python -m explain --help") as caught:
            parser.parse_args(arguments)
        assert "\n" not in str(caught.value)


def test_stems_are_unique_even_without_case() -> None:
    pictures = ["a/cat.jpg", "b/CAT.png", "cat.jpg", "cat-2.jpg", "dog.tar.gz"]
    stems = unique_stems(pictures)
    assert stems == ["cat", "CAT-2", "cat-3", "cat-2-2", "dog.tar"]
    assert len({stem.casefold() for stem in stems}) == len(pictures)


def test_ten_thousand_equal_stems_and_long_ones() -> None:
    """Each name is found at the first try: trying all numbers again for each picture took 11 s."""
    stems = unique_stems([f"{number}/frame.jpg" for number in range(10_000)] + ["x/Frame-77.png"])
    assert stems[:3] == ["frame", "frame-2", "frame-3"]
    assert stems[-2:] == ["frame-10000", "Frame-77-2"]
    assert len({stem.casefold() for stem in stems}) == 10_001
    long = unique_stems(["é" * 120 + ".jpg", "é" * 125 + ".jpg"])
    assert [len(f"{stem}.integrated-gradients.png".encode()) <= 255 for stem in long] == [True, True]
    assert len(set(long)) == 2


def test_sigterm_ends_a_command_after_its_temporary_folder_is_removed(tmp_path: Path) -> None:
    code = (
        "import signal, sys, tempfile, time\n"
        "from core.cli import run_command\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job starts with SIGINT ignored
        "def work():\n"
        "    with tempfile.TemporaryDirectory():\n"
        "        print('working', flush=True)\n"
        "        while True: time.sleep(0.01)\n"
        "sys.exit(run_command('work', work))\n"
    )
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (status, "")
        assert list(tmp_path.iterdir()) == []


def test_a_target_is_tried_before_the_work(tmp_path: Path) -> None:
    check_file(tmp_path / "new" / "head.npz")
    assert list((tmp_path / "new").iterdir()) == []
    for wrong in (tmp_path, tmp_path / ("n" * 300), tmp_path / "new" / "head.npz" / "x"):
        (tmp_path / "new" / "head.npz").touch()
        with pytest.raises(UserError, match=r"cannot be written .*--report"):
            check_file(wrong, "--report")


def test_folders_and_files_are_made_or_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "deep"
    make_folder(folder)
    assert list(folder.iterdir()) == []
    assert write_file(folder / "a.bin", b"content") == str(folder / "a.bin")
    assert (folder / "a.bin").read_bytes() == b"content"
    with pytest.raises(UserError, match="--out"):
        make_folder(folder / "a.bin")
    with pytest.raises(UserError, match="--report"):
        make_folder(folder / "a.bin", "--report")
    with pytest.raises(UserError, match=r"b\.bin' cannot be written"):
        write_file(folder / "a.bin" / "b.bin", b"")


def test_hide_info_lines_drops_info_lines_of_native_code_and_keeps_the_rest(capfd) -> None:
    with hide_info_lines():
        os.write(2, b"INFO: Created delegate\nwarning: disk\n")
    os.write(2, b"INFO: after\n")
    assert capfd.readouterr().err == "warning: disk\nINFO: after\n"


def test_hide_info_lines_keeps_the_rest_when_something_fails(capfd) -> None:
    @hide_info_lines()
    def fail() -> None:
        os.write(2, b"cause\n")
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        fail()
    assert capfd.readouterr().err == "cause\n"
