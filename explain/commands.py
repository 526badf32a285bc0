"""`python -m explain.adversarial` and `python -m explain.visualise`. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explain import adversarial, corruptions, visualise
from explain.cli import Parser, class_index, make_folder, png, run, say, stems, wake, write
from models import DEFAULT, Classifier, UserError, load
from models.picture import read

FRAME = 120  # milliseconds a picture of an animation is shown, and twelve times that the last


def attack(arguments: Sequence[str] | None = None) -> int:
    """Attack pictures as the arguments say. Exit status: see `explain.cli.run`."""
    return run(lambda: _attack(_attack_parser().parse_intermixed_args(arguments)))


def dream(arguments: Sequence[str] | None = None) -> int:
    """Have a classifier paint. Exit status: see `explain.cli.run`."""
    return run(lambda: _dream(_dream_parser().parse_intermixed_args(arguments)))


def animation(frames: Sequence[np.ndarray]) -> bytes:
    """Pictures uint8 (H, W, 3), all of one size, as an animated WebP that plays on and on, resting on the last."""
    file = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in frames)
    durations = [FRAME] * len(rest) + [12 * FRAME]
    first.save(file, "WEBP", save_all=True, append_images=rest, duration=durations, loop=0, quality=85, method=2)
    return file.getvalue()


def _parser(program: str, description: str) -> Parser:
    parser = Parser(f"python -m explain.{program}", description=description, allow_abbrev=False)
    parser.add_argument("--model", default=DEFAULT, metavar="NAME", help=f"classifier, by default {DEFAULT}")
    parser.add_argument("--weights", metavar="FILE", help=".h5 weights for a model of keras.applications")
    parser.add_argument("--steps", type=int, metavar="N", help="how many, by default the method's")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random, by default 0")
    parser.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help='folder for files, by default "out"'
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser


def _attack_parser() -> argparse.ArgumentParser:
    parser = _parser("adversarial", "Change pictures a little so that a classifier takes them for something else.")
    parser.add_argument("pictures", nargs="+", metavar="photo.jpg", help="pictures to attack")
    parser.add_argument("--method", default="pgd", metavar="NAME", help=", ".join(adversarial.ATTACKS))
    parser.add_argument("--target", metavar="LABEL", help="what it shall be taken for; by default anything else")
    parser.add_argument("--norm", metavar="NAME", help="linf (levels of 255) or l2 (pixels in 0 to 1)")
    parser.add_argument("--epsilon", type=float, metavar="X", help="the largest change, by default 4 (linf) or 3 (l2)")
    parser.add_argument(
        "--times", type=float, default=10, metavar="X", help="enlarge the difference, by default 10 times"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--minimal", action="store_true", help="find the smallest epsilon instead")
    what.add_argument("--patch", action="store_true", help="grow one patch that makes all of them the target instead")
    what.add_argument("--corruptions", action="store_true", help="see how noise, blur and so on are withstood instead")
    parser.add_argument("--checks", action="store_true", help="also see what undoes it: JPEG, blur, a photograph, ...")
    return parser


def _prepare(asked: argparse.Namespace) -> Classifier:
    classifier = load(asked.model, asked.weights)
    make_folder(asked.out)
    wake(classifier)
    return classifier


def _attack(asked: argparse.Namespace) -> int:
    classifier = _prepare(asked)
    target = None if asked.target is None else class_index(asked.target, classifier)
    if asked.patch:
        return _patch(asked, classifier, target)
    how = {"norm": asked.norm, "steps": asked.steps, "seed": asked.seed}
    complaints: set[str] = set()  # what concerns every picture is said once
    for image, stem in zip(asked.pictures, stems(asked.pictures), strict=True):
        try:
            if asked.corruptions:
                _corrupt(asked, image, classifier, target)
                continue
            if asked.minimal:
                how["norm"] = asked.norm or "linf"
                search = adversarial.minimal_epsilon(image, classifier, target, method=asked.method, **how)
                if search.attack is None:
                    say(f"{image}: nothing up to {search.tried[-1][0]:g} was enough.")
                    continue
                found = search.attack
            else:
                found = adversarial.attack(image, classifier, asked.method, target, epsilon=asked.epsilon, **how)
        except UserError as error:
            if str(error) not in complaints:
                say(error)
            complaints.add(str(error))
            continue
        files = {
            "attacked": write(asked.out / f"{stem}.{found.method}.png", png(found.attacked)),
            "difference": write(
                asked.out / f"{stem}.{found.method}.difference.png", png(adversarial.difference(found, asked.times))
            ),
        }
        rows = list(adversarial.checks(found, classifier)) if asked.checks else []
        if asked.json:
            cures = {
                row.name: {"seen": row.attacked.label, "undone": row.undone, "restored": row.restored} for row in rows
            }
            print(
                json.dumps({"image": image} | found.facts() | files | ({"checks": cures} if rows else {})), flush=True
            )
            continue
        print(f"{image}: {sentence(found)} {files['attacked']}", flush=True)
        for row in rows:
            print(
                f"  {row.name:28} {row.attacked.label:24} {row.attacked.probability:6.1%}  {verdict(row)}", flush=True
            )
    return 2 if complaints else 0


def sentence(found: adversarial.Attack) -> str:
    """What an attack did, in words."""
    before, now = found.source[0], found.after[0]
    what = f"{before.label} {before.probability:.1%} -> {now.label} {now.probability:.1%}"
    if not found.success:
        what += ", the attack failed" if now.index == before.index else ", not the target"
    size = f"largest change {found.linf}/255, l2 {found.l2:.2f}, SSIM {found.ssim:.4f}"
    return f"{what}; {size}; {found.forward_passes + found.backward_passes} passes, {found.seconds:.1f} s."


def verdict(row: adversarial.Check) -> str:
    """What became of an attack, in words."""
    return (
        "seen as before the attack" if row.restored else "undone, but not as before" if row.undone else "still fooled"
    )


def _corrupt(asked: argparse.Namespace, image: str, classifier: Classifier, target: int | None) -> None:
    whole: dict[str, corruptions.Curve] = {}
    for curve in corruptions.curves(image, classifier, target=target, seed=asked.seed):
        whole[curve.name] = curve
    for curve in whole.values():
        if asked.json:
            print(json.dumps({"image": image, **_facts(curve)}), flush=True)
            continue
        kept = " ".join(f"{probability:6.1%}" for probability in curve.probabilities)
        end = "holds" if curve.breaks is None else f"breaks at {curve.breaks:g}"
        print(
            f"{image}: {curve.target.label}, {curve.name:16} {kept}  {end}; map {curve.correlations[-1]:.2f}",
            flush=True,
        )


def _facts(curve: corruptions.Curve) -> dict[str, Any]:
    return {
        "distortion": curve.name,
        "class": curve.target.label,
        "strengths": curve.strengths,
        "probabilities": curve.probabilities,
        "seen": [prediction.label for prediction in curve.top],
        "correlations": curve.correlations,
        "breaks": curve.breaks,
    }


def _patch(asked: argparse.Namespace, classifier: Classifier, target: int | None) -> int:
    if target is None:
        raise UserError("A patch makes pictures one class; name it with --target.")
    steps = {} if asked.steps is None else {"steps": asked.steps}
    for grown in adversarial.patch(asked.pictures, classifier, target, seed=asked.seed, **steps):
        found = grown
    files = {
        "patch": write(asked.out / f"{found.target.label}.patch.png", png(found.pixels)),
        "example": write(asked.out / f"{found.target.label}.patch.example.png", png(found.example)),
    }
    facts = {
        "target": found.target.label,
        "rate": found.rate,
        "probability": found.target.probability,
        "steps": found.steps,
    }
    if asked.json:
        print(json.dumps(facts | {"seconds": round(found.seconds, 2)} | files), flush=True)
    else:
        print(
            f"{found.target.label}: wins at {found.rate:.0%} of the places; {found.seconds:.1f} s. {files['patch']}",
            flush=True,
        )
    return 0


def _dream_parser() -> argparse.ArgumentParser:
    parser = _parser("visualise", "Have a classifier paint what a class, or a channel of a layer, is to it.")
    parser.add_argument("target", metavar="LABEL", help="a class by label or index; with --layer, a channel's number")
    parser.add_argument("--layer", default="", metavar="NAME", help="a layer whose channel is painted instead")
    parser.add_argument("--start", metavar="photo.jpg", help="a picture to begin with, in place of noise")
    parser.add_argument(
        "--octaves", type=int, default=2, metavar="N", help="from coarse to fine in so many, by default 2"
    )
    parser.add_argument(
        "--smoothness", type=float, default=1.0, metavar="X", help="weight of the total variation, by default 1"
    )
    parser.add_argument(
        "--pull", type=float, default=0.0, metavar="X", help="weight of the distance from the start, by default 0"
    )
    parser.add_argument(
        "--blur", type=float, default=0.0, metavar="X", help="in pixels, every fourth step, by default 0"
    )
    parser.add_argument("--animation", action="store_true", help="also write how it grew, as WebP")
    return parser


def _dream(asked: argparse.Namespace) -> int:
    classifier = _prepare(asked)
    target = asked.target if asked.layer else class_index(asked.target, classifier)
    start = None if asked.start is None else read(asked.start)
    how = {"steps": asked.steps} if asked.steps is not None else {}
    frames = []
    for found in visualise.visualise(
        classifier, target, start, layer=asked.layer, octaves=asked.octaves, smoothness=asked.smoothness,
        pull=asked.pull, blur=asked.blur, seed=asked.seed, every=4 if asked.animation else 1_000_000, **how,
    ):  # fmt: skip
        frames.append(found.pixels)
    name = found.goal.replace("/", "-")
    files = {"picture": write(asked.out / f"{name}.png", png(found.pixels))}
    if asked.animation:
        files["animation"] = write(asked.out / f"{name}.webp", animation(frames))
    if asked.json:
        print(json.dumps(found.facts() | files), flush=True)
    else:
        score = f"{found.score:.2f}" if asked.layer else f"{found.score:.1%}"
        print(
            f"{found.goal}: {score} after {found.step} steps, {found.seconds:.1f} s. {' '.join(files.values())}",
            flush=True,
        )
    return 0
