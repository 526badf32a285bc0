"""`python -m visualise LABEL`: feature visualisation of a class or a channel."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from core.cli import Parser, run_command, write_file
from core.files import encode_png
from core.images import read
from models.cli import model_parser, parse_class, prepare
from visualise.optimise import FeatureVisualisation, encode_animation, stream_visualisation

PROGRAM = "visualise"
FRAME_EVERY = 4  # steps between two frames of the animation


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status, see `core.cli.run_command`."""
    return run_command(PROGRAM, lambda: _visualise(_parser().parse_intermixed_args(arguments)))


def _parser() -> Parser:
    parser = model_parser(
        PROGRAM,
        "Feature visualisation: optimise an image until a class, or a channel of a layer, responds strongly.",
        (
            ("tarantula --animation", "the class tarantula, with an animation of the optimisation"),
            ("12 --layer block9-wide", "channel 12 of a layer"),
        ),
    )
    parser.add_argument("target", metavar="LABEL", help="class, by label or index; with --layer, number of a channel")
    parser.add_argument("--layer", default="", metavar="NAME", help="layer, to visualise one of its channels")
    parser.add_argument("--start", metavar="photo.jpg", help="picture to start from, by default noise")
    parser.add_argument(
        "--octaves", type=int, default=2, metavar="N", help="number of stages from coarse to fine, by default 2"
    )
    parser.add_argument(
        "--smoothness", type=float, default=1.0, metavar="X", help="weight of the total variation, by default 1"
    )
    parser.add_argument(
        "--pull", type=float, default=0.0, metavar="X", help="weight that keeps the image near the start, by default 0"
    )
    parser.add_argument(
        "--blur",
        type=float,
        default=0.0,
        metavar="X",
        help="standard deviation of a blur at every fourth step, in pixels, by default 0",
    )
    parser.add_argument("--animation", action="store_true", help="also write an animation (WebP) of the optimisation")
    return parser


def _visualise(options: argparse.Namespace) -> int:
    classifier = prepare(PROGRAM, options)
    target = options.target if options.layer else parse_class(options.target, classifier)
    start = None if options.start is None else read(options.start)
    settings: dict[str, Any] = {} if options.steps is None else {"steps": options.steps}
    for name in ("layer", "octaves", "smoothness", "pull", "blur", "seed"):
        settings[name] = getattr(options, name)
    every = FRAME_EVERY if options.animation else 1_000_000
    images = list(stream_visualisation(classifier, target, start, every=every, **settings))
    files = _write_files(options, images)
    final = images[-1]
    if options.json:
        print(json.dumps(final.to_dict() | files), flush=True)
    else:
        score = f"mean activation {final.score:.2f}" if options.layer else f"{final.score:.1%}"
        paths = " ".join(files.values())
        print(f"{final.goal}: {score} after {final.step} steps, {final.seconds:.1f} s. {paths}", flush=True)
    return 0


def _write_files(options: argparse.Namespace, images: Sequence[FeatureVisualisation]) -> dict[str, str]:
    """Write the final image and, if asked for, the animation; their paths by kind."""
    name = images[-1].goal.replace("/", "-")
    files = {"picture": write_file(options.out / f"{name}.png", encode_png(images[-1].pixels))}
    if options.animation:
        frames = [image.pixels for image in images]
        files["animation"] = write_file(options.out / f"{name}.webp", encode_animation(frames))
    return files


if __name__ == "__main__":
    sys.exit(main())
