"""`python -m explain.audit MODEL DIR --report out/`: has a classifier learned its subjects, or a shortcut?"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from explain.audit import run as running
from explain.audit.measure import SAMPLE
from explain.audit.report import MARK, page, probed
from explain.audit.result import Audit
from explain.cli import Parser, make_folder, quiet, run, say, write
from models import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit as the arguments say. Exit status: see `explain.cli.run`."""
    return run(lambda: _audit(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m explain.audit", description="Has a classifier learned its subjects, or a shortcut?")
    parser.add_argument("model", metavar="MODEL", help="a model's name, or the .npz of one trained here")
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="class folders, named as the model's classes, at any depth"
    )
    parser.add_argument("--subjects", type=Path, metavar="DIR", help="masks (.png, bright is subject) laid out as DIR")
    parser.add_argument("--method", default="grad-cam", metavar="NAME", help="of the heatmaps, by default grad-cam")
    parser.add_argument(
        "--sample",
        type=int,
        default=SAMPLE,
        metavar="N",
        help=f"pictures a class looked at closely, by default {SAMPLE}",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is drawn at random, by default 0")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes, by default none but this one")
    parser.add_argument(
        "--ray", nargs="?", const="local", metavar="ADDRESS", help="run on Ray, started here or joined by its address"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("out"), metavar="DIR", help='where report and figures go, by default "out"'
    )
    return parser


def _audit(asked: argparse.Namespace) -> int:
    if asked.sample < 2 or asked.workers < 0:
        raise UserError("--sample is 2 or more, and --workers 0 or more.")
    begun = time.perf_counter()
    with quiet():
        recipe, strange = running.folder(
            asked.model, asked.folder, asked.subjects, method=asked.method, sample=asked.sample, seed=asked.seed
        )
        make_folder(asked.report)
        auditor = recipe.auditor()
        keep = asked.report / "shards"
        bar = sys.stderr.isatty()

        def progress(done: int, total: int) -> None:
            if bar:
                sys.stderr.write(f"\r{done} of {total} pictures" + ("\n" if done == total else ""))

        found = running.run(recipe, keep=keep, workers=asked.workers, ray=asked.ray, progress=progress)
    for name in strange:
        say(f"The folder '{name}' was left out: {asked.model} has no such class.")
    for _, why in found.refused:
        say(why)
    seconds = time.perf_counter() - begun
    facts = found.facts() | {"seconds": seconds, "files": list(recipe.pictures)}
    files = [
        write(asked.report / "report.html", page(found, auditor).encode()),
        write(asked.report / "audit.json", json.dumps(facts, indent=1).encode()),
        write(asked.report / "maps.npz", _maps(found)),
    ]
    if asked.ray is not None:
        import pyarrow.parquet as parquet

        file = io.BytesIO()
        parquet.write_table(running.table(recipe, keep), file)
        files.append(write(asked.report / "pictures.parquet", file.getvalue()))
    wide = max(len(each.label) for each in found.classes)
    for each in found.classes:
        sys.stdout.write(f"{each.label:<{wide}}  {MARK[each.verdict]:<11}  {each.pictures:6}  {each.sentence}\n")
    sys.stdout.write(f"\n{found.sentence}\n{probed(found)}\n")
    refused = f", {len(found.refused)} could not be read" if found.refused else ""
    sys.stdout.write(f"{found.pictures} pictures in {seconds:.0f} s{refused}: {' '.join(files)}\n")
    return 0


def _maps(found: Audit) -> bytes:
    """Mean maps and spreads (classes, rows, columns), and their labels, as an .npz."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        labels=np.array([each.label for each in found.classes]),
        mean=np.stack([each.heat for each in found.classes]),
        spread=np.stack([each.spread for each in found.classes]),
    )
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
