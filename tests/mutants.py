"""The known defects of other libraries, put into ours one at a time: python -m tests.mutants [NAME ...]

Each must turn one of the tests named beside it red. The tree is copied to a temporary folder first and the checkout never
touched. Exit status 1 if a defect survives, if its tests are red without it, or if the text it replaces does not occur
exactly once. Not part of `make test`, but tests/test_mutants.py sees to it that the texts still occur.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CAM, GRADIENTS, OCCLUSION = "explain/cam.py", "explain/gradients.py", "explain/perturbation.py"
MASKS, SAMPLING, METRICS = "explain/masks.py", "explain/sampling.py", "explain/faithfulness.py"
GEOMETRY, KERAS, GRADIENT = "models/geometry.py", "models/keras_model.py", "models/gradient.py"


@dataclass(frozen=True)
class Mutant:
    """A defect: `old` text in a `file` becomes `new`, and one of `tests` (a file, or a test in it) is to fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    # Class activation maps
    Mutant(
        "Grad-CAM of positive gradients only (tf-explain)",
        CAM,
        "return view.features @ _gradient(view, target).mean((0, 1))",
        "return view.features @ np.maximum(_gradient(view, target), 0).mean((0, 1))",
        "explain/test_cam.py::test_grad_cam_is_cam_over_the_number_of_cells",
    ),
    Mutant(
        "Grad-CAM with summed gradients",
        CAM,
        "_gradient(view, target).mean((0, 1))",
        "_gradient(view, target).sum((0, 1))",
        "explain/test_cam.py::test_grad_cam_is_cam_over_the_number_of_cells",
    ),
    Mutant(
        "Grad-CAM++ with the mean of the features for their sum (Xplique)",
        CAM,
        "2 * square + view.features.sum((0, 1))",
        "2 * square + view.features.mean((0, 1))",
        "explain/test_cam_family.py::test_identities_of_pooling_and_one_dense_layer",
    ),
    Mutant(
        "Grad-CAM++ without its division (torch-cam)",
        CAM,
        "share = np.divide(square, below, out=np.zeros_like(below), where=below != 0)",
        "share = square",
        "explain/test_cam_family.py::test_identities_of_pooling_and_one_dense_layer",
    ),
    Mutant(
        "XGrad-CAM without its normalisation",
        CAM,
        "np.divide(weighted, total, out=np.zeros_like(total), where=total != 0)",
        "weighted",
        "explain/test_cam_family.py::test_identities_of_pooling_and_one_dense_layer",
    ),
    Mutant(
        "Layer-CAM with negative gradients",
        CAM,
        "(np.maximum(gradient, 0) * activation)",
        "(gradient * activation)",
        "explain/test_cam_family.py::test_identities_of_pooling_and_one_dense_layer",
    ),
    Mutant(
        "Eigen-CAM with the sign that the decomposition happens to give (pytorch-grad-cam)",
        CAM,
        "sign = -1 if projected @ hires_cam(view, target).raw.ravel() < 0 else 1",
        "sign = 1",
        "explain/test_cam_family.py::test_the_sign_of_eigen_cam_is_that_of_the_evidence",
    ),
    Mutant(
        "Score-CAM with a softmax over its scores (tf-keras-vis)",
        CAM,
        "some @ (found - lowest)",
        "some @ (np.exp(found - found.max()) / np.exp(found - found.max()).sum())",
        "explain/test_cam_family.py::test_score_cam_by_brute_force",
    ),
    Mutant(
        "Score-CAM without scaling its masks",
        CAM,
        "_unit(resample(channel, view.geometry.canvas))",
        "resample(channel, view.geometry.canvas)",
        "explain/test_cam_family.py::test_score_cam_by_brute_force",
    ),
    Mutant(
        "Ablation-CAM turned over where the score is negative",
        CAM,
        "(drops / (abs(score) or 1))",
        "(drops / (score or 1))",
        "explain/test_cam_family.py::test_ablation_does_not_turn_over_where_the_score_is_negative",
    ),
    # Taking a Keras model apart
    Mutant(
        "the last convolution for the last activation (Xplique, tf-keras-vis)",
        KERAS,
        "if not spatial or is_passive(_origin(tensor).operation):",
        'if not spatial or not hasattr(_origin(tensor).operation, "filters"):',
        "explain/test_cam.py::test_the_layer_is_the_activation_after_batch_norm",
    ),
    Mutant(
        "a softmax left on",
        KERAS,
        "return (node.input_tensors[0], name) if name else (tensor, None)",
        "return tensor, None",
        "models/test_keras_model.py::test_final_activation_is_taken_off",
    ),
    Mutant(
        "the user's own model changed (keras-io's example)",
        KERAS,
        'config["activation"] = "linear"',
        'config["activation"] = "linear"; layer.activation = keras.activations.linear',
        "models/test_keras_model.py::test_the_users_model_is_untouched",
    ),
    Mutant(
        "normalised twice",
        KERAS,
        'layers.Lambda(preprocess, name="preprocess")',
        'layers.Lambda(lambda x: preprocess(preprocess(x)), name="preprocess")',
        "models/test_keras_model.py::test_preprocess_is_applied_once",
    ),
    Mutant(
        "the two classes of one sigmoid unit swapped",
        KERAS,
        "[[-0.5, 0.5]]",
        "[[0.5, -0.5]]",
        "models/test_keras_model.py::test_one_unit_becomes_two_classes",
    ),
    # Gradients
    Mutant(
        "BatchNorm by the statistics of the batch",
        GRADIENT,
        "return network(batch, training=False)[1]",
        "return network(batch, training=True)[1]",
        "explain/test_saliency.py::test_it_is_the_gradient_of_the_original_model",
    ),
    Mutant(
        "saliency without its absolute value",
        GRADIENTS,
        "np.abs(view.gradient(view.canvas[None], target)[0]).max(-1)",
        "view.gradient(view.canvas[None], target)[0].max(-1)",
        "explain/test_saliency.py::test_a_linear_model_gives_its_weights",
    ),
    Mutant(
        "saliency as the mean over the channels",
        GRADIENTS,
        "np.abs(view.gradient(view.canvas[None], target)[0]).max(-1)",
        "np.abs(view.gradient(view.canvas[None], target)[0]).mean(-1)",
        "explain/test_saliency.py::test_a_linear_model_gives_its_weights",
    ),
    Mutant(
        "IG without the factor (x - baseline) (tf-explain)",
        GRADIENTS,
        "added = (way * total / used).sum(-1)",
        "added = (total / used).sum(-1)",
        "explain/test_gradient_family.py::test_integrated_gradients_of_a_linear_model_are_exact_for_every_number_of_nodes",
    ),
    Mutant(
        "IG with both ends at full weight (PAIR saliency)",
        GRADIENTS,
        "nodes, weights = np.polynomial.legendre.leggauss(steps)",
        "nodes, weights = np.linspace(-1, 1, steps), np.full(steps, 2 / steps)",
        "explain/test_gradient_family.py::test_nodes_are_those_of_gauss_and_legendre",
    ),
    Mutant(
        "IG from black whatever was asked for",
        GRADIENTS,
        "_inside(view, empty(view, kind))",
        '_inside(view, empty(view, "black"))',
        "explain/test_gradient_family.py::test_integrated_gradients_of_a_linear_model_are_exact_for_every_number_of_nodes",
    ),
    Mutant(
        "Blur IG with one width for all steps (PAIR saliency)",
        GRADIENTS,
        "raw += (np.diff(points, axis=0) * gradients)",
        "raw += ((points[-1] - points[-2]) * gradients)",
        "explain/test_gradient_family.py::test_blur_ig_of_a_linear_model_is_what_the_blur_took",
    ),
    Mutant(
        "SmoothGrad with noise of an absolute size (Xplique)",
        GRADIENTS,
        "np.float32(noise * 255)",
        "np.float32(noise)",
        "explain/test_gradient_family.py::test_the_noise_is_a_share_of_the_range_of_pixels",
    ),
    Mutant(
        "a seed that is ignored (Xplique, LIME)",
        GRADIENTS,
        "rng = np.random.default_rng(seed)",
        "rng = np.random.default_rng()",
        "explain/test_gradient_family.py::test_the_seed_decides_the_noise",
    ),
    Mutant(
        "SmoothGrad of absolute gradients (tf-keras-vis)",
        GRADIENTS,
        "total += gradients.sum(0, dtype=np.float64)",
        "total += np.abs(gradients).sum(0, dtype=np.float64)",
        "explain/test_gradient_family.py::test_the_noise_is_a_share_of_the_range_of_pixels",
    ),
    Mutant(
        "VarGrad as the mean square",
        GRADIENTS,
        "squares / done - (total / done) ** 2",
        "squares / done",
        "explain/test_gradient_family.py::test_the_noise_is_a_share_of_the_range_of_pixels",
    ),
    Mutant(
        "guided backpropagation blind to ReLU6 (insikk)",
        GRADIENT,
        "return not operation.negative_slope",
        "return not operation.negative_slope and operation.max_value is None",
        "explain/test_gradient_family.py::test_guided_backpropagation_by_hand",
    ),
    Mutant(
        "guided backpropagation without its gate (tf-keras-vis, where ReLU is a layer)",
        GRADIENT,
        "(on * tf.nn.relu(upstream), None)",
        "(on * upstream, None)",
        "explain/test_gradient_family.py::test_guided_backpropagation_by_hand",
    ),
    Mutant(
        "finite differences that are no quotient",
        GRADIENTS,
        "slopes[chosen] = change / nudge",
        "slopes[chosen] = change",
        "explain/test_gradient_family.py::test_finite_differences_of_a_linear_model_are_sums_of_weights",
    ),
    # Perturbations
    Mutant(
        "occlusion with overlaps added up (Xplique, PAIR saliency)",
        OCCLUSION,
        "drops / np.maximum(coverage, 1)",
        "drops",
        "explain/test_occlusion.py::test_overlapping_patches_give_the_mean_of_their_drops",
    ),
    Mutant(
        "occlusion that leaves out the right and the bottom edge (Xplique)",
        OCCLUSION,
        "return [*range(0, last, stride), last]",
        "return [*range(0, last + 1, stride)]",
        "explain/test_occlusion.py::test_overlapping_patches_give_the_mean_of_their_drops",
    ),
    Mutant(
        "occlusion as 1 - score (tf-explain)",
        OCCLUSION,
        "found = whole - view.scores(",
        "found = 1 - view.scores(",
        "explain/test_occlusion.py::test_disjoint_tiles_hold_their_drop_and_sum_to_the_whole",
    ),
    Mutant(
        "masks that hide what they should keep",
        MASKS,
        "np.multiply(shown, three, out=three)",
        "np.multiply(shown, 1 - three, out=three)",
        "explain/test_perturbation_family.py::test_scores_are_those_of_the_blended_pictures_and_leave_padding_alone",
    ),
    Mutant(
        "RISE divided by N p, with the noise of a constant in it (RISE's own code)",
        SAMPLING,
        "centred @ masks / np.maximum(masks.sum(0), 1e-9)",
        "scores @ masks / (len(masks) * 0.5)",
        "explain/test_sampling.py",
    ),
    Mutant(
        "LIME without an intercept",
        SAMPLING,
        "design, goal = masks - share @ masks, scores - share @ scores",
        "design, goal = masks, scores",
        "explain/test_sampling.py",
    ),
    Mutant(
        "Kernel SHAP without its kernel",
        SAMPLING,
        "weights = [(cells - 1) / (math.comb(cells, s) * s * (cells - s)) for s in sizes]",
        "weights = [1.0 for s in sizes]",
        "explain/test_sampling.py",
    ),
    Mutant(
        "total Sobol indices twice too large",
        SAMPLING,
        ".mean(0) / 2",
        ".mean(0)",
        "explain/test_sampling.py",
    ),
    Mutant(
        "HSIC with a kernel that is not centred",
        SAMPLING,
        "kernel -= kernel.mean(0)",
        "kernel -= 0",
        "explain/test_sampling.py",
    ),
    # Geometry, pictures and colours
    Mutant(
        "maps enlarged with aligned corners: half a cell off (tf-keras-vis)",
        GEOMETRY,
        "grid = cv2.resize(grid, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)",
        'grid = __import__("scipy.ndimage").ndimage.zoom(grid, (height / len(grid), width / len(grid[0])), order=1)',
        "models/test_geometry.py::test_a_cell_lands_on_its_own_pixels",
    ),
    Mutant(
        "maps shrunk without averaging",
        GEOMETRY,
        "cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR",
        "cv2.INTER_LINEAR",
        "models/test_geometry.py",
    ),
    Mutant(
        "width for height",
        GEOMETRY,
        "((canvas[0] - height) // 2, (canvas[1] - width) // 2, height, width)",
        "((canvas[1] - width) // 2, (canvas[0] - height) // 2, height, width)",
        "models/test_geometry.py",
    ),
    Mutant(
        "the padding taken for picture",
        GEOMETRY,
        "grid = resample(grid, self.canvas)[top : top + height, left : left + width]",
        "grid = resample(grid, self.canvas)",
        "models/test_geometry.py",
    ),
    Mutant(
        "maps scaled before they are resized (pytorch-grad-cam)",
        "explain/__init__.py",
        "heatmap, notes = _scale(full, self.method.percentile)",
        "heatmap, notes = np.maximum(geometry.restore(step.raw), 0) / (step.raw.max() or 1), ()",  # resizing is linear
        "explain/test_explain.py::test_scaling_comes_after_resizing",
    ),
    Mutant(
        "an empty map divided by its maximum (keras-io's example)",
        "explain/__init__.py",
        "if greatest == 0:",
        "if greatest < 0:",
        "explain/test_explain.py::test_an_empty_map_is_empty_and_says_so",
    ),
    Mutant(
        "colours in the order of OpenCV (pytorch-grad-cam)",
        "explain/render.py",
        "[:, 0, ::-1]",
        "[:, 0]",
        "explain/test_render.py::test_colours_are_rgb_not_bgr",
    ),
    Mutant(
        "an overlay that adds its colours to the photo (keras-io's example)",
        "explain/render.py",
        "np.ascontiguousarray(pixels), 1 - opacity, 0)",
        "np.ascontiguousarray(pixels), 1, 0)",
        "explain/test_render.py::test_opacity_goes_from_the_photo_to_the_colours",
    ),
    Mutant(
        "the camera's rotation forgotten",
        "models/picture.py",
        "upright = ImageOps.exif_transpose(image)",
        "upright = image.copy()",
        "models/test_picture.py::test_exif_rotation_is_honoured",
    ),
    # Engine and bookkeeping
    Mutant(
        "only the first of several batches",
        "models/engine.py",
        "chunks[0] if len(chunks) == 1 else",
        "chunks[0] if chunks else",
        "models/test_engine.py::test_a_batch_is_its_pictures_one_by_one",
    ),
    Mutant(
        "a converted network that answers NaN is let through",
        "models/engine.py",
        "if not gap < PARITY:",
        "if gap > PARITY:",
        "models/test_engine.py::test_agree_tells_small_from_large_and_nan",
    ),
    Mutant(
        "passes counted by the batch",
        "explain/view.py",
        "self.forward_passes += len(batch)",
        "self.forward_passes += 1",
        "explain/test_state.py::test_passes_are_counted_honestly",
    ),
    # Measures of trust
    Mutant(
        "an area that grows with the number of steps (Quantus)",
        METRICS,
        "np.trapezoid(self.scores, self.fractions)",
        "np.trapezoid(self.scores)",
        "explain/test_faithfulness.py::test_the_area_does_not_depend_on_the_number_of_steps",
    ),
    Mutant(
        "a curve without the untouched picture (Quantus)",
        METRICS,
        "np.linspace(0, len(order), steps + 1)",
        "np.linspace(len(order) / (steps + 1), len(order), steps + 1)",
        "explain/test_faithfulness.py::test_curves_start_and_end_where_they_should",
    ),
    Mutant(
        "deletion from the least important pixel",
        METRICS,
        "np.argsort(-on_canvas",
        "np.argsort(on_canvas",
        "explain/test_faithfulness.py::test_each_step_replaces_the_hottest_pixels",
    ),
    Mutant(
        "ties ranked in the order they come",
        METRICS,
        "return ((last - counts + last - 1) / 2)[inverse]",
        "return np.argsort(np.argsort(values, kind='stable')).astype(float)",
        "explain/test_faithfulness.py::test_spearman_is_scipys_with_ties_too",
    ),
    Mutant(
        "energy of evidence against the class (Xplique's |map|)",
        METRICS,
        "heat = np.maximum(heatmap, 0)",
        "heat = np.abs(heatmap)",
        "explain/test_faithfulness.py::test_pointing_game_and_energy",
    ),
)


