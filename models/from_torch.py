"""Make a `Classifier` from a PyTorch module, without changing the module. PyTorch is not installed with Thumbscope."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from core.errors import ModelError, describe_error, unknown
from models import preprocessing
from models.classifier import Classifier, check_labels
from models.forward_engine import ForwardEngine, linear_or, settle
from models.from_function import no_network
from models.geometry import Fit
from models.head import LinearHead
from models.input_layout import InputLayout
from models.outputs import Reading, find_activation
from models.preprocessing import Preprocessing, find_preprocessing

# Modules whose output is a coarser or equal version of their input, by the name of their class.
PASSIVE = {
    "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "Dropout", "Dropout2d", "Identity", "ZeroPad2d",
}  # fmt: skip
ORDER = ("imagenet", "0..1", "-1..1", "0..255", "caffe")  # as PyTorch's own models and tutorials scale pixels


def from_torch(
    module: Any,
    labels: Sequence[str] | None = None,
    size: tuple[int, int] = (224, 224),
    *,
    preprocess: str | None = None,
    fit: Fit | None = None,
    activation: str | None = None,
    channels: int = 3,
    layer: str | None = None,
    name: str | None = None,
) -> Classifier:
    """Make a classifier from a `torch.nn.Module`. It runs on the CPU.

    A copy of the module is used, so later training does not change the classifier. The features are the output of the last
    inner module with height and width that alone determines the result. This is tested: its output for one picture, put into
    the pass of another picture, must give the result of the first. Without such a module there are no class activation maps.
    All methods work but those with guided gradients.

    Args:
        module: Float32 (N, channels, h, w) -> scores (N, classes), logits or probabilities.
        labels: One label per class; by default "class 0", "class 1", ...
        size: Height and width of its input.
        preprocess: How pixels are scaled, such as "imagenet" or "0..1", see `models.preprocessing`. By default the first batch
            normalisation tells, or a comparison on photographs; `classifier.notes` has the result.
        fit: How a picture is fitted to `size`, see `models.geometry`; by default "squash".
        activation: "softmax" or "sigmoid" for a module that gives logits. By default its answers to photographs decide.
        channels: 3, or 1 for grey pictures.
        layer: Name of the inner module with the features, as in `module.named_modules()`.
        name: Name of the classifier, by default the class of the module.

    Returns:
        The classifier.

    Raises:
        ModelError: In one sentence, if the module cannot be used.
        UnknownNameError: If there is no such layer, preprocessing or activation.
    """
    try:
        import torch
    except ImportError as error:
        raise ModelError("from_torch needs PyTorch; install it with: pip install torch.") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"A torch.nn.Module is needed, not {type(module).__name__}.")
    name = name or type(module).__name__
    layout = InputLayout(size[0], size[1], channels, channels_first=True)
    try:
        runner = _Runner(copy.deepcopy(module).cpu().float().eval(), name)
    except Exception as error:  # a user's module may raise any type
        raise ModelError(f"The module '{name}' cannot be copied: {describe_error(error)[:200]}.") from error
    engine = ForwardEngine(runner.run, layout)
    chosen = find_preprocessing(preprocess) if preprocess else None
    statistics, reason = None if chosen else runner.statistics(engine, size), "as chosen"
    if statistics is not None:
        chosen, reason = statistics, "which fits the statistics of the first batch normalisation on photographs"
    runner.find_map(engine, size, layer)
    head: Any = None
    if runner.map is not None:
        features, rows = engine.outputs(preprocessing.photographs(size, count=2))
        assert features is not None
        head = linear_or(_TorchHead(runner, engine), runner.linear(), features, rows)
    return settle(
        name, engine, size, lambda classes: check_labels(labels, classes), lambda: no_network(name), head=head, way=chosen,
        reason=reason, fit=fit, activation=find_activation(activation), linear=runner.ends_linear, layout=layout,
        input_gradient=runner.input_gradient, order=ORDER,
    )  # fmt: skip


class _Runner:
    """Runs a module, with hooks that read or replace the output of one inner module. One thread at a time."""

    def __init__(self, module: Any, name: str) -> None:
        self._module, self._name = module, name
        self._lock = threading.RLock()
        self.map: Any = None  # the inner module with the features
        self.ends_linear = False
        self._last_linear: Any = None
        self._shape: tuple[int, ...] = ()

    def _call(self, inputs: Any) -> Any:
        try:
            outputs = self._module(inputs)
        except Exception as error:  # a user's module may raise any type
            raise ModelError(f"The module '{self._name}' failed: {describe_error(error)[:200]}.") from error
        import torch

        if not isinstance(outputs, torch.Tensor):
            raise ModelError(
                f"'{self._name}' returns {type(outputs).__name__}; it must return one tensor (N, classes)."
            )
        return outputs

    def run(self, inputs: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The features and the outputs for inputs; see `models.forward_engine`."""
        import torch

        kept: list[Any] = []
        with self._lock, torch.no_grad():
            hook = self.map and self.map.register_forward_hook(lambda _, __, output: kept.append(output))
            try:
                outputs = self._call(torch.from_numpy(inputs)).numpy()
            finally:
                if hook:
                    hook.remove()
        self._shape = inputs.shape[1:]
        return (kept[0].numpy().transpose(0, 2, 3, 1).copy() if kept else None), outputs

    def behind(self, features: Any) -> Any:
        """The outputs if the map is replaced by features (N, C, fh, fw), a tensor."""
        import torch

        with self._lock:
            hook = self.map.register_forward_hook(lambda *_: features)
            try:
                return self._call(torch.zeros((len(features), *self._shape)))
            finally:
                hook.remove()

    def input_gradient(self, inputs: np.ndarray, objective: np.ndarray, reading: Reading) -> np.ndarray:
        """See `models.forward_engine.ForwardEngine.gradient`."""
        import torch

        with self._lock, torch.enable_grad():
            leaf = torch.from_numpy(inputs).requires_grad_()
            return gradient_of(self._call(leaf), leaf, objective, reading)

    def statistics(self, engine: ForwardEngine, size: tuple[int, int]) -> Preprocessing | None:
        """The way to scale pixels that fits the first batch normalisation; None without one."""
        import torch

        first = next((m for m in self._module.modules() if isinstance(m, torch.nn.BatchNorm2d)), None)
        if first is None or first.running_mean is None or not bool((first.running_var != 1).any()):
            return None
        pictures = preprocessing.photographs(size)

        def observe(way: Preprocessing) -> np.ndarray:
            seen: list[Any] = []
            hook = first.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
            engine.preprocessing = way
            try:
                engine.outputs(pictures)
            finally:
                hook.remove()
            return np.concatenate([part.numpy().transpose(0, 2, 3, 1) for part in seen])

        return preprocessing.choose_by_statistics(first.running_mean.numpy(), first.running_var.numpy(), observe)

    def find_map(self, engine: ForwardEngine, size: tuple[int, int], layer: str | None) -> None:
        """Set `map`: the last spatial map that alone determines the outputs."""
        import torch

        calls: list[Any] = []
        hooks = [
            module.register_forward_hook(lambda module, _, output: calls.append((module, output)))
            for module in self._module.modules()
        ]
        try:
            self.run(engine.inputs(preprocessing.photographs(size, count=2)))
        finally:
            for hook in hooks:
                hook.remove()
        once = [module for module, _ in calls if sum(other is module for other, _ in calls) == 1]
        order = [module for module, _ in calls if not any(True for _ in module.children())]
        self._last_linear = next((m for m in reversed(order) if isinstance(m, torch.nn.Linear)), None)
        last_output = next((output for module, output in reversed(calls) if module is self._last_linear), None)
        self.ends_linear = last_output is not None and last_output is calls[-1][1]
        maps = [
            module
            for module, output in calls
            if module in once and module is not self._module and isinstance(output, torch.Tensor)
            and output.ndim == 4 and min(output.shape[2:]) > 1
        ]  # fmt: skip
        names = {module: name for name, module in self._module.named_modules()}
        if layer is not None:
            maps = [module for module in maps if names[module] == layer]
            if not maps:
                raise unknown("layer with a spatial map", layer, [name for name in names.values() if name])
        for module in reversed(maps):
            if (layer or type(module).__name__ not in PASSIVE) and self._determines(module, engine, size):
                self.map = module
                return
        if layer is not None:
            raise ModelError(
                f"The layer '{layer}' of '{self._name}' does not determine the result alone; leave `layer` out."
            )

    def _determines(self, module: Any, engine: ForwardEngine, size: tuple[int, int]) -> bool:
        """Whether the output of an inner module, put into another pass, gives its own result."""
        import torch

        before, self.map = self.map, module
        try:
            inputs = engine.inputs(preprocessing.photographs(size, count=2))
            features, outputs = self.run(inputs)
            assert features is not None
            with torch.no_grad():
                again = self.behind(torch.from_numpy(features.transpose(0, 3, 1, 2).copy())).numpy()
            return bool(np.allclose(again, outputs, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(outputs).max()))))
        finally:
            self.map = before

    def linear(self) -> LinearHead | None:
        """The last linear layer as a head of pooling and this layer. Whether it fits is tested elsewhere."""
        if self._last_linear is None:
            return None
        weights = self._last_linear.weight.detach().numpy().T
        bias = self._last_linear.bias
        return LinearHead(weights, np.zeros(weights.shape[1]) if bias is None else bias.detach().numpy())


class _TorchHead:
    """The part of a module behind its map; see `models.head.Head`."""

    has_constant_gradient = False

    def __init__(self, runner: _Runner, engine: ForwardEngine) -> None:
        self._runner, self._engine = runner, engine

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        import torch

        with torch.no_grad():
            outputs = self._runner.behind(_tensor(features)).numpy()
        return np.asarray(self._engine.reading.to_logits(outputs))

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Head`."""
        import torch

        with torch.enable_grad():
            leaf = _tensor(features).requires_grad_()
            return gradient_of(self._runner.behind(leaf), leaf, objective, self._engine.reading).transpose(0, 2, 3, 1)


def _tensor(features: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(features.transpose(0, 3, 1, 2), np.float32))


def gradient_of(outputs: Any, leaf: Any, objective: np.ndarray, reading: Reading) -> np.ndarray:
    """The gradient of objective . logits with respect to a tensor. `reading`: what the outputs mean."""
    import torch

    library = SimpleNamespace(log=torch.log, maximum=lambda values, least: values.clamp(min=least))
    logits = reading.to_logits(outputs, library)
    (logits @ torch.from_numpy(np.asarray(objective, np.float32))).sum().backward()
    return np.asarray(leaf.grad.numpy())
