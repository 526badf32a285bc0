"""Make the gradient graphs of the embedded networks again: python -m scripts.backward_graphs

A gradient can be computed by a network. For each operation of a Keras network, a rule maps the gradient with respect to its
output to the gradient with respect to its input, in operations that LiteRT runs fast. A gradient then costs about three
forward passes and needs no TensorFlow. The script writes NAME.backward.tflite into models/weights. Its inputs are pixels
(N, h, w, 3) and a gradient with respect to the features (N, h/32, w/32, C); its output is the gradient with respect to the
pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated
from tensorflow.lite.tools import flatbuffer_utils

from core.files import write_atomically
from models import embedded
from models.embedded import WEIGHTS
from models.litert import convert_function

DEQUANTIZE = schema_py_generated.BuiltinOperator.DEQUANTIZE
LARGEST = np.finfo(np.float16).max
STEEP = float(2**20)  # the gate of a ReLU6 opens within a millionth of 0 and 6; a power of two, so nothing is rounded


def _conv(operation: Any, gradient: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
    """With respect to the input of a convolution: the transposed matrix for 1x1 kernels, else `_strided`."""
    kernel = _kernel(operation)
    if kernel.shape[:2] == (1, 1):
        return tf.nn.conv2d(gradient, kernel.transpose(0, 1, 3, 2), 1, "VALID")
    return _strided(gradient, kernel, _before(operation))


def _strided(gradient: tf.Tensor, kernel: np.ndarray, before: int) -> tf.Tensor:
    """With respect to the input of a dense convolution of stride 2.

    Four input pixels share a position in the output. One convolution computes all four, each with its own part of the
    kernel, and `depth_to_space` places them side by side.
    """
    size, inputs, outputs = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    # Output i uses input 2i + k - before in row k of the kernel, so input 2a + r affects output a + (r + before - k) / 2.
    sources = [[(k, (r + before - k) // 2) for k in range(size) if (r + before - k) % 2 == 0] for r in (0, 1)]
    places = [place for pairs in sources for _, place in pairs]
    first, last = min(places), max(places)
    kernels = np.zeros((last - first + 1, last - first + 1, outputs, 4, inputs), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            for y, at_y in sources[row]:
                for x, at_x in sources[column]:
                    kernels[at_y - first, at_x - first, :, 2 * row + column] = kernel[y, x].T
    padded = tf.pad(gradient, [[0, 0], [-first, last], [-first, last], [0, 0]])
    apart = tf.nn.conv2d(padded, kernels.reshape(*kernels.shape[:3], 4 * inputs), 1, "VALID")
    return tf.nn.depth_to_space(apart, 2)


def _depthwise(operation: Any, gradient: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
    """With respect to the input of a depthwise convolution: the flipped kernel, after zeros are inserted between strides."""
    kernel = _kernel(operation)[::-1, ::-1]
    if operation.strides == (1, 1):
        return tf.nn.depthwise_conv2d(gradient, kernel, (1, 1, 1, 1), "SAME")
    before, beyond = _before(operation), len(kernel) - 1 - _before(operation)
    upsampled = tf.nn.depth_to_space(tf.pad(gradient, [[0, 0], [0, 0], [0, 0], [0, 3 * gradient.shape[-1]]]), 2)
    padded = tf.pad(upsampled, [[0, 0], [beyond, before], [beyond, before], [0, 0]])
    return tf.nn.depthwise_conv2d(padded, kernel, (1, 1, 1, 1), "VALID")


def _kernel(operation: Any) -> np.ndarray:
    """The kernel as an array, also while a function is traced."""
    with tf.init_scope():
        return np.asarray(operation.kernel)


def _before(operation: Any) -> int:
    """Pixels of padding above and to the left for a convolution of stride 2, on an even size."""
    producer = operation.input._keras_history.operation
    if isinstance(producer, keras.layers.ZeroPadding2D):
        return int(producer.padding[0][0])
    return (operation.kernel_size[0] - operation.strides[0]) // 2


def _relu6(_: Any, gradient: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """The gradient passes where the output is neither 0 nor 6: there 9 - (output - 3)^2 is positive, and the gate is 1."""
    channels = output.shape[-1]
    steep = tf.nn.depthwise_conv2d(
        tf.math.squared_difference(output, 3.0), tf.fill((1, 1, channels, 1), -STEEP), (1, 1, 1, 1), "VALID"
    )
    opened = tf.nn.bias_add(steep, tf.fill((channels,), 9 * STEEP))
    return gradient * tf.minimum(tf.maximum(opened, -1.0), 1.0)


RULES: dict[type, Callable[[Any, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    keras.layers.Conv2D: _conv,
    keras.layers.DepthwiseConv2D: _depthwise,
    keras.layers.ReLU: _relu6,
    keras.layers.Rescaling: lambda operation, gradient, _: gradient * np.float32(operation.scale),
    keras.layers.ZeroPadding2D: lambda _, gradient, __: gradient,  # the rule of a convolution includes its padding
    keras.layers.Add: lambda _, gradient, __: gradient,
}


def backward(network: keras.Model, batch: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """d(upstream . features) / d(batch), for a network pixels -> features, logits made of the operations in RULES."""
    features = network.outputs[0]
    values: dict[int, tf.Tensor] = {id(network.inputs[0]): batch}
    chain = []
    for operation in network.operations:
        node = operation._inbound_nodes[0]
        if node.input_tensors and id(features) not in values:
            inputs = [values[id(tensor)] for tensor in node.input_tensors]
            values[id(operation.output)] = operation(inputs if len(inputs) > 1 else inputs[0])
            chain.append(operation)
    gradients = {id(features): upstream}
    for operation in reversed(chain):
        gradient = RULES[type(operation)](operation, gradients.pop(id(operation.output)), values[id(operation.output)])
        for tensor in operation._inbound_nodes[0].input_tensors:
            known = gradients.get(id(tensor))
            gradients[id(tensor)] = gradient if known is None else known + gradient
    return gradients[id(network.inputs[0])]


def convert(network: keras.Model, canvas: tuple[int, int], stride: int = 32) -> bytes:
    """`backward` as a `.tflite` file with float16 numbers, for every canvas in whole cells of `stride`."""
    cells = tf.TensorSpec((1, canvas[0] // stride, canvas[1] // stride, network.output_shape[0][-1]), tf.float32)
    pixels = tf.TensorSpec((1, *canvas, 3), tf.float32)
    return _with_float32_gates(
        convert_function(lambda batch, upstream: backward(network, batch, upstream), [pixels, cells], float16=True)
    )


def _with_float32_gates(model: bytes) -> bytes:
    """The file with the constants of the ReLU6 gates in float32: they overflow float16."""
    graph = flatbuffer_utils.convert_bytearray_to_object(model)
    (part,) = graph.subgraphs
    kept = []
    for operator in part.operators:
        source = graph.buffers[part.tensors[operator.inputs[0]].buffer].data
        numbers = np.asarray([] if source is None else source, np.uint8).view(np.float16)
        if graph.operatorCodes[operator.opcodeIndex].builtinCode == DEQUANTIZE and (np.abs(numbers) >= LARGEST).all():
            wide = np.where(numbers > 0, 9 * STEEP, -STEEP).astype(np.float32)
            part.tensors[operator.outputs[0]].buffer = len(graph.buffers)
            graph.buffers.append(schema_py_generated.BufferT())
            graph.buffers[-1].data = wide.view(np.uint8)
        else:
            kept.append(operator)
    part.operators = kept
    return bytes(flatbuffer_utils.convert_object_to_bytearray(graph))


def without_buffers(model: bytes, numbers: Sequence[np.ndarray]) -> bytes:
    """The file without the buffers that hold `numbers`; these are appended to it, in order, when it is loaded.

    Raises ValueError if an array is in no buffer: then the converter wrote it in another form.
    """
    graph = flatbuffer_utils.convert_bytearray_to_object(model)
    used = {tensor.buffer for part in graph.subgraphs for tensor in part.tensors}
    contents = {bytes(graph.buffers[i].data): graph.buffers[i] for i in used if graph.buffers[i].data is not None}
    buffers = [contents.get(array.tobytes()) for array in numbers]
    length = 1
    for _ in range(2):  # the second time with the offsets, which depend on the length of the rest
        for buffer, array in zip(buffers, numbers, strict=True):
            if buffer is None:
                raise ValueError(f"no buffer of the converted network holds the numbers of shape {array.shape}")
            buffer.data, buffer.offset, buffer.size = None, length, array.nbytes
            length += array.nbytes
        written = bytes(flatbuffer_utils.convert_object_to_bytearray(graph))
        length = len(written)
    return written


def write(name: str) -> Path:
    """Write NAME.backward.tflite, to which `embedded.pointwise_kernels` is appended when it is loaded."""
    path = WEIGHTS / f"{name}.backward.tflite"
    complete = convert(embedded.load_network(name), (224, 224))
    write_atomically(path, without_buffers(complete, list(embedded.pointwise_kernels(name))))
    return path


if __name__ == "__main__":
    for network_name in embedded.ARCHITECTURES:
        print(write(network_name).name)
