"""`python -m explain`: what it prints, writes and refuses."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import capture
import models
import samples
from core.images import read
from explain import METHODS, explain, render
from explain.cli import COLUMNS, main
from explain.metrics.sanity import trust
from models import MODELS
from models.cli import warm_up
from models.from_keras import from_keras
from samples.photographs import compose, list_pictures
from tests.networks import picture, small_classifier

ROOT = Path(__file__).parents[2]


def _command(*arguments: object, cwd: Path, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "explain", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def _started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs; it never outlives the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "explain", *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a few pictures, good and bad."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name, seed in {"a.png": 1, "b.png": 2, "sub/a.jpg": 3, "A.bmp": 4}.items():
        Image.fromarray(picture(60, 90, seed)).save(tmp_path / name)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "empty.jpg").touch()
    return tmp_path


def _mistake(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a user's mistake."""
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("explain: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


def test_a_picture_in_a_new_process(folder: Path, cat: Path) -> None:
    """The default: grad-cam by mobilenet_v2, a PNG in out/, a table and not a word more."""
    done = _command(cat, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    header, row = done.stdout.splitlines()
    assert tuple(header.split()) == COLUMNS
    assert [header.index(column) for column in ("picture", "method", "class", "file")] == [
        row.index(text) for text in (str(cat), "grad-cam", "Egyptian cat", "out")
    ]
    assert re.search(r"Egyptian cat +7\d\.\d% +0\.\d{3} +1  out/cat\.grad-cam\.png$", row.replace(os.sep, "/"))
    with Image.open(folder / "out" / "cat.grad-cam.png") as image:
        assert image.mode == "RGB"
        assert image.width == 451
        assert image.height > 300


def test_it_starts_fast_and_imports_little(folder: Path, cat: Path) -> None:
    """Neither TensorFlow nor the page for what needs only forward passes."""
    start = time.perf_counter()
    arguments = ("--method", "grad-cam", "cam", "occlusion", "--option", "patch=96", "stride=96")
    done = _command(cat, *arguments, cwd=folder, python=("-X", "importtime"))
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert {"numpy", "explain", "models"} <= imported
    assert not imported & {"tensorflow", "keras", "gradio", "torch", "jax", "matplotlib", "scipy", "pandas"}
    assert seconds < 15, "half a second on an idle machine"


def test_json_a_line_each(folder: Path, capfd: pytest.CaptureFixture[str], mobilenet) -> None:
    assert main(["a.png", "sub/a.jpg", "--method", "grad-cam", "cam", "--json", "--npy", "--out", "made/here"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["image"], line["method"]) for line in lines] == [
        ("a.png", "grad-cam"), ("a.png", "cam"), ("sub/a.jpg", "grad-cam"), ("sub/a.jpg", "cam"),
    ]  # fmt: skip
    for line in lines:
        assert set(line) == {
            "image", "model", "method", "target", "top", "seconds", "forward_passes", "backward_passes", "overlay", "map",
            "padding_share", "parameters", "notes", "error", "against", "quick_trust",
                "peak",
        }  # fmt: skip
        assert line["model"] == "mobilenet_v2"
        assert set(line["target"]) == {"index", "label", "probability"}
        assert len(line["top"]) == 5
        assert line["target"] == line["top"][0]
        assert (line["forward_passes"], line["backward_passes"], line["notes"]) == (1, 0, [])
        assert line["seconds"] > 0
        explanation = explain(line["image"], mobilenet, line["method"])
        heatmap = np.load(line["map"], allow_pickle=False)
        assert heatmap.dtype == np.float32
        np.testing.assert_array_equal(heatmap, explanation.heatmap)
        with Image.open(line["overlay"]) as image:
            pixels = np.array(Image.open(line["image"]).convert("RGB"))
            np.testing.assert_array_equal(np.array(image), render.sheet(pixels, explanation))
    assert len({line["overlay"] for line in lines} | {line["map"] for line in lines}) == 8
    assert {Path(line["overlay"]).parent for line in lines} == {Path("made/here")}


def test_without_npy_there_is_no_map(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["a.png", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["map"] is None
    assert [path.name for path in (folder / "out").iterdir()] == ["a.grad-cam.png"]


def test_trust_adds_its_grades_to_the_table_and_to_json(folder: Path, capfd, mobilenet) -> None:
    pixels = np.array(Image.open("a.png"))
    graded = {
        name: trust(explain(pixels, mobilenet, name), mobilenet, pixels).to_dict() for name in ("cam", "eigen-cam")
    }
    assert main(["a.png", "--method", *graded, "--trust"]) == 0
    header, *rows = capfd.readouterr().out.splitlines()
    assert tuple(header.split()) == (*COLUMNS[:-1], "deletion", "insertion", "stability", COLUMNS[-1])
    assert [[float(cell) for cell in row.split()[-4:-1]] for row in rows] == [
        [pytest.approx(grade, abs=6e-4) for grade in grades.values()] for grades in graded.values()
    ]
    assert main(["a.png", "--method", *graded, "--trust", "--json"]) == 0
    for line in map(json.loads, capfd.readouterr().out.splitlines()):
        assert {name: line[name] for name in ("deletion", "insertion", "stability")} == graded[line["method"]]
    assert main(["a.png", "--json"]) == 0
    assert "stability" not in json.loads(capfd.readouterr().out)


def test_pictures_of_one_name_do_not_overwrite_each_other(folder: Path) -> None:
    assert main(["a.png", "sub/a.jpg", "A.bmp", "b.png"]) == 0
    names = sorted(path.name for path in (folder / "out").iterdir())
    assert names == ["A-3.grad-cam.png", "a-2.grad-cam.png", "a.grad-cam.png", "b.grad-cam.png"]


def test_a_bad_picture_does_not_stop_the_others(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["a.png", "bad.jpg", "b.png", "nope.png", "empty.jpg", "sub/a.jpg"]) == 2
    out, err = capfd.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["picture", "a.png", "b.png", "sub/a.jpg"]
    complaints = err.splitlines()
    assert len(complaints) == 3
    for line, name in zip(complaints, ("bad.jpg", "nope.png", "empty.jpg"), strict=True):
        assert line.startswith("explain: ")
        assert f"'{name}'" in line


def test_a_bad_picture_in_a_new_process(folder: Path) -> None:
    done = _command("bad.jpg", "a.png", "--json", "--out", "o", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "bad.jpg" in done.stderr
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == ["a.png"]


def test_a_screen_in_a_photograph_is_explained_upright(folder: Path, capfd, mobilenet) -> None:
    """Found, or within the corners given; what is explained is what `capture` makes of them."""
    thumbnails = [path for path in list_pictures(samples.ROOT / "thumbnails") if path.suffix == ".jpg"]
    scene = compose(1005, thumbnails, list_pictures(samples.ROOT / "photos"))
    Image.fromarray(scene.pixels).save("screen.png")
    quad = capture.find_screen(scene.pixels)
    assert quad is not None
    corners = ",".join(str(round(number, 1)) for number in quad.corners.ravel())
    for how in ("auto", corners):
        assert main(["screen.png", "--rectify", how, "--json"]) == 0
        facts = json.loads(capfd.readouterr().out)
        assert facts["parameters"]["screen"]["corners"] == [
            [round(v, 1) for v in point] for point in quad.corners.tolist()
        ]
        upright = capture.rectify(scene.pixels, quad)
        assert facts["parameters"]["size"] == list(upright.shape[:2])
        expected = mobilenet.predict(upright, 1)[0]
        assert facts["top"][0]["label"] == expected.label
        assert facts["top"][0]["probability"] == pytest.approx(expected.probability, abs=0.02)
    assert main(["screen.png", "--json"]) == 0
    assert "screen" not in json.loads(capfd.readouterr().out)["parameters"]


def test_where_no_screen_is_found_the_picture_is_explained(folder: Path, cat: Path, capfd) -> None:
    assert main([str(cat), "--rectify", "auto", "--json"]) == 0
    out, err = capfd.readouterr()
    assert "screen" not in json.loads(out)["parameters"]
    assert capture.search(read(cat).pixels).reason in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "at least one picture"),
        (("--json",), "at least one picture"),
        (("a.png", "--model", "mobilnet_v2"), "did you mean 'mobilenet_v2'"),
        (("a.png", "--method", "grad-cma"), "did you mean 'grad-cam'"),
        (("--method", "cam", "a.png"), "put the pictures before --method"),
        (("a.png", "--target", "egyptian cta"), "did you mean 'Egyptian cat'"),
        (("a.png", "--target", "1000"), "0 to 999"),
        (("a.png", "--colormap", "virdis"), "did you mean 'viridis'"),
        (("a.png", "--opacity", "1.5"), "from 0 to 1"),
        (("a.png", "--opacity", "nan"), "from 0 to 1"),
        (("a.png", "--opacity", "half"), "--opacity"),
        (("a.png", "--method", "saliency", "--option", "patch=8"), "no options for saliency"),
        (("a.png", "--method", "occlusion", "--option", "pathc=8"), "did you mean 'patch'"),
        (("a.png", "--method", "occlusion", "--option", "patch"), "NAME=VALUE"),
        (("a.png", "--method", "occlusion", "--option", "patch=8.5"), "a whole number"),
        (("a.png", "--method", "occlusion", "--option", "patch="), "a whole number"),
        (("a.png", "--method", "occlusion", "--option", "fill=red"), "mean, black, grey"),
        (("a.png", "--method", "occlusion", "--option", "stride=99"), "stride 99 and patch 32"),
        (("a.png", "--out", "a.png"), "--out"),
        (("a.png", "--out", "a.png/deeper"), "--out"),
        (("a.png", "--weights", "w.h5"), "built in"),
        (("a.png", "--model", "vgg16", "--weights", "w.h5"), "no weights file 'w.h5'"),
        (("a.png", "--frobnicate"), "--frobnicate"),
        (("a.png", "--out"), "--out"),
        (("a.png", "--rectify", "maybe"), "Give eight numbers"),
        (("a.png", "--rectify", "1,2,3"), "Give eight numbers"),
        (("a.png", "--rectify=-9,0,80,0,80,50,0,50"), "must lie in the picture"),
        (("a.png", "--rectify", "0,0,80,0,40,10,40,50"), "convex quadrilateral"),
        (("nope.png",), "no file 'nope.png'"),
        (("bad.jpg", "bad.jpg"), "'bad.jpg' is not a picture"),
        (("no\nsuch.png",), "no such.png"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_and_status_2(folder: Path, capfd, arguments: tuple[str, ...], says: str) -> None:
    assert says in _mistake(capfd, *arguments)


def test_a_mistake_in_a_new_process_leaves_nothing_behind(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    done = _command("a.png", "--method", "nonsense", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "shut").mkdir(mode=0o500)
    assert "--out" in _mistake(capfd, "a.png", "--out", "shut")


def test_a_full_disk_is_said_once(folder: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("core.cli.write_atomically", full)
    assert "No space left" in _mistake(capfd, "a.png")


def test_all_methods_share_the_options_they_have(folder: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small network, as saliency needs TensorFlow; the option goes to occlusion alone."""
    monkeypatch.setattr("explain.cli.load_model", lambda program, options: small_classifier("gap"))
    arguments = [
        "a.png",
        "--method",
        "all",
        "cam",
        "--option",
        "samples=64",
        "--option",
        "rows=4",
        "--option",
        "patch=8",
        "--option",
        "stride=8",
        "--json",
    ]
    assert main([*arguments, "--target", "CLASS 1", "--colormap", "jet", "--opacity", "1"]) == 0
    lines = {line["method"]: line for line in map(json.loads, capfd.readouterr().out.splitlines())}
    assert list(lines) == [name for name, method in METHODS.items() if method.family != "attention"]  # no transformer
    assert {line["target"]["label"] for line in lines.values()} == {"class 1"}
    assert lines["occlusion"]["parameters"]["patch"] == 8
    assert "patch" not in lines["cam"]["parameters"]
    explanation = explain("a.png", small_classifier("gap"), "cam", 1)
    with Image.open(folder / "out" / "a.cam.png") as image:
        np.testing.assert_array_equal(np.array(image)[:60], render.colours(explanation.heatmap, "jet"))


def test_a_method_that_a_model_does_not_allow_is_said_once(folder: Path, capfd, monkeypatch) -> None:
    """CAM on a dense head: the other methods and pictures go on."""
    classifier = small_classifier("flat")
    warm_up(classifier)
    capfd.readouterr()  # TensorFlow prints a few lines when it starts
    monkeypatch.setattr("explain.cli.load_model", lambda program, options: classifier)
    assert main(["a.png", "b.png", "--method", "cam", "grad-cam", "--json"]) == 2
    out, err = capfd.readouterr()
    assert [json.loads(line)["image"] for line in out.splitlines()] == ["a.png", "b.png"]
    assert err.count("\n") == 1
    assert "choose grad-cam, " in err


def test_targets_by_label_and_by_index(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for target in ("281", "tabby", "TABBY"):
        assert main(["a.png", "--target", target, "--json"]) == 0
        assert json.loads(capfd.readouterr().out)["target"]["index"] == 281


def test_a_label_that_looks_like_a_number_is_a_label(folder: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.networks import keras_net

    digits = from_keras(keras_net("gap"), ["2", "0", "7"])
    monkeypatch.setattr("explain.cli.load_model", lambda program, options: digits)
    for target, index in {"2": 0, "0": 1, "1": 1}.items():
        assert main(["a.png", "--target", target, "--json"]) == 0
        assert json.loads(capfd.readouterr().out)["target"]["index"] == index


def test_options_may_stand_before_between_and_after_pictures(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "a.png", "--model", "efficientnet_lite0", "b.png", "--method", "cam"]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["image"], line["model"], line["method"]) for line in lines] == [
        (name, "efficientnet_lite0", "cam") for name in ("a.png", "b.png")
    ]


def test_notes_go_to_stderr_and_into_the_json(folder: Path, capfd: pytest.CaptureFixture[str], mobilenet) -> None:
    Image.fromarray(picture(60, 90)).convert("CMYK").save("ink.jpg")
    least = int(np.argmin(mobilenet.forward(mobilenet.geometry((60, 90)).place(picture(60, 90))[None])[1]))
    assert main(["ink.jpg", "--method", "cam", "grad-cam", "--json", "--target", str(least)]) == 0
    out, err = capfd.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert err.count("CMYK") == 1
    assert all("CMYK" in line["notes"][0] for line in lines)
    assert all(line.startswith("explain: ink.jpg") for line in err.splitlines())


def test_list_shows_methods_and_models(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "load", None)
    assert main(["--list"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    for method in METHODS.values():
        line = next(line for line in out.splitlines() if line.split()[:1] == [method.name])
        assert method.cost in line
        assert method.summary in line
    for name in MODELS:
        assert any(line.split()[:1] == [name] for line in out.splitlines())
    assert "patch=32" in out


def test_help_names_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capfd.readouterr().out
    options = ["model", "weights", "method", "target", "colormap", "opacity", "option", "out", "npy", "json", "list"]
    assert all(f"--{option}" in out for option in options)


def test_a_surprise_is_not_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ArithmeticError("no such thing was foreseen")

    monkeypatch.setattr("explain.cli.ExplainSettings.explain", broken)
    with pytest.raises(ArithmeticError, match="foreseen"):
        main(["a.png"])


def test_ctrl_c_is_quiet(folder: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("explain.cli.ExplainSettings.explain", interrupted)
    assert main(["a.png"]) == 130
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="signals are another matter there")
def test_ctrl_c_in_a_new_process(folder: Path, cat: Path) -> None:
    """In the middle of a long method, after a first row has shown that it runs."""
    arguments = [str(cat), "--method", "cam", "occlusion", "--option", "stride=1"]
    with _started(folder, *arguments) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert [path.name for path in (folder / "out").iterdir()] == ["cat.cam.png"]


@pytest.mark.skipif(os.name == "nt", reason="pipes are another matter there")
def test_a_reader_that_leaves_early_is_no_error(folder: Path) -> None:
    with _started(folder, "a.png", "b.png") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 141


def test_a_larger_canvas_and_smoothing(folder: Path, capfd) -> None:
    assert main(["a.png", "--side", "448", "--smooth", "flip", "--json"]) == 0
    line = json.loads(capfd.readouterr().out)
    assert line["forward_passes"] == 2
    assert line["parameters"]["smooth"] == "flip"
    assert max(line["parameters"]["canvas"]) >= 448


def test_a_wrong_canvas_is_one_line(capfd, folder: Path) -> None:
    assert "32 to 1024" in _mistake(capfd, "a.png", "--side", "4")
