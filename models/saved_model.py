"""Read SavedModel folders through TensorFlow: the formats of `model.export`, of Keras 2, and of TensorFlow itself.

A SavedModel is a program for TensorFlow. It holds no code of Python, and folders with operations that run Python or that read
and write files are refused. Still, open only those that you trust.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ModelError, describe_error, unknown
from models.engine import BATCH
from models.forward_engine import InputGradient, Run
from models.input_layout import InputLayout, layout_of
from models.outputs import Reading

MAX_BYTES = 2_000_000_000
# Operations that run code of Python, or that read and write files.
REFUSED = {
    "ReadFile",
    "WriteFile",
    "MatchingFiles",
    "PyFunc",
    "PyFuncStateless",
    "EagerPyFunc",
    "DebugIdentityV2",
    "PrintV2",
}
REFUSED_STARTS = ("Py", "WholeFileReader", "TextLineReader", "TFRecord", "FixedLength", "Socket", "Rpc")


@dataclass(frozen=True)
class SavedModel:
    """What a SavedModel folder holds.

    Args:
        run: Inputs -> None and outputs; see `models.forward_engine`.
        input_gradient: Gradient with respect to the inputs; None if it takes whole numbers.
        layout: Its input.
        most: How many inputs it takes at once.
        inside: Whether it scales pixels itself, before its first layer.
    """

    run: Run
    input_gradient: InputGradient | None
    layout: InputLayout
    most: int
    inside: bool


def read_saved_model(folder: Path, output: int | str | None = None) -> SavedModel:
    """The model in a SavedModel folder.

    Args:
        folder: The folder with `saved_model.pb`.
        output: Index or name of the output with the classes, if there are several.

    Returns:
        The model.

    Raises:
        ModelError: In one sentence, if the folder is damaged, too large, or holds no classifier of pictures.
        UnknownNameError: If there is no such output.
    """
    import tensorflow as tf

    name = folder.name
    _check_operations(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
        signatures = loaded.signatures
        key = next((key for key in ("serving_default", "serve") if key in signatures), None) or next(iter(signatures))
        signature = signatures[key]
        inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    except ModelError:
        raise
    except Exception as error:  # TensorFlow raises many types for damaged folders
        reason = describe_error(error)[:200]
        raise ModelError(f"'{name}' cannot be used: it is damaged, or it has no signature ({reason}).") from error
    if len(inputs) != 1:
        raise ModelError(f"'{name}' has {len(inputs)} inputs; it must take one picture.")
    (argument, spec), chosen = next(iter(inputs.items())), _choose(name, sorted(outputs), output)

    def call(values: Any) -> Any:
        assert loaded is not None  # its variables live as long as it is referred to
        try:
            return tf.cast(signature(**{argument: tf.cast(values, spec.dtype)})[chosen], tf.float32)
        except tf.errors.OpError as error:
            raise ModelError(f"'{name}' cannot be run ({describe_error(error)[:200]}).") from error

    def run(batch: np.ndarray) -> tuple[None, np.ndarray]:
        return None, np.array(call(np.clip(np.rint(batch), 0, 255) if spec.dtype.is_integer else batch))

    def input_gradient(batch: np.ndarray, objective: np.ndarray, reading: Reading) -> np.ndarray:
        import keras

        values = tf.constant(batch)
        with tf.GradientTape() as tape:
            tape.watch(values)
            score = tf.linalg.matvec(reading.to_logits(call(values), keras.ops), tf.constant(objective))
        return np.asarray(tape.gradient(score, values))

    fixed = spec.shape[0]
    return SavedModel(
        run,
        input_gradient if spec.dtype.is_floating else None,
        layout_of(name, tuple(spec.shape)),
        int(fixed) if fixed else BATCH,
        _scales_inside(signature),
    )


def _choose(name: str, names: list[str], output: int | str | None) -> str:
    if output is None and len(names) != 1:
        raise ModelError(f"'{name}' has {len(names)} outputs ({', '.join(names)}); choose one with output=.")
    index: Any = output if output is not None else 0
    if index in names:
        return str(index)
    if str(index).isdecimal() and int(index) < len(names):
        return names[int(index)]
    raise unknown("output", index, names)


def _check_operations(folder: Path) -> None:
    """Raise ModelError for a folder that is damaged or too large, or that has operations on files or of Python."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel()
    try:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if size > MAX_BYTES:
            raise ModelError(f"'{folder.name}' is larger than {MAX_BYTES // 1_000_000} MB; give a smaller model.")
        content.ParseFromString((folder / "saved_model.pb").read_bytes())
    except ModelError:
        raise
    except Exception as error:  # protobuf raises types of its own
        raise ModelError(
            f"'{folder.name}' cannot be used: it is damaged or not complete; save or download it again."
        ) from error
    for part in content.meta_graphs:
        functions = (node for function in part.graph_def.library.function for node in function.node_def)
        for node in (*part.graph_def.node, *functions):
            if node.op in REFUSED or node.op.startswith(REFUSED_STARTS):
                raise ModelError(
                    f"'{folder.name}' has the operation {node.op}, which a classifier never needs; it is not opened."
                )


def _scales_inside(signature: Any) -> bool:
    """Whether pixels are multiplied or shifted before the first layer. Functions inside the model are looked into."""
    definition = signature.graph.as_graph_def()
    library = {function.signature.name: function for function in definition.library.function}
    nodes, name = list(definition.node), signature.inputs[0].op.name
    for _ in range(20):
        node = next((node for node in nodes if any(_source(source) == name for source in node.input)), None)
        if node is None:
            return False
        if node.op in ("PartitionedCall", "StatefulPartitionedCall"):
            position = [_source(source) for source in node.input].index(name)
            function = library[node.attr["f"].func.name]
            nodes, name = list(function.node_def), function.signature.input_arg[position].name
        elif node.op in ("Cast", "Identity", "Transpose"):
            name = node.name
        else:
            return node.op in ("Mul", "Sub", "AddV2", "Add", "RealDiv", "Div")
    return False


def _source(name: str) -> str:
    return name.split(":")[0].lstrip("^")
