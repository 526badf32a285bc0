"""`python -m explain photo.jpg`: the same from the command line. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import capture
from explain import METHODS, Explanation, Method, explain, registry, render
from explain.cli import Parser, class_index, make_folder, npy, png, run, say, stems, wake, write
from explain.sanity import trust
from models import DEFAULT, MODELS, UserError, load, unknown
from models.picture import Picture, read

COLUMNS = ("picture", "method", "class", "probability", "seconds", "passes", "file")
GRADES = ("deletion", "insertion", "stability")  # before the file, with --trust


def main(arguments: Sequence[str] | None = None) -> int:
    """Explain pictures as the arguments say. Exit status: see `explain.cli.run`."""
    return run(lambda: _run(_parser().parse_intermixed_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m explain", description="Show what an image classifier looks at.", allow_abbrev=False)
    parser.add_argument("pictures", nargs="*", metavar="photo.jpg", help="pictures to explain")
    parser.add_argument("--model", default=DEFAULT, metavar="NAME", help=f"classifier, by default {DEFAULT}")
    parser.add_argument("--weights", metavar="FILE", help=".h5 weights for a model of keras.applications")
    parser.add_argument(
        "--method", nargs="+", action="extend", metavar="NAME", help='methods, by default grad-cam; "all" for every one'
    )
    parser.add_argument(
        "--target", metavar="LABEL", help="class to explain, by label or index; by default the predicted"
    )
    parser.add_argument(
        "--against", metavar="LABEL", help="another class: why the target rather than that one, in two colours"
    )
    parser.add_argument("--colormap", default=render.COLORMAPS[0], metavar="NAME", help=", ".join(render.COLORMAPS))
    parser.add_argument(
        "--opacity", type=float, default=0.6, metavar="X", help="of the colours, 0 to 1; by default 0.6"
    )
    parser.add_argument(
        "--option", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="of a method, such as patch=48"
    )
    parser.add_argument(
        "--canvas", type=int, metavar="PIXELS", help="look at a larger canvas, such as 448, for finer maps"
    )
    parser.add_argument(
        "--smooth", default="", metavar="WAY", help="flip or multiscale: average the maps of several views"
    )
    parser.add_argument(
        "--rectify", default="off", metavar="CORNERS",
        help="auto: explain the screen in a photograph, where there is one; or its corners, x1,y1,...,x4,y4; by default off",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help='folder for files, by default "out"'
    )
    parser.add_argument(
        "--trust", action="store_true", help="also grade every map: deletion, insertion, stability; five times the work"
    )
    parser.add_argument("--npy", action="store_true", help="also write each heatmap as float32 .npy, 0 to 1")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line in place of the table")
    parser.add_argument("--list", action="store_true", help="print the methods and models there are, and end")
    return parser


def _run(asked: argparse.Namespace) -> int:
    if asked.list:
        print(_catalogue())
        return 0
    methods = _methods(asked.method or ["grad-cam"])
    if not asked.pictures:
        raise UserError("Name at least one picture: python -m explain photo.jpg (see --help).")
    options = _options(asked.option, methods)
    render.overlay(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32), asked.colormap, asked.opacity)  # checks
    classifier = load(asked.model, asked.weights)
    target = None if asked.target is None else class_index(asked.target, classifier)
    against = None if asked.against is None else class_index(asked.against, classifier)
    make_folder(asked.out)
    wake(classifier)

    complaints: set[str] = set()  # what concerns every picture is said once

    def complain(error: UserError) -> None:
        if str(error) not in complaints:
            say(error)
        complaints.add(str(error))

    table = _Table(asked.pictures, methods, GRADES if asked.trust else ())
    for image, stem in zip(asked.pictures, stems(asked.pictures), strict=True):
        try:
            picture, screen = _rectified(image, asked.rectify)
        except UserError as error:
            complain(error)
            continue
        for note in picture.notes:
            say(f"{image}: {note}")
        for method in methods:
            try:
                found = explain(
                    Picture(picture.pixels),
                    classifier,
                    method.name,
                    target,
                    against=against,
                    canvas=asked.canvas,
                    smooth=asked.smooth,
                    **options[method.name],
                )
            except UserError as error:
                complain(error)
                continue
            if screen:
                found = replace(found, parameters=found.parameters | {"screen": screen})
            for note in found.notes:
                say(f"{image}, {method.name}: {note}")
            sheet = render.sheet(picture.pixels, found, asked.colormap, asked.opacity)
            overlay = write(asked.out / f"{stem}.{method.name}.png", png(sheet))
            saved = write(asked.out / f"{stem}.{method.name}.npy", npy(found.heatmap)) if asked.npy else None
            grades = trust(found, classifier, picture.pixels).facts() if asked.trust else {}
            if asked.json:
                facts = found.facts() | grades | {"notes": [*picture.notes, *found.notes]}
                print(json.dumps({"image": image} | facts | {"overlay": overlay, "map": saved}), flush=True)
            else:
                table.print(image, found, overlay, grades)
    return 2 if complaints else 0


def _rectified(image: str, how: str) -> tuple[Picture, dict[str, Any]]:
    """What lies within the corners of a screen in a picture, upright, and the facts of it; all of it where there is none."""
    picture = read(image)
    if how == "off":
        return picture, {}
    size = picture.pixels.shape[:2]
    if how == "auto":
        found = capture.search(picture.pixels)
        if (quad := found.quad) is None:
            return Picture(picture.pixels, (*picture.notes, found.reason)), {}
        notes = (*picture.notes, "A screen was found in it; what it shows is explained, upright.")
        return Picture(capture.rectify(picture.pixels, quad), notes), capture.facts(quad, size)
    try:
        numbers = [float(number) for number in how.split(",")]
        quad = capture.quad_of(list(zip(numbers[::2], numbers[1::2], strict=True)), size)
    except ValueError as error:
        why = str(error) if str(error).endswith(".") else "Give eight numbers, such as 80,60,560,75,550,370,70,350."
        raise UserError(f"{image}: --rectify takes auto, off or x1,y1,x2,y2,x3,y3,x4,y4. {why}") from error
    return Picture(capture.rectify(picture.pixels, quad), picture.notes), capture.facts(quad, size)


def _methods(names: list[str]) -> list[Method]:
    """The methods of those names, each once; "all" stands for all of them."""
    found: dict[str, Method] = {}
    for name in names:
        if name.lower() == "all":
            found |= METHODS
        elif Path(name).is_file():
            raise UserError(f"'{name}' was taken for a method; name pictures before --method.")
        else:
            method = registry.method(name)
            found[method.name] = method
    return list(found.values())


def _options(pairs: list[str], methods: list[Method]) -> dict[str, dict[str, Any]]:
    """NAME=VALUE pairs -> options for each method; a pair goes to every method that has it, and one must."""
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"An option is NAME=VALUE, such as patch=48, not '{pair}'.")
        given[name.strip()] = value.strip()
    known = {name: default for method in methods for name, default in method.options.items()}
    names = ", ".join(method.name for method in methods)
    for name in given:
        if not known:
            raise UserError(f"There are no options for {names}; leave out '{name}'.")
        if name not in known:
            raise unknown(f"option of {names}", name, known)
    return {
        method.name: method.parse({name: text for name, text in given.items() if name in method.options})
        for method in methods
    }


class _Table:
    """Rows as they come, so its widths are settled before the first."""

    def __init__(self, pictures: Sequence[str], methods: Sequence[Method], grades: Sequence[str] = ()) -> None:
        picture = max(len(name) for name in [*pictures, COLUMNS[0]])
        method = max(len(name) for name in [*(m.name for m in methods), COLUMNS[1]])
        self._row = f"{{:<{picture}}}  {{:<{method}}}  {{:<24}}  {{:>11}}  {{:>7}}  {{:>6}}  "
        self._row += "".join(f"{{:>{len(name)}}}  " for name in grades) + "{}"
        self._head = (*COLUMNS[:-1], *grades, COLUMNS[-1])
        self._started = False

    def print(self, image: str, found: Explanation, file: str, grades: Mapping[str, float | None]) -> None:
        if not self._started:
            print(self._row.format(*self._head))
            self._started = True
        label = found.label if len(found.label) <= 24 else found.label[:23] + "…"
        passes = found.forward_passes + found.backward_passes
        facts = (image, found.method, label, f"{found.probability:.1%}", f"{found.seconds:.3f}", passes)
        print(self._row.format(*facts, *(f"{grade:.3f}" for grade in grades.values()), file), flush=True)


def _catalogue() -> str:
    """Methods and models, aligned."""
    wide = max(map(len, [*METHODS, *MODELS]))
    cost = max(len(method.cost) for method in METHODS.values())
    lines = ["Methods"]
    for method in METHODS.values():
        lines.append(f"  {method.name:<{wide}}  {method.cost:<{cost}}  {method.summary}")
        if method.options:
            options = " ".join(f"{name}={default}" for name, default in method.options.items())
            lines.append(f"  {'':<{wide}}  {'':<{cost}}  --option {options}")
    lines += ["", "Models"]
    for name, model in MODELS.items():
        size = f"{model.parameters / 1e6:.1f} M parameters"
        lines.append(f"  {name:<{wide}}  {size:<{cost}}  {model.title}, {model.score}, weights {model.weights}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
