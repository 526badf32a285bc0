"""The process that runs the model of a stranger: `models.isolated` starts it and talks to it.

Usage: python -m models.worker CONNECTION MEMORY, with the number of an open connection and a limit in bytes.
"""

from __future__ import annotations

import resource
import sys
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from core.errors import ModelError, UserError
from models.classifier import Classifier
from models.head import LinearHead
from models.isolated import IDLE_SECONDS, MAX_MESSAGE, pack, unpack
from models.open import open_model

ADDRESSES = 6_000_000_000  # address space that libraries reserve besides the memory that they use
CPU_SECONDS = 3600
FILE_BYTES = 2_000_000_000  # the weights of a model go through a temporary file


def main(connection: Connection, memory: int) -> None:
    """Answer messages until the other side closes, or until nobody asks for long."""
    resource.setrlimit(resource.RLIMIT_AS, (memory + ADDRESSES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    classifier: Classifier | None = None
    while connection.poll(IDLE_SECONDS):
        try:
            facts, arrays = unpack(connection.recv_bytes(MAX_MESSAGE))
        except EOFError:
            return
        try:
            if facts["do"] == "open":
                classifier = open_model(facts["path"], facts["labels"], facts["preprocess"], facts["fit"], public=True)
                connection.send_bytes(describe(classifier))
            else:
                assert classifier is not None
                connection.send_bytes(pack({}, answer(classifier, str(facts["do"]), arrays)))
        except UserError as error:
            connection.send_bytes(pack({"error": str(error)}))
        except MemoryError:
            connection.send_bytes(
                pack({"error": "The model needs more memory than is allowed here; give a smaller one."})
            )


def describe(classifier: Classifier) -> bytes:
    """What the other side must know about a classifier; with the arrays of a linear head."""
    head = classifier.head
    facts: dict[str, Any] = {
        "name": classifier.name, "labels": classifier.labels, "canvas": classifier.canvas, "side": classifier.side,
        "stride": classifier.stride, "activation": classifier.activation, "fit": classifier.fit,
        "capabilities": sorted(classifier.capabilities), "preprocessing": classifier.preprocessing,
        "notes": classifier.notes, "has_tokens": classifier.has_tokens, "hidden_rows": getattr(head, "hidden_rows", 0),
    }  # fmt: skip
    return pack(facts, [head.weights, head.bias] if isinstance(head, LinearHead) else [])


def answer(classifier: Classifier, task: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays that a task gives. Raises ModelError for an unknown task."""
    if task == "forward":
        return list(classifier.forward(*arrays))
    if task == "gradient":
        return [classifier.gradient(*arrays)]
    if task == "guided":
        return [classifier.guided_gradient(*arrays)]
    if task == "attention":
        return list(classifier.attention(*arrays))
    if task == "full":
        total, maps = classifier.full_gradient(*arrays)
        return [np.array([total], np.float32), *maps]
    if task == "head":
        return [classifier.head.logits(*arrays)]
    if task == "head gradient":
        return [classifier.head.gradient(*arrays)]
    raise ModelError(f"There is no task '{task}'.")


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])), int(sys.argv[2]))
