"""Whether the same definition gives the same map: python -m benchmarks.parity [--json FILE]

Rank correlation over all pixels of our map with each peer's, on every photograph in samples/ at 224x224, least and mean
over the photographs, for the methods that are defined alike and draw nothing at random. Where a library's definition
differs, the table says how. Needs requirements-bench.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import machine
from benchmarks.peers import MODULES, PEERS, installed, missing, network_of, options_of, versions
from explain import explain
from explain.faithfulness import spearman
from models import load
from models.geometry import resample
from models.picture import read, resize

PHOTOS = Path(__file__).parents[1] / "samples" / "photos"
WANTED = 0.99
# Options with which both sides compute the same thing: a fine integral, and patches that do not overlap.
SAME = {
    "grad-cam": {},
    "grad-cam++": {},
    "layer-cam": {},
    "saliency": {},
    "gradient-x-input": {},
    "guided-backprop": {},
    "integrated-gradients": {"steps": 64},
    "occlusion": {"patch": 32, "stride": 32},
}
POSITIVE = {"grad-cam", "grad-cam++", "layer-cam"}  # the peers keep the positive part only
DIFFERENT = {
    ("grad-cam", "tf-keras-vis"): "enlarges with aligned corners: up to half a cell off",
    ("grad-cam++", "tf-keras-vis"): "enlarges with aligned corners: up to half a cell off",
    ("layer-cam", "tf-keras-vis"): "enlarges with aligned corners: up to half a cell off",
    ("integrated-gradients", "tf-explain"): "leaves out the factor (x - baseline)",
    ("occlusion", "tf-explain"): "grey patches, not black",
}


def correlations(method: str, peer: str) -> list[float]:
    """One figure a photograph."""
    classifier = load("mobilenet_v2")
    network, options = network_of(classifier), options_of(method, **SAME[method])
    found = []
    for photo in sorted(PHOTOS.glob("*.jpg")):
        pixels = resize(read(photo).pixels, (classifier.side, classifier.side))
        ours = explain(pixels, classifier, method, **options)
        theirs = PEERS[method][peer](network, pixels.astype(np.float32)[None], ours.target, options)[0]
        raw = resample(ours.raw, theirs.shape)
        found.append(spearman(np.maximum(raw, 0) if method in POSITIVE else raw, theirs))
    return found


def main() -> None:
    """Print the table; exit with 1 if maps of one definition differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if missing():
        print(missing())
    if not any(map(installed, MODULES)):
        sys.exit("There is nobody to compare with.")
    print(f"{machine.describe()}, {versions()}\n\n| method | peer | least | mean | |\n|---|---|--:|--:|---|")
    rows: list[dict[str, Any]] = []
    for method in SAME:
        for peer in filter(installed, PEERS[method]):
            found = correlations(method, peer)
            why = DIFFERENT.get((method, peer), "")
            rows.append({"method": method, "peer": peer, "correlations": found, "difference": why})
            print(f"| {method} | {peer} | {min(found):.4f} | {mean(found):.4f} | {why} |", flush=True)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"machine": machine.describe(), "peers": versions(), "rows": rows}, indent=1)
        )
    if any(min(row["correlations"]) < WANTED and not row["difference"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
