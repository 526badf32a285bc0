"""The methods of other libraries (peers) with one signature, for comparisons on the same network, canvases and budget.

`PEERS[method][peer]` is a function (network, canvases, class_index, options) -> maps. Maps are float32 (N, h, w), signed
where those of the library are.

- `network`: a Keras model from canvases (N, h, w, 3), RGB in [0, 255], to logits (N, classes), see `comparison_network`.
- `options`: those of our method of the same name, see `comparison_options`. So both use the same samples, steps and patches.

A peer is imported when it is first called; requirements-bench.txt installs all of them. Each is called as its documentation
says, with its own batch sizes. What it builds and traces once is kept between calls. Hidden pixels are black, because this is
the only colour that all peers offer.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from explain import METHODS
from models.classifier import Classifier

if TYPE_CHECKING:
    import keras

Options = dict[str, Any]
Peer = Callable[["keras.Model", np.ndarray, int, Options], np.ndarray]

MODULES = {"xplique": "xplique", "tf-keras-vis": "tf_keras_vis", "tf-explain": "tf_explain"}
FEATURES = "features"  # the last spatial activation of the embedded networks


def installed(peer: str) -> bool:
    """Whether a peer is installed."""
    return importlib.util.find_spec(MODULES[peer]) is not None


def describe_versions() -> str:
    """The installed peers with their versions."""
    return ", ".join(f"{peer} {version(peer)}" for peer in MODULES if installed(peer))


def describe_missing() -> str:
    """Which peers are not installed and how to install them, in one sentence; empty if all are installed."""
    absent = [peer for peer in MODULES if not installed(peer)]
    return f"Not installed: {', '.join(absent)}; pip install --no-deps -r requirements-bench.txt." if absent else ""


def comparison_options(method: str, **changed: Any) -> Options:
    """The options of our method for a comparison: its defaults, but with a black fill or baseline."""
    black = {name: "black" for name in ("fill", "baseline") if name in METHODS[method].options}
    return METHODS[method].check(black | changed)


@cache
def comparison_network(classifier: Classifier) -> keras.Model:
    """The Keras network that our own gradients use, with its logits as the only output."""
    import keras

    keras.utils.disable_interactive_logging()  # some peers call predict
    network = classifier.cached("itself", lambda network: network)
    return keras.Model(network.inputs, network.outputs[1])


def _xplique(name: str, translate: Callable[[Options], Options] = lambda _: {}) -> Peer:
    """An explainer of Xplique. `translate` makes its arguments from our options. Of several channels: the largest |value|."""
    explainers: dict[Any, Any] = {}

    def compute_maps(network: keras.Model, canvases: np.ndarray, class_index: int, options: Options) -> np.ndarray:
        from xplique import attributions

        key = network, tuple(options.items())
        if key not in explainers:
            explainers[key] = getattr(attributions, name)(network, **translate(options))
        targets = np.zeros((len(canvases), network.output_shape[-1]), np.float32)
        targets[:, class_index] = 1
        maps = np.asarray(explainers[key](canvases, targets))
        return maps[..., 0] if maps.shape[-1] == 1 else np.abs(maps).max(-1)

    return compute_maps


def _superpixels(count: int) -> Callable[[Any], np.ndarray]:
    """A function for Xplique that makes the same superpixels as our methods."""
    from skimage.segmentation import slic

    def cut(canvas: Any) -> np.ndarray:
        picture = np.asarray(canvas).astype(np.uint8)
        return slic(picture, n_segments=count, compactness=10, sigma=1, start_label=0).astype(np.int32)

    return cut


def _tiles(cells: int) -> Callable[[Any], np.ndarray]:
    """A function for Xplique that makes the same square tiles as our methods."""

    def cut(canvas: Any) -> np.ndarray:
        rows, columns = (np.arange(length) * cells // length for length in canvas.shape[:2])
        return (rows[:, None] * cells + columns).astype(np.int32)

    return cut


def _noisy(options: Options) -> Options:
    return {"reducer": None, "nb_samples": options["samples"], "noise": options["noise"] * 255}


def _vis(module: str, name: str, translate: Callable[[Options], Options]) -> Peer:
    """A visualiser of tf-keras-vis. `translate` makes its arguments from our options."""
    visualisers: dict[Any, Any] = {}

    def compute_maps(network: keras.Model, canvases: np.ndarray, class_index: int, options: Options) -> np.ndarray:
        from tf_keras_vis.utils.scores import CategoricalScore

        if network not in visualisers:
            visualiser = getattr(importlib.import_module(f"tf_keras_vis.{module}"), name)
            visualisers[network] = visualiser(network, clone=False)
        score = CategoricalScore([class_index] * len(canvases))
        return np.asarray(visualisers[network](score, canvases, **translate(options)), np.float32)

    return compute_maps


def _vis_cam(module: str, name: str, translate: Callable[[Options], Options] = lambda _: {}) -> Peer:
    layer = {"penultimate_layer": FEATURES, "seek_penultimate_conv_layer": False, "normalize_cam": False}
    return _vis(module, name, lambda options: layer | translate(options))


# tf-explain returns coloured maps. These functions take its numbers from the step before.


def _tf_explain_grad_cam(network: keras.Model, canvases: np.ndarray, class_index: int, _: Options) -> np.ndarray:
    from tf_explain.core.grad_cam import GradCAM

    gradients = GradCAM.get_gradients_and_filters(network, canvases, FEATURES, class_index, use_guided_grads=False)
    cams = GradCAM.generate_ponderated_output(*gradients)
    return np.stack([cv2.resize(np.asarray(cam), canvases.shape[2:0:-1]) for cam in cams])


def _tf_explain_saliency(network: keras.Model, canvases: np.ndarray, class_index: int, _: Options) -> np.ndarray:
    from tf_explain.core.vanilla_gradients import VanillaGradients

    return np.abs(np.asarray(VanillaGradients.compute_gradients(canvases, network, class_index))).max(-1)


def _tf_explain_gradient_x_input(
    network: keras.Model, canvases: np.ndarray, class_index: int, _: Options
) -> np.ndarray:
    from tf_explain.core.gradients_inputs import GradientsInputs

    return np.asarray(GradientsInputs.compute_gradients(canvases, network, class_index)).sum(-1)


@cache
def _with_softmax(network: keras.Model) -> keras.Model:
    import keras

    return keras.Model(network.inputs, keras.ops.softmax(network.outputs[0]))


def _tf_explain_smoothgrad(
    network: keras.Model, canvases: np.ndarray, class_index: int, options: Options
) -> np.ndarray:
    """It differentiates the cross-entropy, so it needs probabilities."""
    from tf_explain.core.smoothgrad import SmoothGrad

    count = options["samples"]
    noisy = SmoothGrad.generate_noisy_images(canvases, count, options["noise"] * 255)
    gradients = SmoothGrad.get_averaged_gradients(noisy, _with_softmax(network), class_index, count)
    return np.abs(np.asarray(gradients)).max(-1)


def _tf_explain_ig(network: keras.Model, canvases: np.ndarray, class_index: int, options: Options) -> np.ndarray:
    """It leaves out the factor (x - baseline): this is a mean gradient."""
    from tf_explain.core.integrated_gradients import IntegratedGradients

    path = IntegratedGradients.generate_interpolations(canvases, options["steps"])
    gradients = IntegratedGradients.get_integrated_gradients(path, network, class_index, options["steps"])
    return np.asarray(gradients).sum(-1)


def _tf_explain_occlusion(network: keras.Model, canvases: np.ndarray, class_index: int, options: Options) -> np.ndarray:
    """Grey patches without overlap, as large as our stride: about as many passes. Its map is 1 - score: high is important."""
    from tf_explain.core.occlusion_sensitivity import OcclusionSensitivity

    compute = OcclusionSensitivity(batch_size=32).get_sensitivity_map
    maps = [compute(network, canvas, class_index, options["stride"]) for canvas in canvases]
    return np.stack(maps).astype(np.float32)


PEERS: dict[str, dict[str, Peer]] = {
    "grad-cam": {
        "xplique": _xplique("GradCAM", lambda _: {"conv_layer": FEATURES}),
        "tf-keras-vis": _vis_cam("gradcam", "Gradcam"),
        "tf-explain": _tf_explain_grad_cam,
    },
    "grad-cam++": {
        "xplique": _xplique("GradCAMPP", lambda _: {"conv_layer": FEATURES}),
        "tf-keras-vis": _vis_cam("gradcam_plus_plus", "GradcamPlusPlus"),
    },
    "layer-cam": {"tf-keras-vis": _vis_cam("layercam", "Layercam")},
    "score-cam": {
        "tf-keras-vis": _vis_cam("scorecam", "Scorecam", lambda options: {"max_N": options["channels"] or None})
    },
    "saliency": {
        "xplique": _xplique("Saliency"),
        "tf-keras-vis": _vis("saliency", "Saliency", lambda _: {"normalize_map": False}),
        "tf-explain": _tf_explain_saliency,
    },
    "gradient-x-input": {
        "xplique": _xplique("GradientInput", lambda _: {"reducer": "sum"}),
        "tf-explain": _tf_explain_gradient_x_input,
    },
    "guided-backprop": {"xplique": _xplique("GuidedBackprop", lambda _: {"reducer": None})},
    "smoothgrad": {
        "xplique": _xplique("SmoothGrad", _noisy),
        # Its noise is a share of the range of the canvas, and it averages absolute gradients.
        "tf-keras-vis": _vis(
            "saliency",
            "Saliency",
            lambda options: {
                "smooth_samples": options["samples"],
                "smooth_noise": options["noise"],
                "normalize_map": False,
            },
        ),
        "tf-explain": _tf_explain_smoothgrad,
    },
    "vargrad": {"xplique": _xplique("VarGrad", _noisy)},
    "integrated-gradients": {
        "xplique": _xplique(
            "IntegratedGradients",
            lambda options: {"reducer": "sum", "steps": options["steps"], "baseline_value": 0.0},
        ),
        "tf-explain": _tf_explain_ig,
    },
    "occlusion": {
        "xplique": _xplique(
            "Occlusion",
            lambda options: {
                "patch_size": options["patch"],
                "patch_stride": options["stride"],
                "occlusion_value": 0.0,
            },
        ),
        "tf-explain": _tf_explain_occlusion,
    },
    "rise": {
        "xplique": _xplique(
            "Rise",
            lambda options: {
                "nb_samples": options["samples"],
                "grid_size": options["cells"],
                "preservation_probability": options["keep"],
                "mask_value": 0.0,
            },
        )
    },
    "lime": {
        "xplique": _xplique(
            "Lime",
            lambda options: {
                "map_to_interpret_space": _superpixels(options["segments"]),
                "nb_samples": options["samples"],
                "ref_value": np.zeros(3, np.float32),
                "batch_size": 32,  # its default is all masks at once
                "kernel_width": 45.0 * 255,  # its default is meant for pixels in [0, 1]
            },
        )
    },
    "kernel-shap": {
        "xplique": _xplique(
            "KernelShap",
            lambda options: {
                "map_to_interpret_space": _tiles(options["cells"]),
                "nb_samples": options["samples"],
                "ref_value": np.zeros(3, np.float32),
            },
        )
    },
    "sobol": {
        "xplique": _xplique(
            "SobolAttributionMethod",
            lambda options: {"grid_size": options["cells"], "nb_design": options["rows"]},
        )
    },
    "hsic": {
        "xplique": _xplique(
            "HsicAttributionMethod",
            lambda options: {"grid_size": options["cells"], "nb_design": options["samples"]},
        )
    },
}
