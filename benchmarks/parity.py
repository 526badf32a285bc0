"""Compare our maps with those of other libraries: python -m benchmarks.parity [--json FILE]

For methods that have the same definition and use no random numbers: the rank correlation of our map with the map of each
other library (peer), over all pixels. The photographs are those of samples/ at 224x224. The table gives the lowest and the
mean correlation. Where a library defines the method in another way, the table says how. Needs requirements-bench.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.peers import (
    MODULES,
    PEERS,
    comparison_network,
    comparison_options,
    describe_missing,
    describe_versions,
    installed,
)
from core.images import read, resize
from explain import explain
from explain.metrics.similarity import spearman
from models import load
from models.geometry import resample

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PHOTOS = Path(__file__).parents[1] / "samples" / "photos"
WANTED = 0.99  # lowest correlation of maps with the same definition
# Options for which both libraries compute the same: a fine integral, and patches that do not overlap.
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
POSITIVE = {"grad-cam", "grad-cam++", "layer-cam"}  # the other libraries return the positive part only
DIFFERENT = {
    ("grad-cam", "tf-keras-vis"): "enlarges with aligned corners: shifts by up to half a cell",
    ("grad-cam++", "tf-keras-vis"): "enlarges with aligned corners: shifts by up to half a cell",
    ("layer-cam", "tf-keras-vis"): "enlarges with aligned corners: shifts by up to half a cell",
    ("integrated-gradients", "tf-explain"): "leaves out the factor (x - baseline)",
    ("occlusion", "tf-explain"): "grey patches, not black",
}


def rank_correlations(method: str, peer: str) -> list[float]:
    """The rank correlation of our map and a peer's map, for each photograph."""
    classifier = load("mobilenet_v2")
    network, options = comparison_network(classifier), comparison_options(method, **SAME[method])
    correlations = []
    for photo in sorted(PHOTOS.glob("*.jpg")):
        pixels = resize(read(photo).pixels, (classifier.side, classifier.side))
        ours = explain(pixels, classifier, method, **options)
        theirs = PEERS[method][peer](network, pixels.astype(np.float32)[None], ours.class_index, options)[0]
        raw = resample(ours.raw, theirs.shape)
        correlations.append(spearman(np.maximum(raw, 0) if method in POSITIVE else raw, theirs))
    return correlations


def main() -> None:
    """Print the table. The exit status is 1 if maps with the same definition differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the correlations to this file")
    arguments = parser.parse_args()
    if describe_missing():
        print(describe_missing())
    if not any(map(installed, MODULES)):
        sys.exit("No other library is installed; there is nothing to compare with.")
    print(f"{machine.describe()}, {describe_versions()}\n")
    print("| method | peer | lowest | mean | different definition |\n|---|---|--:|--:|---|")
    rows: list[dict[str, Any]] = []
    for method in SAME:
        for peer in filter(installed, PEERS[method]):
            correlations = rank_correlations(method, peer)
            difference = DIFFERENT.get((method, peer), "")
            rows.append({"method": method, "peer": peer, "correlations": correlations, "difference": difference})
            figures = f"{min(correlations):.4f} | {mean(correlations):.4f}"
            print(f"| {method} | {peer} | {figures} | {difference} |", flush=True)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"machine": machine.describe(), "peers": describe_versions(), "rows": rows}, indent=1)
        )
    if any(min(row["correlations"]) < WANTED and not row["difference"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
