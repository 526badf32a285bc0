"""Read `.onnx` files through onnxruntime: pip install -r requirements-onnx.txt.

onnxruntime runs such a file forwards. Where global average pooling and one or two dense layers end it, the activation before
the pooling becomes another output, and the dense layers are read from the file: the features and the head of the CAM family.
There are no gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ModelError, describe_error, unknown
from core.resources import available_cores
from models.classifier import Activation
from models.engine import BATCH
from models.head import Head, HiddenHead, LinearHead
from models.input_layout import InputLayout, layout_of

MAX_ELEMENTS = 200_000_000  # of one tensor
MAX_BYTES = 2_000_000_000  # of a file of weights beside the model
PASSED = {"Flatten", "Reshape", "Squeeze", "Identity", "Dropout", "Cast"}
FINAL: dict[str, Activation] = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}
TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8,
}  # fmt: skip


@dataclass(frozen=True)
class OnnxModel:
    """What an `.onnx` file holds.

    Args:
        run: Inputs -> features (N, fh, fw, C) or None, and outputs; see `models.forward_engine`.
        layout: Its input.
        most: How many inputs it takes at once.
        head: The part behind the features, or None if none was found.
        final: The final activation that was removed, or None.
        linear: Whether its outputs are those of a dense layer.
        inside: Whether it scales pixels itself.
    """

    run: Any
    layout: InputLayout
    most: int
    head: Head | None
    final: Activation | None
    linear: bool
    inside: bool


def read_onnx(content: bytes, name: str, folder: Path | None = None, output: int | str | None = None) -> OnnxModel:
    """The model in an `.onnx` file.

    Args:
        content: The bytes of the file.
        name: Its name, for errors.
        folder: Where files of weights that it refers to may lie: beside it, and nowhere else. None: such a file is refused.
        output: Index or name of the output with the classes, if there are several.

    Returns:
        The model.

    Raises:
        ModelError: In one sentence, if the file is damaged, too large, or no classifier of pictures.
        UnknownNameError: If there is no such output.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"'{name}' is an ONNX file, which needs onnxruntime; install it with: pip install -r requirements-onnx.txt."
        ) from error
    try:
        graph = _Graph(onnx.load_model_from_string(content), name, folder, output)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = available_cores(), 4
        session = onnxruntime.InferenceSession(
            graph.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        source = session.get_inputs()[0]
        kind = TYPES.get(source.type)
        if kind is None:
            raise ModelError(f"'{name}' takes {source.type}; it must take pictures of numbers.")
    except ModelError:
        raise
    except Exception as error:  # protobuf, onnx and onnxruntime raise many types for damaged files
        reason = describe_error(error)[:200]
        raise ModelError(
            f"'{name}' cannot be used: it is damaged, or has an operation that onnxruntime does not know ({reason})."
        ) from error
    names = [graph.logits, *([graph.features] if graph.features else [])]
    integer = np.dtype(kind).kind == "u"

    def run(inputs: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        values = np.clip(np.rint(inputs), 0, 255) if integer else inputs
        try:
            results = session.run(names, {source.name: values.astype(kind)})
        except Exception as error:  # onnxruntime raises many types
            raise ModelError(f"'{name}' cannot be run ({describe_error(error)[:200]}).") from error
        outputs = np.asarray(results[0], np.float32)
        features = np.ascontiguousarray(results[1].transpose(0, 2, 3, 1), np.float32) if graph.features else None
        return features, outputs.reshape(len(outputs), -1) if outputs.ndim == 4 else outputs

    batch = source.shape[0]
    return OnnxModel(
        run, layout_of(name, source.shape), batch if isinstance(batch, int) and batch > 0 else BATCH, graph.head, graph.final,
        graph.linear, graph.scales_inside(),
    )  # fmt: skip


class _Graph:
    """The nodes of a file: checked, with the ends of a classifier found, and with the tensors that it needs as outputs."""

    def __init__(self, model: Any, name: str, folder: Path | None, output: int | str | None) -> None:
        from onnx import helper, numpy_helper

        self.model, self._name = model, name
        graph = model.graph
        self._embed_weights(folder)
        for tensor in graph.initializer:
            if np.prod([float(size) for size in tensor.dims]) > MAX_ELEMENTS:
                raise ModelError(f"'{name}' cannot be used: one of its tensors has more than {MAX_ELEMENTS} values.")
        self._check_sizes()
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                self._constants[node.output[0]] = node.attribute[0].t
        self._to_array = numpy_helper.to_array
        self._maker = {made: node for node in graph.node for made in node.output}
        self._inputs = [value.name for value in graph.input if value.name not in self._constants]
        if len(self._inputs) != 1:
            raise ModelError(f"'{name}' has {len(self._inputs)} inputs; it must take one picture.")
        self.logits = self._choose([value.name for value in graph.output], output)
        node = self._maker.get(self.logits)
        self.final: Activation | None = FINAL.get(node.op_type) if node is not None else None
        if self.final and node is not None:
            self.logits = node.input[0]
        self.features, self.head = self._find_head()
        last = self._made_by(self.logits)
        self.linear = self.final is None and last is not None and last.op_type in ("Gemm", "MatMul", "Add")
        del graph.output[:]
        for tensor in (self.logits, self.features):
            if tensor:
                graph.output.append(helper.make_empty_tensor_value_info(tensor))

    def _choose(self, names: list[str], output: int | str | None) -> str:
        if output is None and len(names) != 1:
            raise ModelError(f"'{self._name}' has {len(names)} outputs ({', '.join(names)}); choose one with output=.")
        index: Any = output if output is not None else 0
        if isinstance(index, str) and index in names:
            return index
        if str(index).isdecimal() and int(index) < len(names):
            return names[int(index)]
        raise unknown("output", index, names)

    def _embed_weights(self, folder: Path | None) -> None:
        """Put weights that lie in a file beside the model into the model. No other file is read."""
        from onnx import TensorProto

        attributes = [attribute for node in self.model.graph.node for attribute in node.attribute]
        inner = [a for a in attributes if a.type in (a.GRAPH, a.GRAPHS)]
        tensors = [*self.model.graph.initializer, *(a.t for a in attributes if a.HasField("t"))]
        for attribute in inner:
            for graph in (attribute.g, *attribute.graphs):
                if any(tensor.data_location == TensorProto.EXTERNAL for tensor in graph.initializer):
                    raise ModelError(f"'{self._name}' refers to other files inside a branch; save it as one file.")
        for tensor in tensors:
            if tensor.data_location != TensorProto.EXTERNAL:
                continue
            facts = {entry.key: entry.value for entry in tensor.external_data}
            file = facts.get("location", "")
            path = folder / file if folder and file == Path(file).name and file not in ("", "..") else None
            if path is None or path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BYTES:
                raise ModelError(
                    f"'{self._name}' has its weights in another file, '{file[:80]}', which is not beside it; "
                    "save it as one file, with external_data=False."
                )
            with path.open("rb") as stream:
                stream.seek(int(facts.get("offset", 0)))
                tensor.raw_data = stream.read(int(facts["length"]) if "length" in facts else -1)
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]

    def _check_sizes(self) -> None:
        """Raise ModelError if a tensor that has a fixed size is too large, before anything is run."""
        from onnx import shape_inference

        try:
            inferred = shape_inference.infer_shapes(self.model, data_prop=True).graph
        except Exception:  # noqa: BLE001  (the shapes of some valid models cannot be inferred)
            return
        for value in (*inferred.value_info, *inferred.input, *inferred.output):
            sizes = [float(dim.dim_value or 1) for dim in value.type.tensor_type.shape.dim]
            if np.prod(sizes) > MAX_ELEMENTS:
                raise ModelError(
                    f"'{self._name}' cannot be used: one of its tensors has more than {MAX_ELEMENTS} values."
                )

    def _made_by(self, name: str) -> Any:
        """The node that makes a tensor; nodes that change its form only are passed."""
        node = self._maker.get(name)
        while node is not None and node.op_type in PASSED:
            node = self._maker.get(node.input[0])
        return node

    def scales_inside(self) -> bool:
        """Whether the first operation on the pixels multiplies or shifts them."""
        name = self._inputs[0]
        for node in self.model.graph.node:
            if name in node.input:
                if node.op_type not in ("Cast", "Transpose", "Identity"):
                    return node.op_type in ("Mul", "Div", "Sub", "Add")
                name = node.output[0]
        return False

    def _constant(self, name: str) -> np.ndarray | None:
        return self._to_array(self._constants[name]).astype(np.float32) if name in self._constants else None

    def _dense(self, node: Any) -> tuple[np.ndarray, np.ndarray, str] | None:
        """Weights (inputs, units), bias and input of a dense layer; None for another node."""
        if node.op_type == "Gemm":
            settings = {attribute.name: attribute for attribute in node.attribute}
            scaled = any(settings[key].f != 1 for key in ("alpha", "beta") if key in settings)
            weights = self._constant(node.input[1])
            if weights is None or scaled or ("transA" in settings and settings["transA"].i):
                return None
            weights = weights.T if "transB" in settings and settings["transB"].i else weights
            bias = self._constant(node.input[2]) if len(node.input) > 2 else np.zeros(weights.shape[1], np.float32)
            return None if bias is None else (weights, bias.reshape(-1), node.input[0])
        bias = None
        if node.op_type == "Add":
            for index in (0, 1):
                bias = self._constant(node.input[index])
                if bias is not None:
                    node = self._made_by(node.input[1 - index])
                    break
            if bias is None or node is None:
                return None
        weights = self._constant(node.input[1]) if node.op_type == "MatMul" else None
        if weights is None or weights.ndim != 2:
            return None
        bias = np.zeros(weights.shape[1], np.float32) if bias is None else bias.reshape(-1)
        return (weights, bias, node.input[0]) if len(bias) == weights.shape[1] else None

    def _find_head(self) -> tuple[str | None, Head | None]:
        """The tensor with the features, and the closed form of pooling and one or two dense layers; None for others."""
        layers: list[tuple[np.ndarray, np.ndarray]] = []
        node = self._made_by(self.logits)
        while node is not None and len(layers) < 2:
            dense = self._dense(node)
            if dense is None:
                break
            layers.insert(0, dense[:2])
            node = self._made_by(dense[2])
            if node is not None and node.op_type == "Relu" and len(layers) == 1:
                after = self._made_by(node.input[0])
                if after is None or self._dense(after) is None:
                    break
                node = after
            elif len(layers) == 1:
                break
        if not layers or node is None or node.op_type not in ("GlobalAveragePool", "ReduceMean"):
            return None, None
        if node.op_type == "ReduceMean" and sorted(self._axes(node)) not in ([2, 3], [-2, -1]):
            return None, None
        return node.input[0], LinearHead(*layers[0]) if len(layers) == 1 else HiddenHead(*layers)

    def _axes(self, node: Any) -> list[int]:
        axes = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"), None)
        if axes is None and len(node.input) > 1 and (constant := self._constant(node.input[1])) is not None:
            axes = [int(axis) for axis in constant.ravel()]
        return axes or []
