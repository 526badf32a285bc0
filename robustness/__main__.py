"""`python -m robustness`: attack pictures, or test them on corruptions. Results go to stdout, all messages to stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from core.cli import Parser, print_error, run_command, unique_stems, write_file
from core.errors import UserError
from core.files import encode_png
from core.iterate import last_of
from models import Classifier
from models.cli import model_parser, parse_class, prepare
from robustness.adversarial import amplified_difference, attack, describe_attack
from robustness.attack_methods import ATTACKS
from robustness.corruption_curves import CorruptionCurve, corruption_curves
from robustness.defences import describe_defence, run_defences
from robustness.minimal import find_minimal_perturbation
from robustness.patch import train_patch
from robustness.problem import AttackResult

PROGRAM = "robustness"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status, see `core.cli.run_command`."""
    return run_command(PROGRAM, lambda: _process(_parser().parse_intermixed_args(arguments)))


def _parser() -> Parser:
    parser = model_parser(
        PROGRAM,
        "Attack a classifier with slightly changed pictures, or test it on corrupted pictures.",
        (
            ("photo.jpg --target espresso --epsilon 4 --checks", "change a picture until it is classified as espresso"),
            ("photo.jpg --corruptions", "test noise, blur, JPEG and more at increasing severity"),
        ),
    )
    parser.add_argument("pictures", nargs="+", metavar="photo.jpg", help="pictures to attack")
    parser.add_argument("--method", default="pgd", metavar="NAME", help=", ".join(ATTACKS))
    parser.add_argument("--target", metavar="LABEL", help="target class, by default any other class")
    parser.add_argument("--norm", metavar="NAME", help="linf (values 0 to 255) or l2 (values 0 to 1)")
    parser.add_argument("--epsilon", type=float, metavar="X", help="perturbation budget, by default 4 (linf) or 3 (l2)")
    parser.add_argument(
        "--times", type=float, default=10, metavar="X", help="amplification of the difference picture, by default 10"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--minimal", action="store_true", help="instead, find the smallest epsilon that succeeds")
    mode.add_argument(
        "--patch", action="store_true", help="instead, train one patch that makes all pictures the target"
    )
    mode.add_argument("--corruptions", action="store_true", help="instead, test noise, blur and other corruptions")
    parser.add_argument(
        "--checks", action="store_true", help="also test which operations undo the attack: JPEG, blur and more"
    )
    return parser


def _process(options: argparse.Namespace) -> int:
    classifier = prepare(PROGRAM, options)
    target = None if options.target is None else parse_class(options.target, classifier)
    if options.patch:
        _train_patch(options, classifier, target)
        return 0
    errors: set[str] = set()  # an error that all pictures share is printed once
    for image, stem in zip(options.pictures, unique_stems(options.pictures), strict=True):
        try:
            if options.corruptions:
                _test_corruptions(options, image, classifier, target)
                continue
            result = _attack(options, image, classifier, target)
        except UserError as error:
            if str(error) not in errors:
                print_error(PROGRAM, error)
            errors.add(str(error))
            continue
        if result is not None:
            _report_attack(options, image, stem, classifier, result)
    return 2 if errors else 0


def _attack(options: argparse.Namespace, image: str, classifier: Classifier, target: int | None) -> AttackResult | None:
    """The attack on a picture; with --minimal the one of the smallest epsilon, None if no epsilon succeeds."""
    settings = {"method": options.method, "target": target, "steps": options.steps, "seed": options.seed}
    if not options.minimal:
        return attack(image, classifier, norm=options.norm, epsilon=options.epsilon, **settings)
    search = find_minimal_perturbation(image, classifier, norm=options.norm or "linf", **settings)
    if search.attack is None:
        print_error(PROGRAM, f"{image}: no attack up to epsilon {search.tried[-1][0]:g} succeeded.")
    return search.attack


def _report_attack(
    options: argparse.Namespace, image: str, stem: str, classifier: Classifier, result: AttackResult
) -> None:
    """Write the pictures of an attack and print its facts."""
    name, difference = f"{stem}.{result.method}", amplified_difference(result, options.times)
    files = {
        "attacked": write_file(options.out / f"{name}.png", encode_png(result.attacked)),
        "difference": write_file(options.out / f"{name}.difference.png", encode_png(difference)),
    }
    defences = list(run_defences(result, classifier)) if options.checks else []
    if options.json:
        checks = {"checks": {defence.name: defence.to_dict() for defence in defences}} if defences else {}
        print(json.dumps({"image": image} | result.to_dict() | files | checks), flush=True)
        return
    print(f"{image}: {describe_attack(result)} {files['attacked']}", flush=True)
    for defence in defences:
        prediction = f"{defence.attacked.label:24} {defence.attacked.probability:6.1%}"
        print(f"  {defence.name:28} {prediction}  {describe_defence(defence)}", flush=True)


def _test_corruptions(options: argparse.Namespace, image: str, classifier: Classifier, target: int | None) -> None:
    """Print the complete curve of every corruption."""
    curves: dict[str, CorruptionCurve] = {}
    for curve in corruption_curves(image, classifier, target=target, seed=options.seed):
        curves[curve.name] = curve
    for curve in curves.values():
        if options.json:
            print(json.dumps({"image": image, **curve.to_dict()}), flush=True)
        else:
            print(f"{image}: {_describe_curve(curve)}", flush=True)


def _describe_curve(curve: CorruptionCurve) -> str:
    """The class, the corruption, the probability at every severity, where it fails, and the last heatmap correlation."""
    probabilities = " ".join(f"{probability:6.1%}" for probability in curve.probabilities)
    end = "never fails" if curve.breaking_severity is None else f"fails from {curve.breaking_severity:g}"
    correlation = f"heatmap correlation {curve.correlations[-1]:.2f}"
    return f"{curve.target.label}, {curve.name:16} {probabilities}  {end}; {correlation}"


def _train_patch(options: argparse.Namespace, classifier: Classifier, target: int | None) -> None:
    """Train a patch on all pictures, write it, and print its facts."""
    if target is None:
        raise UserError("A patch needs a target class; name it with --target.")
    settings = {} if options.steps is None else {"steps": options.steps}
    patches = train_patch(options.pictures, classifier, target, seed=options.seed, **settings)
    patch = last_of(patches)
    label = patch.target.label
    files = {
        "patch": write_file(options.out / f"{label}.patch.png", encode_png(patch.pixels)),
        "example": write_file(options.out / f"{label}.patch.example.png", encode_png(patch.example)),
    }
    if options.json:
        print(json.dumps(patch.to_dict() | files), flush=True)
    else:
        print(
            f"{label}: predicted at {patch.rate:.0%} of the positions; {patch.seconds:.1f} s. {files['patch']}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
