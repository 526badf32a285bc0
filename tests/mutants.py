"""Put known defects into the code, one at a time, and see that a test fails: python -m tests.mutants [WORD ...]

Most are defects of other libraries. With words, only the defects with one of these words in their names are tested. The tree
is copied to a temporary folder; the checkout never changes. The exit status is 1 if a defect survives. It is also 1 if its
tests fail without it, or if its code stops with an error of its own, such as an unknown name. This takes minutes and is not
part of `make test`. tests/test_mutants.py tests that every defect can still be put in.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.patterns import Match, find_matches, find_scope, replace_match

ROOT = Path(__file__).parents[1]
CAM, GRADIENT_METHODS = "explain/methods/cam.py", "explain/methods/gradients.py"
PERTURBATION, MASKS, SAMPLING = (f"explain/methods/{name}.py" for name in ("perturbation", "masks", "sampling"))
ATTENTION, READ_ATTENTION = "explain/methods/attention.py", "models/attention.py"
FAITHFULNESS = "explain/metrics/faithfulness.py"
GEOMETRY, GRADIENTS, LITERT = (f"models/{name}.py" for name in ("geometry", "gradients", "litert"))
BROKEN = ("NameError", "UnboundLocalError", "AttributeError", "SyntaxError", "ImportError", "ModuleNotFoundError")
"""Errors of a defect that was put in wrongly."""


@dataclass(frozen=True)
class Mutant:
    """A defect and the tests that find it.

    `place`: a file, and after "::" the function or Class.method. `old`: a pattern (see tests.patterns) that matches exactly
    once in that place. `new`: what replaces it. `tests`: a file in tests/, or a test in it; at least one test must fail.
    """

    name: str
    place: str
    old: str
    new: str
    tests: str

    @property
    def file(self) -> str:
        """The file of the place."""
        return self.place.partition("::")[0]


MUTANTS = (
    # Class activation maps
    Mutant(
        "Grad-CAM of positive gradients only (tf-explain)",
        f"{CAM}::grad_cam",
        "G.mean((0, 1))",
        "np.maximum(G, 0).mean((0, 1))",
        "explain/methods/test_cam.py::test_grad_cam_is_cam_over_the_number_of_cells",
    ),
    Mutant(
        "Grad-CAM with summed gradients",
        f"{CAM}::grad_cam",
        "G.mean((0, 1))",
        "G.sum((0, 1))",
        "explain/methods/test_cam.py::test_grad_cam_is_cam_over_the_number_of_cells",
    ),
    Mutant(
        "Grad-CAM++ with the mean of the features for their sum (Xplique)",
        f"{CAM}::grad_cam_plus_plus",
        "2 * Q + F.sum((0, 1)) * G * Q",
        "2 * Q + F.mean((0, 1)) * G * Q",
        "explain/methods/test_cam_family.py::test_identities_of_pooling_and_one_dense_layer",
    ),
    Mutant(
        "Grad-CAM++ without its division (torch-cam)",
        f"{CAM}::grad_cam_plus_plus",
        "np.divide(Q, D, out=np.zeros_like(D), where=D != 0)",
        "Q",
        "explain/methods/test_cam_family.py::test_identities_of_pooling_and_one_dense_layer",
    ),
    Mutant(
        "XGrad-CAM without its normalisation",
        f"{CAM}::xgrad_cam",
        "np.divide(W, T, out=np.zeros_like(T), where=T != 0)",
        "W",
        "explain/methods/test_cam_family.py::test_identities_of_pooling_and_one_dense_layer",
    ),
    Mutant(
        "Layer-CAM with negative gradients",
        f"{CAM}::layer_cam",
        "np.maximum(G, 0) * A",
        "G * A",
        "explain/methods/test_cam_family.py::test_identities_of_pooling_and_one_dense_layer",
    ),
    Mutant(
        "Eigen-CAM with the sign that the decomposition happens to give (pytorch-grad-cam)",
        f"{CAM}::eigen_cam",
        "-1 if C else 1",
        "1",
        "explain/methods/test_cam_family.py::test_the_sign_of_eigen_cam_is_that_of_the_evidence",
    ),
    Mutant(
        "Score-CAM with a softmax over its scores (tf-keras-vis)",
        f"{CAM}::score_cam",
        "A @ (S - L)",
        "A @ (np.exp(S - S.max()) / np.exp(S - S.max()).sum())",
        "explain/methods/test_cam_family.py::test_score_cam_by_brute_force",
    ),
    Mutant(
        "Score-CAM without scaling its masks",
        f"{CAM}::score_cam",
        "_unit_range(M)",
        "M",
        "explain/methods/test_cam_family.py::test_score_cam_by_brute_force",
    ),
    Mutant(
        "Ablation-CAM turned over where the score is negative",
        f"{CAM}::ablation_cam",
        "D / (abs(S) or 1)",
        "D / (S or 1)",
        "explain/methods/test_cam_family.py::test_ablation_does_not_turn_over_where_the_score_is_negative",
    ),
    # From a Keras model to a classifier
    Mutant(
        "the last convolution for the last activation (Xplique, tf-keras-vis)",
        "models/features.py::find_features",
        "not S or is_passive(origin(T).operation)",
        'not S or not hasattr(origin(T).operation, "filters")',
        "explain/methods/test_cam.py::test_the_layer_is_the_activation_after_batch_norm",
    ),
    Mutant(
        "a softmax left on",
        "models/flat_copy.py::_without_activation",
        "(N.input_tensors[0], A) if A else (T, None)",
        "(T, None)",
        "models/test_from_keras.py::test_final_activation_is_taken_off",
    ),
    Mutant(
        "the user's own model changed (keras-io's example)",
        "models/keras_copy.py::LayerCopies._copy_layer",
        'self.removed = final_activation_name(L.activation)\nC["activation"] = "linear"',
        'C["activation"] = "linear"\nL.activation = keras.activations.linear',
        "models/test_from_keras.py::test_the_users_model_is_untouched",
    ),
    Mutant(
        "normalised twice",
        "models/flat_copy.py::_preprocessed",
        'layers.Lambda(P, name="preprocess")(X)',
        'layers.Lambda(P, name="preprocess")(layers.Lambda(P)(X))',
        "models/test_from_keras.py::test_preprocess_is_applied_once",
    ),
    Mutant(
        "the two classes of one sigmoid unit swapped",
        "models/flat_copy.py::_two_classes",
        "[[-0.5, 0.5]]",
        "[[0.5, -0.5]]",
        "models/test_from_keras.py::test_one_unit_becomes_two_classes",
    ),
    # Gradients
    Mutant(
        "BatchNorm by the statistics of the batch",
        f"{GRADIENTS}::PixelGradient._differentiate",
        "N(B, training=False)",
        "N(B, training=True)",
        "explain/methods/test_saliency.py::test_it_is_the_gradient_of_the_original_model",
    ),
    Mutant(
        "saliency without its absolute value",
        f"{GRADIENT_METHODS}::saliency",
        "np.abs(G).max(-1)",
        "G.max(-1)",
        "explain/methods/test_saliency.py::test_a_linear_model_gives_its_weights",
    ),
    Mutant(
        "saliency as the mean over the channels",
        f"{GRADIENT_METHODS}::saliency",
        "np.abs(G).max(-1)",
        "np.abs(G).mean(-1)",
        "explain/methods/test_saliency.py::test_a_linear_model_gives_its_weights",
    ),
    Mutant(
        "IG without the factor (x - baseline) (tf-explain)",
        f"{GRADIENT_METHODS}::integrated_gradients",
        "(D * T / U).sum(-1)",
        "(T / U).sum(-1)",
        "explain/methods/test_gradients.py::test_integrated_gradients_of_a_linear_model_are_exact_for_every_number_of_nodes",
    ),
    Mutant(
        "IG with both ends at full weight (PAIR saliency)",
        f"{GRADIENT_METHODS}::integrated_gradients",
        "np.polynomial.legendre.leggauss(N)",
        "np.linspace(-1, 1, N), np.full(N, 2 / N)",
        "explain/methods/test_gradients.py::test_nodes_are_those_of_gauss_and_legendre",
    ),
    Mutant(
        "IG from black whatever was asked for",
        f"{GRADIENT_METHODS}::integrated_gradients",
        "make_baseline(V, B)",
        'make_baseline(V, "black")',
        "explain/methods/test_gradients.py::test_integrated_gradients_of_a_linear_model_are_exact_for_every_number_of_nodes",
    ),
    Mutant(
        "Blur IG with one width for all steps (PAIR saliency)",
        f"{GRADIENT_METHODS}::blur_ig",
        "np.diff(P, axis=0)",
        "P[-1] - P[-2]",
        "explain/methods/test_gradients.py::test_blur_ig_of_a_linear_model_is_what_the_blur_took",
    ),
    Mutant(
        "Guided IG with the gradient at the start of each step (PAIR saliency)",
        f"{GRADIENT_METHODS}::guided_ig",
        "X * (G + H)[B] / 2",
        "X * G[B]",
        "explain/methods/test_gradients.py::test_guided_ig_sums_exactly_on_every_path_of_a_quadratic_model",
    ),
    Mutant(
        "FullGrad without absolute values",
        f"{GRADIENTS}::FullGradient.__init__",
        "tf.abs(T[0])",
        "T[0]",
        "explain/methods/test_full_grad.py::test_a_network_by_hand",
    ),
    Mutant(
        "XRAI that counts the pixels of earlier regions again",
        "explain/methods/regions.py::rank_regions",
        "P[~A[P]]",
        "P",
        "explain/methods/test_regions.py::test_a_region_counts_only_with_the_pixels_that_it_adds",
    ),
    Mutant(
        "Guided IG that moves the values with large gradients first",
        f"{GRADIENT_METHODS}::_advance",
        "np.where(C, S, np.inf)",
        "np.where(C, S.max() - S, np.inf)",
        "explain/methods/test_gradients.py::test_the_path_of_guided_ig_is_that_of_the_paper",
    ),
    Mutant(
        "SmoothGrad with noise of an absolute size (Xplique)",
        f"{GRADIENT_METHODS}::_noisy_gradients",
        "np.float32(N * 255)",
        "np.float32(N)",
        "explain/methods/test_gradients.py::test_the_noise_is_a_share_of_the_range_of_pixels",
    ),
    Mutant(
        "a seed that is ignored (Xplique, LIME)",
        f"{GRADIENT_METHODS}::_noisy_gradients",
        "np.random.default_rng(S)",
        "np.random.default_rng()",
        "explain/methods/test_gradients.py::test_the_seed_decides_the_noise",
    ),
    Mutant(
        "SmoothGrad of absolute gradients (tf-keras-vis)",
        f"{GRADIENT_METHODS}::smoothgrad",
        "G.sum(0, dtype=np.float64)",
        "np.abs(G).sum(0, dtype=np.float64)",
        "explain/methods/test_gradients.py::test_the_noise_is_a_share_of_the_range_of_pixels",
    ),
    Mutant(
        "VarGrad as the mean square",
        f"{GRADIENT_METHODS}::vargrad",
        "Q / N - (T / N) ** 2",
        "Q / N",
        "explain/methods/test_gradients.py::test_the_noise_is_a_share_of_the_range_of_pixels",
    ),
    Mutant(
        "guided backpropagation blind to ReLU6 (insikk)",
        f"{GRADIENTS}::GuidedGradient._differentiate",
        "dict.fromkeys(RELUS, F())",
        "dict.fromkeys(RELUS[:1], F())",
        "explain/methods/test_gradients.py::test_guided_backpropagation_by_hand",
    ),
    Mutant(
        "guided backpropagation without its gate (tf-keras-vis, where ReLU is a layer)",
        f"{GRADIENTS}::_guided_relu",
        "tf.nn.relu(U)",
        "U",
        "explain/methods/test_gradients.py::test_guided_backpropagation_by_hand",
    ),
    Mutant(
        "attention rollout without the path around the attention",
        f"{ATTENTION}::attention_rollout",
        "(A + I) / 2",
        "A",
        "explain/methods/test_attention.py::test_rollout_is_the_product_over_the_layers",
    ),
    Mutant(
        "attention rollout from the last layer to the first",
        f"{ATTENTION}::attention_rollout",
        "(A + I) / 2 @ R",
        "R @ ((A + I) / 2)",
        "explain/methods/test_attention.py::test_rollout_is_the_product_over_the_layers",
    ),
    Mutant(
        "gradient attention with what lowers the score",
        f"{READ_ATTENTION}::AttentionGradient.__init__",
        "tf.nn.relu(A * B)",
        "A * B",
        "explain/methods/test_attention.py::test_gradient_attention_is_that_of_a_tape",
    ),
    Mutant(
        "attention to the class token for a network that ends with a mean",
        f"{ATTENTION}::_cells",
        "U @ F / max(U.sum(), 1)",
        "F[0]",
        "explain/methods/test_attention.py::test_rollout_is_the_product_over_the_layers",
    ),
    Mutant(
        "attention of a part of the layers",
        f"{READ_ATTENTION}::has_attention",
        "all(R)",
        "any(R)",
        "explain/methods/test_attention.py::test_a_model_without_readable_attention_says_so",
    ),
    Mutant(
        "finite differences that are no quotient",
        f"{GRADIENT_METHODS}::finite_differences",
        "S[I] = C / N",
        "S[I] = C",
        "explain/methods/test_gradients.py::test_finite_differences_of_a_linear_model_are_sums_of_weights",
    ),
    # Perturbations
    Mutant(
        "occlusion with overlaps added up (Xplique, PAIR saliency)",
        f"{PERTURBATION}::occlusion",
        "S / np.maximum(C, 1)",
        "S",
        "explain/methods/test_occlusion.py::test_overlapping_patches_give_the_mean_of_their_drops",
    ),
    Mutant(
        "occlusion that leaves out the right and the bottom edge (Xplique)",
        f"{PERTURBATION}::_positions",
        "[*range(0, L, S), L]",
        "[*range(0, L + 1, S)]",
        "explain/methods/test_occlusion.py::test_overlapping_patches_give_the_mean_of_their_drops",
    ),
    Mutant(
        "occlusion as 1 - score (tf-explain)",
        f"{PERTURBATION}::occlusion",
        "S - V.scores(B, W)",
        "1 - V.scores(B, W)",
        "explain/methods/test_occlusion.py::test_disjoint_tiles_hold_their_drop_and_sum_to_the_whole",
    ),
    Mutant(
        "masks that hide what they should keep",
        f"{MASKS}::blend",
        "np.multiply(D, M, out=M)",
        "np.multiply(D, 1 - M, out=M)",
        "explain/methods/test_masks.py::test_scores_are_those_of_the_blended_pictures_and_leave_padding_alone",
    ),
    Mutant(
        "RISE divided by N p, with the noise of a constant in it (RISE's own code)",
        f"{SAMPLING}::conditional_mean",
        "C = S - S.mean()\nreturn C @ M / np.maximum(M.sum(0), 1e-9)",
        "return S @ M / (len(M) * 0.5)",
        "explain/methods/test_sampling.py",
    ),
    Mutant(
        "LIME without an intercept",
        f"{SAMPLING}::fit_ridge",
        "Ridge(alpha=P)",
        "Ridge(alpha=P, fit_intercept=False)",
        "explain/methods/test_sampling.py",
    ),
    Mutant(
        "Kernel SHAP without its kernel",
        f"{SAMPLING}::shapley_weights",
        "[(K - 1) / (math.comb(K, N) * N * (K - N)) for N in S]",
        "[1.0 for N in S]",
        "explain/methods/test_sampling.py",
    ),
    Mutant(
        "total Sobol indices twice too large",
        f"{SAMPLING}::total_sobol_indices",
        "X.mean(0) / 2",
        "X.mean(0)",
        "explain/methods/test_sampling.py",
    ),
    Mutant(
        "HSIC with a kernel that is not centred",
        f"{SAMPLING}::hsic_values",
        "K -= K.mean(0)",
        "K -= 0",
        "explain/methods/test_sampling.py",
    ),
    # Geometry, pictures and colours
    Mutant(
        "maps enlarged with aligned corners: half a cell off (tf-keras-vis)",
        f"{GEOMETRY}::resample",
        "cv2.resize(G, (W, H), interpolation=I)",
        '__import__("scipy.ndimage").ndimage.zoom(G, (H / len(G), W / len(G[0])), order=1)',
        "models/test_geometry.py::test_a_cell_lands_on_its_own_pixels",
    ),
    Mutant(
        "maps shrunk without averaging",
        f"{GEOMETRY}::resample",
        "cv2.INTER_AREA if S else cv2.INTER_LINEAR",
        "cv2.INTER_LINEAR",
        "models/test_geometry.py",
    ),
    Mutant(
        "width for height",
        f"{GEOMETRY}::letterboxed",
        "((C[0] - H) // 2, (C[1] - W) // 2, H, W)",
        "((C[1] - W) // 2, (C[0] - H) // 2, H, W)",
        "models/test_geometry.py",
    ),
    Mutant(
        "the padding taken for picture",
        f"{GEOMETRY}::Geometry.restore",
        "resample(G, self.canvas)[T : T + H, L : L + W]",
        "resample(G, self.canvas)",
        "models/test_geometry.py",
    ),
    Mutant(
        "maps scaled before they are resized (pytorch-grad-cam)",
        "explain/api.py::_ExplainRun.make_explanation",
        "R = G.restore(S.raw)\nF = rank(R, O)\n_scale(F, P)",
        "np.maximum(F, 0) / (S.raw.max() or 1), ()",  # resizing is linear
        "explain/test_api.py::test_scaling_comes_after_resizing",
    ),
    Mutant(
        "an empty map divided by its maximum (keras-io's example)",
        "explain/api.py::_scale",
        "G == 0",
        "G < 0",
        "explain/test_api.py::test_an_empty_map_is_empty_and_says_so",
    ),
    Mutant(
        "colours in the order of OpenCV (pytorch-grad-cam)",
        "explain/render.py::_table",
        "C[:, 0, ::-1]",
        "C[:, 0]",
        "explain/test_render.py::test_colours_are_rgb_not_bgr",
    ),
    Mutant(
        "an overlay that adds its colours to the photo (keras-io's example)",
        "explain/render.py::overlay",
        "cv2.addWeighted(C, A, P, 1 - A, 0)",
        "cv2.addWeighted(C, A, P, 1, 0)",
        "explain/test_render.py::test_opacity_goes_from_the_photo_to_the_colours",
    ),
    Mutant(
        "the camera's rotation forgotten",
        "core/images.py::_decode",
        "ImageOps.exif_transpose(I)",
        "I.copy()",
        "core/test_images.py::test_exif_rotation_is_honoured",
    ),
    # Engine and bookkeeping
    Mutant(
        "only the first of several batches",
        "models/engine.py::forward_in_chunks",
        "C[0] if len(C) == 1 else R",
        "C[0] if C else R",
        "models/test_litert.py::test_a_batch_is_its_pictures_one_by_one",
    ),
    Mutant(
        "a converted network that answers NaN is let through",
        f"{LITERT}::check_agreement",
        "not G < MAX_DIFFERENCE",
        "G > MAX_DIFFERENCE",
        "models/test_litert.py::test_agree_tells_small_from_large_and_nan",
    ),
    Mutant(
        "passes counted by the batch",
        "explain/view.py::View.scores",
        "self.forward_passes += len(B)",
        "self.forward_passes += 1",
        "explain/methods/test_state.py::test_passes_are_counted_honestly",
    ),
    # Metrics of trust
    Mutant(
        "an area that grows with the number of steps (Quantus)",
        f"{FAITHFULNESS}::Curve.auc",
        "np.trapezoid(S, F)",
        "np.trapezoid(S)",
        "explain/metrics/test_faithfulness.py::test_the_area_does_not_depend_on_the_number_of_steps",
    ),
    Mutant(
        "a curve without the untouched picture (Quantus)",
        f"{FAITHFULNESS}::_curve",
        "np.linspace(0, N, S + 1)",
        "np.linspace(N / (S + 1), N, S + 1)",
        "explain/metrics/test_faithfulness.py::test_curves_start_and_end_where_they_should",
    ),
    Mutant(
        "deletion from the least important pixel",
        f"{FAITHFULNESS}::order_in_box",
        'np.argsort(-H, axis=None, kind="stable")',
        'np.argsort(H, axis=None, kind="stable")',
        "explain/metrics/test_faithfulness.py::test_each_step_replaces_the_hottest_pixels",
    ),
    Mutant(
        "ties ranked in the order they come",
        "explain/metrics/similarity.py::ranks",
        "rankdata(V) - 1",
        'np.argsort(np.argsort(V, kind="stable")).astype(float)',
        "explain/metrics/test_similarity.py::test_spearman_is_scipys_with_ties_too",
    ),
    Mutant(
        "energy of evidence against the class (Xplique's |map|)",
        "explain/metrics/localisation.py::energy",
        "np.maximum(H, 0)",
        "np.abs(H)",
        "explain/metrics/test_localisation.py::test_pointing_game_and_energy",
    ),
    # Training, attacks, feature visualisation, audit and capture
    Mutant(
        "rates with rows and columns of the confusion matrix exchanged",
        "training/evaluation.py::Evaluation._class_figures",
        "precision_recall_fscore_support(T, P, labels=L, zero_division=0)",
        "precision_recall_fscore_support(P, T, labels=L, zero_division=0)",
        "training/test_evaluation.py::test_rates_of_a_class_that_is_missed_and_a_class_that_is_overpredicted",
    ),
    Mutant(
        "PGD steps downhill",
        "robustness/attack_methods.py::pgd",
        "P + 2.5 * E / N * D",
        "P - 2.5 * E / N * D",
        "robustness/test_attack_methods.py::test_linf_on_a_linear_model_gains_epsilon_times_the_l1_norm",
    ),
    Mutant(
        "a Fourier image rendered without the division by the frequency",
        "visualise/fourier_image.py::FourierImage.render",
        "C * self._scale()",
        "C",
        "visualise/test_fourier_image.py::test_a_photograph_painted_in_waves_is_that_photograph",
    ),
    Mutant(
        "an effect of a cue without its control exchange",
        "audit/summarise.py::_measure_reliances",
        'S["exchanged"][P, :, 0] - S["exchanged"][P, :, 1]',
        'S["margin"][P][:, None] - S["exchanged"][P, :, 1]',
        "audit/test_summarise.py::test_an_effect_is_the_loss_beyond_that_of_the_control_exchange",
    ),
    Mutant(
        "an IoU divided by the first area only",
        "capture/quad.py::iou",
        "max(A + B - S, 1e-9)",
        "max(A, 1e-9)",
        "capture/test_quad.py::test_iou_of_rectangles",
    ),
)


def find_in(mutant: Mutant, source: str) -> list[Match]:
    """What the pattern of a mutant matches in the source of its file; it should be one."""
    return find_matches(find_scope(ast.parse(source), mutant.place.partition("::")[2]), mutant.old)


def mutate(mutant: Mutant, source: str) -> str:
    """The source of a mutant's file with the defect. Raises LookupError unless the pattern matches exactly once."""
    matches = find_in(mutant, source)
    if len(matches) != 1:
        raise LookupError(f"its pattern matches {len(matches)} times in {mutant.place}")
    return replace_match(source, matches[0], mutant.new)


