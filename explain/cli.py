"""`python -m explain photo.jpg`: explanations as files and a table. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import batch
import capture
from core.cli import Parser, make_folder, print_error, run_command, unique_stems, write_file
from core.errors import UserError, unknown
from core.files import encode_npy, encode_png
from core.images import Picture, read
from explain import registry, render
from explain.api import ExplainSettings
from explain.metrics.quick_trust import quick_trust
from explain.metrics.sanity import trust
from explain.registry import METHODS, Method
from explain.result import Explanation
from models import MODELS
from models.capabilities import lacks
from models.cli import add_model_options, load_model, parse_class, warm_up
from models.layers import layer_table

PROGRAM = "explain"

COLUMNS = ("picture", "method", "class", "probability", "seconds", "passes", "file")
METRICS = ("deletion", "insertion", "stability")  # columns before the file, with --trust
LABEL = 24  # characters of a class label in the table


def main(arguments: Sequence[str] | None = None) -> int:
    """Explain pictures as the arguments say and return the exit status, see `core.cli.run_command`."""
    return run_command(PROGRAM, lambda: _explain_pictures(_parser().parse_intermixed_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        PROGRAM,
        "Show what an image classifier looks at.",
        (
            ('photo.jpg --target "French horn" --method rise --trust', "another class and method, with metrics"),
            ("photos/ --workers 2 --out maps/", "every picture of a folder; run it again to continue"),
        ),
    )
    add = parser.add_argument
    add(
        "pictures",
        nargs="*",
        metavar="photo.jpg",
        help="pictures to explain; folders and patterns such as 'a/**/*.jpg'",
    )
    add_model_options(parser)
    add(
        "--method",
        nargs="+",
        action="extend",
        metavar="NAME",
        help='methods, by default one that fits; "all" for all that the model allows',
    )
    add("--quality", metavar="NAME", help="quick, good or best, in place of a method: about 0.05, 0.5 or 5 seconds")
    add("--target", metavar="LABEL", help="target class, by label or index; by default the predicted class")
    add("--against", metavar="LABEL", help="class to compare the target class with, in two colours")
    add("--colormap", default=render.COLORMAPS[0], metavar="NAME", help=", ".join(render.COLORMAPS))
    add("--opacity", type=float, default=0.6, metavar="X", help="opacity of the colours, 0 to 1; by default 0.6")
    add("--option", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="as listed by --list: patch=48")
    add("--side", type=int, metavar="PIXELS", help="side of the canvas, such as 448 for finer maps")
    add("--smooth", default="", metavar="WAY", help="flip or multiscale: average the maps of several views")
    add("--rectify", default="off", metavar="CORNERS", help="explain the screen in a photo: auto, or x1,y1,...,x4,y4")
    add("--out", type=Path, default=Path("out"), metavar="DIR", help='folder for files, by default "out"')
    add("--trust", action="store_true", help="also measure deletion, insertion and stability; takes five times as long")
    add("--npy", action="store_true", help="also write each heatmap as a float32 .npy file, 0 to 1")
    add("--json", action="store_true", help="print one JSON object per line instead of the table, with a quick check")
    batch.add_batch_options(parser)
    add("--layers", action="store_true", help="print the layers of the model for --option layer=NAME, and exit")
    add("--list", action="store_true", help="print all methods and models, and exit")
    return parser


def _explain_pictures(arguments: argparse.Namespace) -> int:
    """Explain every picture with every method; returns 2 if any of that was impossible, else 0."""
    if arguments.list:
        print(_catalogue())
        return 0
    if arguments.layers:
        print(layer_table(load_model(PROGRAM, arguments)))
        return 0
    if arguments.quality and (arguments.method or arguments.option):
        raise UserError("--quality chooses the method and its options; leave out --method and --option.")
    methods = _methods(arguments.method or ["grad-cam"])
    if not arguments.pictures:
        raise UserError("Give at least one picture: python -m explain photo.jpg (see --help).")
    options = _options(arguments.option, methods)
    render.check_opacity(arguments.opacity)
    render.colours(np.zeros((1, 1)), arguments.colormap)  # raises UserError now, not after the first explanation
    classifier = load_model(PROGRAM, arguments)
    if arguments.quality:
        method, chosen = ExplainSettings(quality=arguments.quality).choose_method(classifier)
        methods, options = _methods([method]), {method: dict(chosen)}
    elif not arguments.method:
        methods = _methods([registry.default_method(classifier)])
        options = _options(arguments.option, methods)
    elif "all" in map(str.lower, arguments.method):
        methods = [method for method in methods if not lacks(classifier, method.needs)]
    target, against = (
        None if text is None else parse_class(text, classifier) for text in (arguments.target, arguments.against)
    )
    all_settings = [
        ExplainSettings(method.name, target, against, arguments.side, arguments.smooth, options[method.name])
        for method in methods
    ]
    make_folder(arguments.out)
    warm_up(classifier)
    if batch.is_batch(arguments.pictures) or arguments.workers or arguments.ray is not None:
        return batch.explain_batch(PROGRAM, arguments, all_settings, classifier)
    errors: set[str] = set()  # an error that concerns every picture is printed once

    def report(error: UserError) -> None:
        if str(error) not in errors:
            print_error(PROGRAM, error)
        errors.add(str(error))

    table = _Table(arguments.pictures, methods, METRICS if arguments.trust else ())
    for image, stem in zip(arguments.pictures, unique_stems(arguments.pictures), strict=True):
        try:
            picture, screen = _rectified(image, arguments.rectify)
        except UserError as error:
            report(error)
            continue
        for note in picture.notes:
            print_error(PROGRAM, f"{image}: {note}")
        for settings in all_settings:
            try:
                explanation = settings.explain(Picture(picture.pixels), classifier)
            except UserError as error:
                report(error)
                continue
            if screen:
                explanation = replace(explanation, parameters=explanation.parameters | {"screen": screen})
            for note in explanation.notes:
                print_error(PROGRAM, f"{image}, {settings.method}: {note}")
            file = arguments.out / f"{stem}.{settings.method}.png"
            sheet = render.sheet(picture.pixels, explanation, arguments.colormap, arguments.opacity)
            overlay = write_file(file, encode_png(sheet))
            heatmap = write_file(file.with_suffix(".npy"), encode_npy(explanation.heatmap)) if arguments.npy else None
            metrics = trust(explanation, classifier, picture.pixels).to_dict() if arguments.trust else {}
            if arguments.json:
                check = quick_trust(explanation, classifier, picture.pixels).to_dict()
                facts = explanation.to_dict() | metrics | {"quick_trust": check}
                facts |= {"notes": [*picture.notes, *explanation.notes]}
                print(json.dumps({"image": image} | facts | {"overlay": overlay, "map": heatmap}), flush=True)
            else:
                table.print_row(image, explanation, metrics, overlay)
    return 2 if errors else 0


def _rectified(image: str, corners: str) -> tuple[Picture, dict[str, Any]]:
    """The picture to explain, and where its screen was: the screen seen from the front, or the whole picture if none.

    `corners`: the value of --rectify.
    """
    picture = read(image)
    if corners == "off":
        return picture, {}
    size = picture.pixels.shape[:2]
    if corners == "auto":
        search = capture.search(picture.pixels)
        if (quad := search.quad) is None:
            return Picture(picture.pixels, (*picture.notes, search.reason)), {}
        notes = (*picture.notes, "A screen was found; its content is explained as seen from the front.")
        return Picture(capture.rectify(picture.pixels, quad), notes), quad.to_dict(size)
    try:
        numbers = [float(number) for number in corners.split(",")]
        quad = capture.quad_from_corners(list(zip(numbers[::2], numbers[1::2], strict=True)), size)
    except ValueError as error:
        reason = str(error) if str(error).endswith(".") else "Give eight numbers, such as 80,60,560,75,550,370,70,350."
        raise UserError(f"{image}: --rectify takes auto, off or x1,y1,x2,y2,x3,y3,x4,y4. {reason}") from error
    return Picture(capture.rectify(picture.pixels, quad), picture.notes), quad.to_dict(size)


def _methods(names: list[str]) -> list[Method]:
    """The methods of those names, each once; "all" stands for all of them."""
    methods: dict[str, Method] = {}
    for name in names:
        if name.lower() == "all":
            methods |= METHODS
        elif Path(name).is_file():
            raise UserError(f"'{name}' is a file, not a method; put the pictures before --method.")
        else:
            method = registry.find_method(name)
            methods[method.name] = method
    return list(methods.values())


def _options(pairs: list[str], methods: list[Method]) -> dict[str, dict[str, Any]]:
    """NAME=VALUE pairs -> the options of each method. Every method that has an option gets it; at least one must have it."""
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"Write an option as NAME=VALUE, such as patch=48, not '{pair}'.")
        texts[name.strip()] = value.strip()
    known = dict.fromkeys(name for method in methods for name in method.options)
    for name in [name for name in texts if name not in known]:
        names = ", ".join(method.name for method in methods)
        if not known:
            raise UserError(f"There are no options for {names}; leave out '{name}'.")
        raise unknown(f"option of {names}", name, known)
    return {method.name: method.parse({n: texts[n] for n in texts if n in method.options}) for method in methods}


class _Table:
    """Prints rows as they are ready. The header comes before the first row; the widths are known in advance."""

    def __init__(self, pictures: Sequence[str], methods: Sequence[Method], metrics: Sequence[str]) -> None:
        self._header: tuple[str, ...] | None = (*COLUMNS[:-1], *metrics, COLUMNS[-1])
        picture = max(map(len, (*pictures, COLUMNS[0])))
        method = max(len(name) for name in (*(method.name for method in methods), COLUMNS[1]))
        widths = (f"<{picture}", f"<{method}", f"<{LABEL}", ">11", ">7", ">6", *(f">{len(name)}" for name in metrics))
        self._row = "  ".join(f"{{:{width}}}" for width in widths) + "  {}"

    def print_row(self, image: str, shown: Explanation, metrics: Mapping[str, float | None], file: str) -> None:
        if self._header:
            print(self._row.format(*self._header))
            self._header = None
        label = shown.label if len(shown.label) <= LABEL else shown.label[: LABEL - 1] + "…"
        cells = (image, shown.method, label, f"{shown.probability:.1%}", f"{shown.seconds:.3f}")
        passes = shown.forward_passes + shown.backward_passes
        print(self._row.format(*cells, passes, *(f"{value:.3f}" for value in metrics.values()), file), flush=True)


def _catalogue() -> str:
    """Methods and models, in aligned columns."""
    name_width = max(map(len, [*METHODS, *MODELS]))
    cost_width = max(len(method.cost) for method in METHODS.values())
    lines = ["Methods"]
    for method in METHODS.values():
        lines.append(f"  {method.name:<{name_width}}  {method.cost:<{cost_width}}  {method.summary}")
        if bounds := method.bounds:
            options = ", ".join(f"{name}={default} ({bounds[name]})" for name, default in method.options.items())
            lines.append(f"  {'':<{name_width}}  {'':<{cost_width}}  --option {options}")
    lines += ["", "Models"]
    for name, model in MODELS.items():
        size, weights = f"{model.parameters / 1e6:.1f} M parameters", f"weights {model.weights}"
        lines.append(f"  {name:<{name_width}}  {size:<{cost_width}}  {model.title}, {model.score}, {weights}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