def occurrences(mutant: Mutant) -> int:
    """How often the text to be replaced occurs; once is right."""
    return (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)


def copied(folder: Path) -> Path:
    """A copy of the tree, without what is made anew."""
    skipped = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "node_modules")
    return Path(shutil.copytree(ROOT, folder / "tree", ignore=skipped))


def run(tree: Path, *tests: str) -> tuple[int, list[str]]:
    """Pytest's exit status, and the tests that failed."""
    names = [f"tests/{name}" for name in tests]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", *names]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    return done.returncode, re.findall(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)


def main() -> int:
    """Print a line for each defect."""
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or any(word in mutant.name for word in sys.argv[1:])]
    if not chosen:
        sys.exit(f"No defect has {' or '.join(sys.argv[1:])} in its name.")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder))
        red = run(tree, *sorted({mutant.tests for mutant in chosen}))[1]
        for mutant in chosen:
            file = tree / mutant.file
            sound = file.read_text(encoding="utf-8")
            if any(name.startswith(mutant.tests) for name in red):
                killed, says = False, f"{mutant.tests} fails without it"
            elif occurrences(mutant) != 1:
                killed, says = False, f"what it replaces is not once in {mutant.file}"
            else:
                file.write_text(sound.replace(mutant.old, mutant.new), encoding="utf-8")
                code, failed = run(tree, mutant.tests)
                file.write_text(sound, encoding="utf-8")
                killed = code == 1
                says = failed[0] if killed else f"status {code} of {mutant.tests}"
            bad += not killed
            print(f"{'killed' if killed else 'NOT KILLED':10}  {mutant.name}: {says}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} killed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
