"""Read Keras models from files: `.keras`, and `.h5` of Keras 3, Keras 2 and Teachable Machine.

The model is rebuilt layer by layer (`models.keras_graph`), and its weights are read as plain arrays. Nothing from the file is
executed.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from core.errors import ModelError, describe_error

if TYPE_CHECKING:
    import keras

MAX_BYTES = 2_000_000_000
MAX_JSON = 50_000_000
MAX_MEMBERS = 100
COMPRESSION = 30  # weights hardly shrink; a file that grows more than this when it is read is an attack
DAMAGED = "it is damaged or not complete; save or download it again"


def read_keras_zip(content: bytes, name: str) -> tuple[keras.Model, dict[str, Any]]:
    """The model in a `.keras` file, and its small JSON files by their name (such as "labels.json").

    Args:
        content: The bytes of the file.
        name: Its name, for errors.

    Returns:
        The model, and the JSON files that are neither its configuration nor its metadata.

    Raises:
        ModelError: In one sentence, if the file is damaged, too large, or holds a model that cannot be rebuilt.
    """
    with open_zip(content, name) as archive:
        members = {entry.filename: entry for entry in archive.infolist()}
        try:
            config = _json(archive.read(members["config.json"]), name)
            extras = {
                file: _json(archive.read(entry), name)
                for file, entry in members.items()
                if file.endswith(".json")
                and file not in ("config.json", "metadata.json")
                and entry.file_size < 5_000_000
            }
            weights = archive.read(members["model.weights.h5"])
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"'{name}' cannot be used: {DAMAGED}.") from error
    with open_h5(weights, name) as (file, count):
        model = _build(config, name, count)
        _check_names(model, file, name)
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as folder:
        path = Path(folder) / "model.weights.h5"
        path.write_bytes(weights)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.load_weights(path)
        except Exception as error:  # h5py and Keras raise many types
            raise ModelError(
                f"'{name}' cannot be used: its weights do not fit its layers ({describe_error(error)[:200]})."
            ) from error
    _check_finite(model, name)
    compiled = config.get("compile_config")
    model.loss = _loss(compiled.get("loss")) if isinstance(compiled, dict) else None
    return model, extras


def read_legacy_h5(content: bytes, name: str) -> keras.Model:
    """The model in an `.h5` file of Keras 3, Keras 2 or tf.keras, such as Teachable Machine's. Raises ModelError."""
    from models.keras_graph import new_name

    with open_h5(content, name) as (file, count):
        config = file.attrs.get("model_config")
        if config is None:
            raise ModelError(
                f"'{name}' holds weights without their model; save the whole model with model.save('model.keras'), or give the "
                "weights of a catalogued model with --weights."
            )
        model = _build(_json(config, name), name, count)
        training = file.attrs.get("training_config")
        compiled = _json(training, name) if training is not None else None
        model.loss = _loss(compiled.get("loss")) if isinstance(compiled, dict) else None
        try:
            groups = file["model_weights"]
            names = {new_name(name): name for name in _names(groups, "layer_names")}
            for layer in model.layers:
                if layer.weights:
                    _fill(layer, groups[names[layer.name]])
        except ModelError:
            raise
        except Exception as error:  # h5py raises many types for damaged files
            raise ModelError(
                f"'{name}' cannot be used: its weights do not fit its layers ({describe_error(error)[:200]})."
            ) from error
    _check_finite(model, name)
    return model


def read_tf_keras(model: Any) -> keras.Model:
    """A model of tf_keras (Keras 2), rebuilt as a model of Keras 3 with the same weights. Raises ModelError.

    It goes through an `.h5` file, so it may hold the layers that a file may hold.
    """
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as folder:
        path = Path(folder) / "model.h5"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that this is an old format
                model.save(path, save_format="h5")
        except Exception as error:  # tf_keras raises many types
            raise ModelError(f"'{model.name}' cannot be saved by tf_keras ({describe_error(error)[:200]}).") from error
        return read_legacy_h5(path.read_bytes(), model.name)


