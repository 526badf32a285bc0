"""Make the gradients of the embedded networks again: python models/weights/backward.py

A gradient is a network too. For each operation of a Keras network this writes down what takes the gradient by its output to
the gradient by its input, in operations that LiteRT runs fast, so that a gradient costs about three forward passes and
needs no TensorFlow. It writes NAME.backward.tflite next to itself: from pixels (N, h, w, 3) and a gradient by the features
(N, h/32, w/32, C) to the gradient by the pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated
from tensorflow.lite.tools import flatbuffer_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from models import embedded
from models.engine import convert_function, write_atomically

DEQUANTIZE = schema_py_generated.BuiltinOperator.DEQUANTIZE
LARGEST = np.finfo(np.float16).max
STEEP = float(2**20)  # a ReLU6 opens within a millionth of its ends; a power of two, so that nothing is rounded


def _conv(operation: Any, gradient: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
    """By the input of a convolution: for kernels of 1x1 a convolution with the matrix turned, else see `_strided`."""
    kernel = _kernel(operation)
    if kernel.shape[:2] == (1, 1):
        return tf.nn.conv2d(gradient, kernel.transpose(0, 1, 3, 2), 1, "VALID")
    return _strided(gradient, kernel, _before(operation))


def _strided(gradient: tf.Tensor, kernel: np.ndarray, before: int) -> tf.Tensor:
    """By the input of a dense convolution of stride 2: each of the four pixels that share a place in the output gets its
    own part of the kernel, in one convolution, and they are laid out side by side."""
    size, inputs, outputs = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    # Output i saw input 2i + k - before through row k of the kernel, so input 2a + r hears from a + (r + before - k) / 2.
    heard = [[(k, (r + before - k) // 2) for k in range(size) if (r + before - k) % 2 == 0] for r in (0, 1)]
    places = [place for pairs in heard for _, place in pairs]
    first, last = min(places), max(places)
    turned = np.zeros((last - first + 1, last - first + 1, outputs, 4, inputs), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            for y, at_y in heard[row]:
                for x, at_x in heard[column]:
                    turned[at_y - first, at_x - first, :, 2 * row + column] = kernel[y, x].T
    padded = tf.pad(gradient, [[0, 0], [-first, last], [-first, last], [0, 0]])
    apart = tf.nn.conv2d(padded, turned.reshape(*turned.shape[:3], 4 * inputs), 1, "VALID")
    return tf.nn.depth_to_space(apart, 2)


def _depthwise(operation: Any, gradient: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
    """By the input of a depthwise convolution: one with the kernel turned, after zeros between strides."""
    kernel = _kernel(operation)[::-1, ::-1]
    if operation.strides == (1, 1):
        return tf.nn.depthwise_conv2d(gradient, kernel, (1, 1, 1, 1), "SAME")
    before, beyond = _before(operation), len(kernel) - 1 - _before(operation)
    spread = tf.nn.depth_to_space(tf.pad(gradient, [[0, 0], [0, 0], [0, 0], [0, 3 * gradient.shape[-1]]]), 2)
    padded = tf.pad(spread, [[0, 0], [beyond, before], [beyond, before], [0, 0]])
    return tf.nn.depthwise_conv2d(padded, kernel, (1, 1, 1, 1), "VALID")


def _kernel(operation: Any) -> np.ndarray:
    """Its numbers, also while a function is traced."""
    with tf.init_scope():
        return np.asarray(operation.kernel)


def _before(operation: Any) -> int:
    """Pixels of padding above and to the left of what a convolution of stride 2 sees, on an even size."""
    producer = operation.input._keras_history.operation
    if isinstance(producer, keras.layers.ZeroPadding2D):
        return int(producer.padding[0][0])
    return (operation.kernel_size[0] - operation.strides[0]) // 2


def _relu6(_: Any, gradient: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Through where the output is neither 0 nor 6: there 9 - (output - 3)^2 is above 0, which becomes 1."""
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
    keras.layers.ZeroPadding2D: lambda _, gradient, __: (
        gradient
    ),  # convolutions already go back to before their padding
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
            seen = [values[id(tensor)] for tensor in node.input_tensors]
            values[id(operation.output)] = operation(seen if len(seen) > 1 else seen[0])
            chain.append(operation)
    gradients = {id(features): upstream}
    for operation in reversed(chain):
        gradient = RULES[type(operation)](operation, gradients.pop(id(operation.output)), values[id(operation.output)])
        for tensor in operation._inbound_nodes[0].input_tensors:
            known = gradients.get(id(tensor))
            gradients[id(tensor)] = gradient if known is None else known + gradient
    return gradients[id(network.inputs[0])]


def convert(network: keras.Model, canvas: tuple[int, int], stride: int = 32) -> bytes:
    """That function as a `.tflite` file of float16 numbers, which takes every canvas in cells of `stride`."""
    cells = tf.TensorSpec((1, canvas[0] // stride, canvas[1] // stride, network.output_shape[0][-1]), tf.float32)
    pixels = tf.TensorSpec((1, *canvas, 3), tf.float32)
    return _steep(
        convert_function(lambda batch, upstream: backward(network, batch, upstream), [pixels, cells], half=True)
    )


def _steep(model: bytes) -> bytes:
    """The file with the numbers of its gates in float32: as float16 they became the largest there is."""
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


def hollow(model: bytes, numbers: Sequence[np.ndarray]) -> bytes:
    """The file without those of its buffers that hold one of `numbers`, which are to follow it in their order.

    Raises ValueError where one of them is in no buffer, for then it has been written in another way.
    """
    graph = flatbuffer_utils.convert_bytearray_to_object(model)
    used = {tensor.buffer for part in graph.subgraphs for tensor in part.tensors}
    contents = {bytes(graph.buffers[i].data): graph.buffers[i] for i in used if graph.buffers[i].data is not None}
    buffers = [contents.get(each.tobytes()) for each in numbers]
    length = 1
    for _ in range(2):  # where they begin is known when the rest has been written once
        for buffer, each in zip(buffers, numbers, strict=True):
            if buffer is None:
                raise ValueError(f"no buffer of the converted network holds the numbers of shape {each.shape}")
            buffer.data, buffer.offset, buffer.size = None, length, each.nbytes
            length += each.nbytes
        written = bytes(flatbuffer_utils.convert_object_to_bytearray(graph))
        length = len(written)
    return written


def write(name: str) -> Path:
    """NAME.backward.tflite, to which `embedded.pointwise` is to be added: those numbers are in NAME.npz already."""
    path = HERE / f"{name}.backward.tflite"
    whole = convert(embedded.network(name), (224, 224))
    write_atomically(path, hollow(whole, list(embedded.pointwise(name))))
    return path


if __name__ == "__main__":
    for each in embedded.ARCHITECTURES:
        print(write(each).name)