def copy_tree(folder: Path) -> Path:
    """A copy of the checkout without caches and environments."""
    skipped = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "node_modules")
    return Path(shutil.copytree(ROOT, folder / "tree", ignore=skipped))


def run_tests(tree: Path, *tests: str) -> tuple[int, dict[str, str]]:
    """Pytest's exit status, and the error of each test that failed."""
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", *(["-x"] if len(tests) == 1 else [])]
    command = [sys.executable, "-m", "pytest", *options, *(f"tests/{name}" for name in tests)]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "1000"}
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    failures = re.findall(r"^(?:FAILED|ERROR) tests/(.+?)(?: - (.*))?$", done.stdout, re.MULTILINE)
    return done.returncode, dict(failures)


def judge(mutant: Mutant, tree: Path) -> tuple[bool, str]:
    """Whether a defect is killed in a copy of the tree, and the test that kills it or the reason why not."""
    file = tree / mutant.file
    sound = file.read_text(encoding="utf-8")
    try:
        file.write_text(mutate(mutant, sound), encoding="utf-8")
        status, failures = run_tests(tree, mutant.tests)
    except LookupError as error:
        return False, str(error)
    finally:
        file.write_text(sound, encoding="utf-8")
    if status != 1:
        return False, f"status {status} of {mutant.tests}"
    test, error_text = next(iter(failures.items()))
    return not error_text.startswith(BROKEN), f"{test}: {error_text}"


def main() -> int:
    """Test the chosen defects and print a line for each."""
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    if not chosen:
        sys.exit(f"No defect has {' or '.join(words)} in its name.")
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder))
        failing = run_tests(tree, *sorted({mutant.tests for mutant in chosen}))[1]
        for mutant in chosen:
            if any(name.startswith(mutant.tests) for name in failing):
                killed, reason = False, f"{mutant.tests} fails without it"
            else:
                killed, reason = judge(mutant, tree)
            survivors += not killed
            print(f"{'killed' if killed else 'NOT KILLED':10}  {mutant.name}: {reason}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