@contextlib.contextmanager
def open_zip(content: bytes, name: str) -> Any:
    """A zip archive whose sizes are within limits. Members are read by name and never written to disk. Raises ModelError."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        entries = archive.infolist()
    except Exception as error:
        raise ModelError(f"'{name}' cannot be used: {DAMAGED}.") from error
    with archive:
        size = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_MEMBERS or size > MAX_BYTES or size > COMPRESSION * len(content) + 10_000_000:
            raise ModelError(f"'{name}' cannot be used: it is larger than any model that can be opened here.")
        if any(entry.flag_bits & 1 for entry in entries):
            raise ModelError(f"'{name}' is encrypted; give the file without a password.")
        yield archive


@contextlib.contextmanager
def open_h5(content: bytes, name: str) -> Any:
    """An HDF5 file that refers to no other file, and how many numbers it holds. Raises ModelError."""
    try:
        file = h5py.File(io.BytesIO(content), "r")
    except Exception as error:
        raise ModelError(f"'{name}' cannot be used: {DAMAGED}.") from error
    with file:
        try:
            count = _count(file, name, len(content))
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"'{name}' cannot be used: {DAMAGED}.") from error
        yield file, count


def _count(file: h5py.File, name: str, size: int) -> int:
    """The number of values in all arrays of a file. Raises ModelError for links, and for arrays that grow too much."""
    numbers = total = 0
    pending: list[tuple[Any, int]] = [(file, 0)]
    while pending:
        group, depth = pending.pop()
        if depth > 50:
            raise ModelError(f"'{name}' cannot be used: it is nested too deeply.")
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ModelError(f"'{name}' refers to other files, which a model never needs; it is not opened.")
            item = group[key]
            if isinstance(item, h5py.Group):
                pending.append((item, depth + 1))
                continue
            if item.external or item.is_virtual:
                raise ModelError(f"'{name}' refers to other files, which a model never needs; it is not opened.")
            numbers += math.prod(item.shape or ())
            total += math.prod(item.shape or ()) * item.dtype.itemsize
            if total > min(MAX_BYTES, COMPRESSION * size):
                raise ModelError(f"'{name}' describes more numbers than it holds; it is not opened.")
    return numbers


def _json(text: Any, name: str) -> Any:
    if len(text) > MAX_JSON:
        raise ModelError(f"'{name}' cannot be used: its description is too long.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"'{name}' cannot be used: {DAMAGED}.") from error


def _build(config: Any, name: str, count: int) -> keras.Model:
    from models.keras_graph import GraphBuilder

    if not isinstance(config, dict) or "class_name" not in config:
        raise ModelError(f"'{name}' cannot be used: {DAMAGED}.")
    return GraphBuilder(name, count).build(config)


def _loss(node: Any) -> Any:
    """The name of the loss in the JSON of a file: a text, or a list or an object of texts by output."""
    if isinstance(node, list):
        return [_loss(item) for item in node]
    if isinstance(node, dict) and "class_name" in node:
        inner = node.get("config")
        return inner if isinstance(inner, str) else str(node["class_name"])
    if isinstance(node, dict):
        return {key: _loss(item) for key, item in node.items()}
    return node if isinstance(node, str) else None


def _check_names(model: keras.Model, file: h5py.File, name: str) -> None:
    """Raise ModelError unless a `.weights.h5` file holds at least as many arrays as the model."""
    found = 0

    def visit(_: str, item: Any) -> None:
        nonlocal found
        found += isinstance(item, h5py.Dataset)

    file.visititems(visit)
    if found < len(model.weights):
        raise ModelError(f"'{name}' has weights for {found} of {len(model.weights)} arrays; {DAMAGED}.")


def _fill(layer: Any, group: h5py.Group) -> None:
    """Give a layer, or a model inside the model, its weights from a legacy file.

    The weights are matched by the names of their layer and of themselves. Where names are missing or used twice, the order
    counts: trainable weights first, as Keras wrote them.
    """
    names = [name for name in _names(group, "weight_names") if "StateVar" not in name and "seed_generator" not in name]
    arrays = {name: np.asarray(group[name]) for name in names}
    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    ours = [_key(variable.path) for variable in variables]
    theirs = [_key(name) for name in names]
    if len(set(theirs)) == len(theirs) and sorted(ours) == sorted(theirs):
        order = dict(zip(theirs, names, strict=True))
        values = [arrays[order[key]] for key in ours]
    else:
        values = [arrays[name] for name in names]
    shapes, expected = [value.shape for value in values], [tuple(variable.shape) for variable in variables]
    if shapes != expected:
        raise ValueError(
            f"'{layer.name}' needs {len(expected)} arrays of other shapes than the {len(shapes)} in the file"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names in an attribute; Keras stores a long list in several attributes, with a number behind their name."""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs and len(parts) < 1000:
        parts.append(f"{attribute}{len(parts)}")
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _key(path: str) -> tuple[str, ...]:
    """The name of a layer and of its weight, the same for Keras 2 and Keras 3."""
    parts = path.split(":")[0].split("/")[-2:]
    return *parts[:-1], "kernel" if parts[-1] == "depthwise_kernel" else parts[-1]


def _check_finite(model: keras.Model, name: str) -> None:
    for layer in model._flatten_layers():
        if type(layer).__name__ == "Normalization":
            layer.finalize_state()
    for variable in model.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise ModelError(
                f"'{name}' cannot be used: its weights are not all finite; train it again with a smaller step."
            )
