"""Read `.tflite` files through LiteRT, float and quantised, without TensorFlow.

LiteRT runs any such file forwards. Where pooling and one or two dense layers end it, the activation before the pooling becomes
another output, and the dense layers are read from the file. These are the features and the head that the CAM family needs.
LiteRT computes no gradients, so methods with gradients are refused.
"""

from __future__ import annotations

import io
import math
import threading
import zipfile
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np

from core.errors import ModelError, describe_error
from core.resources import available_cores
from models.classifier import Activation
from models.head import Head, HiddenHead, LinearHead
from models.preprocessing import Preprocessing, from_range

MAX_BYTES = 1_000_000_000
MAX_ELEMENTS = 200_000_000  # of one tensor
PASSED = {"RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE", "EXPAND_DIMS"}  # change the form of values only
RELU = 1  # ActivationFunctionType of a layer with a fused ReLU


@dataclass(frozen=True)
class TFLiteModel:
    """What a `.tflite` file holds.

    Args:
        engine: Runs it. Its features are empty unless there is a `head`.
        canvas: The shape (h, w) of its input.
        classes: Number of classes.
        activation: How its logits become probabilities.
        head: The part behind the features, or None if it was not found.
        quantised: The way to scale pixels that fills the range of a quantised input, or None.
        inside: Whether the file scales pixels itself, before its first layer with weights.
        labels: The labels that are stored in the file, or None.
    """

    engine: TFLiteEngine
    canvas: tuple[int, int]
    classes: int
    activation: Activation
    head: Head | None
    quantised: Preprocessing | None
    inside: bool
    labels: bytes | None


def read_tflite(content: bytes, name: str) -> TFLiteModel:
    """The model in a `.tflite` file.

    Args:
        content: The bytes of the file.
        name: Its name, for errors.

    Returns:
        The model. Its engine takes pixels as they are until its `preprocessing` is set.

    Raises:
        ModelError: In one sentence, if the file is damaged, too large, or no classifier of colour pictures.
    """
    try:
        graph = _Graph(content)
        ends = graph.ends()
        engine = TFLiteEngine(graph.with_outputs(ends.outputs()))
    except ModelError as error:
        raise ModelError(f"'{name}' cannot be used: {error}") from error
    except Exception as error:  # LiteRT and flatbuffers raise many types for damaged files
        raise ModelError(
            f"'{name}' cannot be used: it is damaged, or LiteRT does not know one of its operations "
            f"({describe_error(error)[:200]})."
        ) from error
    if engine.size[2] != 3:
        raise ModelError(f"'{name}' takes pictures with {engine.size[2]} channels; it must take colour pictures.")
    return TFLiteModel(
        engine=engine,
        canvas=engine.size[:2],
        classes=max(2, engine.units),
        activation="softmax" if engine.units == 1 else ends.activation,
        head=ends.head if engine.units > 1 else None,
        quantised=engine.input_range and from_range(*engine.input_range),
        inside=graph.scales_inside(),
        labels=_stored_labels(content),
    )


@dataclass(frozen=True)
class _Ends:
    """The tensors of a graph that a classifier needs: indices of its input, its logits and its features, and its head."""

    pixels: int
    logits: int
    features: int | None
    head: Head | None
    activation: Activation
    has_activation: bool

    def outputs(self) -> list[int]:
        """The indices of the tensors that become outputs."""
        return [self.logits] if self.features is None else [self.logits, self.features]


