"""The libraries people use today, behind one signature: what they make of the same network, canvases and budget.

`PEERS[method][peer]` is a function (network, canvases, index, options) -> maps. `network`: a Keras model from canvases
(N, h, w, 3) of RGB in [0, 255] to logits (N, classes) with normalisation inside, see `network_of`. `index`: the class.
`options`: those of our method of that name, `options_of(method)`, so that both work with the same samples, steps and
patches. Maps are float32 (N, h, w), signed where the library's are.

Peers are imported when first called; `missing()` says which are absent. They come from requirements-bench.txt. Each is
called as its own documents say, with its own batch sizes; what it builds and traces once is kept between calls. What is
hidden is black in all: the one colour that every peer offers.
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
    """Whether a peer can be called here."""
    return importlib.util.find_spec(MODULES[peer]) is not None


def versions() -> str:
    """The peers that are here, with their versions."""
    return ", ".join(f"{peer} {version(peer)}" for peer in MODULES if installed(peer))


def missing() -> str:
    """One sentence that says which peers are absent and what to do; empty if none is."""
    absent = [peer for peer in MODULES if not installed(peer)]
    return (
        f"Not here: {', '.join(absent)}; pip install --no-deps -r requirements-bench.txt brings them." if absent else ""
    )


def options_of(method: str, **changed: Any) -> Options:
    """The options of our method for a comparison: its defaults, with black for what is hidden or where a path begins."""
    black = {name: "black" for name in ("fill", "baseline") if name in METHODS[method].options}
    return METHODS[method].check(black | changed)


@cache
def network_of(classifier: Classifier) -> keras.Model:
    """The very Keras network that our own gradients are taken of, with its logits as the only output."""
    import keras

    keras.utils.disable_interactive_logging()  # some peers call predict
    network = classifier._once("itself", lambda network: network)
    return keras.Model(network.inputs, network.outputs[1])


def _xplique(name: str, translate: Callable[[Options], Options] = lambda _: {}) -> Peer:
    """One of Xplique's explainers, its arguments made by `translate` from our options; greatest |value| of channels."""
    explainers: dict[Any, Any] = {}

    def ask(network: keras.Model, canvases: np.ndarray, index: int, options: Options) -> np.ndarray:
        from xplique import attributions

        key = network, tuple(options.items())
        if key not in explainers:
            explainers[key] = getattr(attributions, name)(network, **translate(options))
        targets = np.zeros((len(canvases), network.output_shape[-1]), np.float32)
        targets[:, index] = 1
        found = np.asarray(explainers[key](canvases, targets))
        return found[..., 0] if found.shape[-1] == 1 else np.abs(found).max(-1)

    return ask


def _superpixels(count: int) -> Callable[[Any], np.ndarray]:
    """The same superpixels as ours, for Xplique."""
    from skimage.segmentation import slic

    def cut(canvas: Any) -> np.ndarray:
        picture = np.asarray(canvas).astype(np.uint8)
        return slic(picture, n_segments=count, compactness=10, sigma=1, start_label=0).astype(np.int32)

    return cut


def _tiles(cells: int) -> Callable[[Any], np.ndarray]:
    """The same square tiles as ours, for Xplique."""

    def cut(canvas: Any) -> np.ndarray:
        rows, columns = (np.arange(length) * cells // length for length in canvas.shape[:2])
        return (rows[:, None] * cells + columns).astype(np.int32)

    return cut


def _noisy(options: Options) -> Options:
    return {"reducer": None, "nb_samples": options["samples"], "noise": options["noise"] * 255}


def _vis(module: str, name: str, translate: Callable[[Options], Options]) -> Peer:
    """One of tf-keras-vis' visualisers; `translate` makes its arguments from our options."""
    visualisers: dict[Any, Any] = {}

    def ask(network: keras.Model, canvases: np.ndarray, index: int, options: Options) -> np.ndarray:
        from tf_keras_vis.utils.scores import CategoricalScore

        if network not in visualisers:
            visualiser = getattr(importlib.import_module(f"tf_keras_vis.{module}"), name)
            visualisers[network] = visualiser(network, clone=False)
        score = CategoricalScore([index] * len(canvases))
        return np.asarray(visualisers[network](score, canvases, **translate(options)), np.float32)

    return ask


def _vis_cam(module: str, name: str, translate: Callable[[Options], Options] = lambda _: {}) -> Peer:
    where = {"penultimate_layer": FEATURES, "seek_penultimate_conv_layer": False, "normalize_cam": False}
    return _vis(module, name, lambda options: where | translate(options))


# tf-explain paints its maps at once, so these take its numbers from before that.


def _tf_explain_grad_cam(network: keras.Model, canvases: np.ndarray, index: int, _: Options) -> np.ndarray:
    from tf_explain.core.grad_cam import GradCAM

    found = GradCAM.get_gradients_and_filters(network, canvases, FEATURES, index, use_guided_grads=False)
    cams = GradCAM.generate_ponderated_output(*found)
    return np.stack([cv2.resize(np.asarray(cam), canvases.shape[2:0:-1]) for cam in cams])


def _tf_explain_saliency(network: keras.Model, canvases: np.ndarray, index: int, _: Options) -> np.ndarray:
    from tf_explain.core.vanilla_gradients import VanillaGradients

    return np.abs(np.asarray(VanillaGradients.compute_gradients(canvases, network, index))).max(-1)


def _tf_explain_gradient_x_input(network: keras.Model, canvases: np.ndarray, index: int, _: Options) -> np.ndarray:
    from tf_explain.core.gradients_inputs import GradientsInputs

    return np.asarray(GradientsInputs.compute_gradients(canvases, network, index)).sum(-1)


@cache
def _with_softmax(network: keras.Model) -> keras.Model:
    import keras

    return keras.Model(network.inputs, keras.ops.softmax(network.outputs[0]))


def _tf_explain_smoothgrad(network: keras.Model, canvases: np.ndarray, index: int, options: Options) -> np.ndarray:
    """Of the cross-entropy, and so of probabilities."""
    from tf_explain.core.smoothgrad import SmoothGrad

    count = options["samples"]
    noisy = SmoothGrad.generate_noisy_images(canvases, count, options["noise"] * 255)
    return np.abs(np.asarray(SmoothGrad.get_averaged_gradients(noisy, _with_softmax(network), index, count))).max(-1)


def _tf_explain_ig(network: keras.Model, canvases: np.ndarray, index: int, options: Options) -> np.ndarray:
    """Without the factor (x - baseline): a mean gradient, not an integrated one."""
    from tf_explain.core.integrated_gradients import IntegratedGradients

    way = IntegratedGradients.generate_interpolations(canvases, options["steps"])
    return np.asarray(IntegratedGradients.get_integrated_gradients(way, network, index, options["steps"])).sum(-1)


def _tf_explain_occlusion(network: keras.Model, canvases: np.ndarray, index: int, options: Options) -> np.ndarray:
    """Grey patches of the size of our stride, side by side: about as many passes. 1 - score, so high is important."""
    from tf_explain.core.occlusion_sensitivity import OcclusionSensitivity

    ask = OcclusionSensitivity(batch_size=32).get_sensitivity_map
    return np.stack([ask(network, canvas, index, options["stride"]) for canvas in canvases]).astype(np.float32)


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
        # Its noise is a share of the canvas' own range, and it averages absolute gradients.
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
                "batch_size": 32,  # by default all at once
                "kernel_width": 45.0 * 255,  # its default, for pixels in [0, 1]
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