class _Graph:
    """The operations and tensors of a `.tflite` file, read with the published schema."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        if len(content) > MAX_BYTES:
            raise ModelError(f"it is larger than {MAX_BYTES // 1_000_000} MB.")
        self._schema = schema
        self._names = {value: key for key, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self._model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
        self._graph: Any = self._model.subgraphs[0]
        for tensor in self._graph.tensors:
            if math.prod(max(int(size), 1) for size in self._shape(tensor)) > MAX_ELEMENTS:
                raise ModelError(f"one of its tensors has more than {MAX_ELEMENTS} values.")
        if len(self._graph.inputs) != 1 or len(self._graph.outputs) != 1:
            counts = f"{len(self._graph.inputs)} inputs and {len(self._graph.outputs)} outputs"
            raise ModelError(f"it has {counts}; a classifier has one each.")
        self._maker = {int(index): operator for operator in self._graph.operators for index in operator.outputs}

    def _shape(self, tensor: Any) -> list[int]:
        return [] if tensor.shape is None else [int(size) for size in tensor.shape]

    def _kind(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        return self._names.get(max(int(code.builtinCode), int(code.deprecatedBuiltinCode)), "")

    def _made_by(self, index: int) -> tuple[Any, str]:
        """The operation that makes a tensor, and its kind; operations that change the form only are passed."""
        while (operator := self._maker.get(index)) is not None and self._kind(operator) in PASSED:
            index = int(operator.inputs[0])
        return operator, "" if operator is None else self._kind(operator)

    def scales_inside(self) -> bool:
        """Whether the first operation on the pixels multiplies or shifts them."""
        index = int(self._graph.inputs[0])
        for operator in self._graph.operators:
            if index in [int(number) for number in operator.inputs]:
                if self._kind(operator) not in PASSED:
                    return self._kind(operator) in ("MUL", "DIV", "SUB", "ADD")
                index = int(operator.outputs[0])
        return False

    def ends(self) -> _Ends:
        """The input, the logits, the features and the head, as far as they are found."""
        pixels, logits = int(self._graph.inputs[0]), int(self._graph.outputs[0])
        if len(self._shape(self._graph.tensors[pixels])) != 4:
            raise ModelError("its input is no picture; it must take (1, height, width, 3).")
        operator, kind = self._made_by(logits)
        activation: Activation = "sigmoid" if kind == "LOGISTIC" else "softmax"
        has_activation = kind in ("SOFTMAX", "LOGISTIC", "LOG_SOFTMAX")
        if has_activation:
            logits = int(operator.inputs[0])
        features, head = self._head(logits)
        return _Ends(pixels, logits, features, head, activation, has_activation)

    def _head(self, logits: int) -> tuple[int | None, Head | None]:
        """The features and the closed form of global average pooling and one or two dense layers; None for others."""
        layers: list[tuple[np.ndarray, np.ndarray]] = []
        index, separate = logits, 0
        fused: list[int] = []
        while True:
            operator, kind = self._made_by(index)
            if kind == "RELU" and layers and not separate:
                index, separate = int(operator.inputs[0]), RELU
                continue
            if kind != "FULLY_CONNECTED" or len(layers) == 2:
                break
            weights = self._constant(int(operator.inputs[1]))
            if weights is None:
                return None, None
            has_bias = len(operator.inputs) > 2 and int(operator.inputs[2]) >= 0
            bias = self._constant(int(operator.inputs[2])) if has_bias else np.zeros(len(weights), np.float32)
            if bias is None:
                return None, None
            layers.insert(0, (weights.T, bias))
            fused.insert(0, int(operator.builtinOptions.fusedActivationFunction) or separate)
            separate = 0
            index = int(operator.inputs[0])
        if not layers or fused not in ([0], [RELU, 0]) or separate or kind not in ("MEAN", "AVERAGE_POOL_2D"):
            return None, None
        features = int(operator.inputs[0])
        shape = self._shape(self._graph.tensors[features])
        if len(shape) != 4 or min(shape[1:3]) < 2 or shape[3] != len(layers[0][0]):
            return None, None
        if kind == "MEAN":
            axes = self._constant(int(operator.inputs[1]))
            if axes is None or sorted(int(axis) % 4 for axis in axes.ravel()) != [1, 2]:
                return None, None
        elif (operator.builtinOptions.filterHeight, operator.builtinOptions.filterWidth) != tuple(shape[1:3]):
            return None, None
        return features, LinearHead(*layers[0]) if len(layers) == 1 else HiddenHead(*layers)

    def _constant(self, index: int) -> np.ndarray | None:
        """A constant of the file as real numbers; None if it is no constant, or of an unusual type."""
        tensor = self._graph.tensors[index]
        operator = self._maker.get(index)
        if operator is not None and self._kind(operator) == "DEQUANTIZE":  # weights stored as float16
            return self._constant(int(operator.inputs[0]))
        data = self._model.buffers[tensor.buffer].data
        kinds = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 9: np.int8}
        if data is None or len(data) == 0 or tensor.type not in kinds:
            return None
        values = np.frombuffer(bytes(data), kinds[tensor.type]).reshape(self._shape(tensor))
        quantisation = tensor.quantization
        if quantisation is None or quantisation.scale is None or len(quantisation.scale) == 0:
            return values.astype(np.float32) if values.dtype.kind == "f" else values
        scale = np.asarray(quantisation.scale, np.float32)
        zero = np.asarray(quantisation.zeroPoint)
        if len(scale) > 1:  # one scale per row of the weights
            form = (-1, *(1,) * (values.ndim - 1))
            scale, zero = scale.reshape(form), zero.reshape(form)
        return ((values.astype(np.float32) - zero) * scale).astype(np.float32)

    def with_outputs(self, outputs: list[int]) -> bytes:
        """The bytes of the file with other tensors as outputs."""
        self._graph.outputs = outputs
        self._model.signatureDefs = None  # they name the old outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class TFLiteEngine:
    """Runs a `.tflite` file: features (N, fh, fw, C) and logits (N, classes) of canvases.

    A single sigmoid unit becomes two classes. Without a head, the features are empty: (N, 1, 1, 1) of zeros. Canvases go
    through one by one, because many files fix the size of the batch.

    `preprocessing`: turns RGB in [0, 255] into the input of the model.
    """

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=model, num_threads=available_cores())
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()
        self._lock = threading.Lock()
        _, height, width, channels = (int(size) for size in self._input["shape"])
        self.size = (height, width, channels)
        shape = tuple(self._outputs[0]["shape"])
        if len(shape) != 2 or shape[0] != 1:
            raise ModelError(f"it returns {shape}; a classifier returns one row of classes.")
        self.units = int(shape[1])
        self.input_range = self._range()
        self.preprocessing = Preprocessing("0..255", "pixels as they are")

    def _range(self) -> tuple[float, float] | None:
        """The lowest and highest real value of a quantised input; None for a float input."""
        kind = np.dtype(self._input["dtype"])
        scale, zero = self._input["quantization"]
        if kind.kind == "f":
            return None
        limits = np.iinfo(kind)
        if not scale:
            return float(limits.min), float(limits.max)
        return float((limits.min - zero) * scale), float((limits.max - zero) * scale)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `models.engine.Engine`."""
        inputs = np.asarray(self.preprocessing(batch), np.float32)
        with self._lock:
            results = [self._run(canvas[None]) for canvas in inputs]
        logits = np.concatenate([result[0] for result in results])
        if self.units == 1:
            logits = np.concatenate([-logits / 2, logits / 2], axis=1)
        if len(self._outputs) == 1:
            return np.zeros((len(batch), 1, 1, 1), np.float32), logits
        return np.concatenate([result[1] for result in results]), logits

    def _run(self, canvas: np.ndarray) -> list[np.ndarray]:
        kind = np.dtype(self._input["dtype"])
        if kind.kind != "f":
            scale, zero = self._input["quantization"]
            limits = np.iinfo(kind)
            canvas = np.clip(np.rint(canvas / (scale or 1)) + zero, limits.min, limits.max)
        self._interpreter.set_tensor(self._input["index"], canvas.astype(kind))
        self._interpreter.invoke()
        return [self._real(output) for output in self._outputs]

    def _real(self, output: dict[str, Any]) -> np.ndarray:
        """An output as real numbers."""
        values = self._interpreter.get_tensor(output["index"])
        scale, zero = output["quantization"]
        return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values.astype(np.float32)


def _stored_labels(content: bytes) -> bytes | None:
    """The labels that TensorFlow's metadata packs into a `.tflite` file; None if there are none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            texts = [
                entry for entry in archive.infolist() if entry.filename.endswith(".txt") and entry.file_size < 5_000_000
            ]
            return archive.read(texts[0]) if texts else None
    except Exception:  # noqa: BLE001  (most files have no archive behind the model)
        return None
