"""What a classifier can do, and the sentence for a method that needs more.

Every classifier runs forwards, which is enough for the methods by perturbation. Other methods need one or more of these:

- "features": a spatial map of features, and the head behind it.
- "feature-gradient": the gradient with respect to the features.
- "linear": a head of global average pooling and one dense layer.
- "gradient": the gradient with respect to the pixels.
- "guided": ReLU layers whose gradient can be replaced.
- "attention": layers of attention, each between all tokens of a transformer; see `models.attention`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, get_args

from core.errors import ModelError

if TYPE_CHECKING:
    from models.classifier import Classifier

Capability = Literal["features", "feature-gradient", "linear", "gradient", "guided", "attention"]
ALL: frozenset[str] = frozenset(get_args(Capability))
FAMILY_NEEDS: dict[str, tuple[Capability, ...]] = {
    "cam": ("features", "feature-gradient"), "gradient": ("gradient",), "attention": ("attention",),
    "perturbation": (), "combination": (),
}  # fmt: skip
_PHRASES = {
    "features": "a spatial map of features",
    "feature-gradient": "gradients with respect to the features",
    "linear": "a model that ends in global average pooling and one dense layer",
    "gradient": "gradients with respect to the pixels",
    "guided": "ReLU layers",
    "attention": "a transformer of Keras with attention between all of its tokens",
}
FALLBACK = "occlusion"  # works with every classifier


def lacks(classifier: Classifier, needs: Iterable[str]) -> str:
    """What a classifier lacks of some needs, as a phrase; empty if it lacks nothing.

    >>> from models import load
    >>> lacks(load("mobilenet_v2"), ["features", "linear"])
    ''
    """
    missing = frozenset(needs) - classifier.capabilities
    if "features" in missing:  # says enough about the others
        missing -= {"feature-gradient", "linear"}
    return " and ".join(phrase for need, phrase in _PHRASES.items() if need in missing)


def require(classifier: Classifier, method: str, needed: Mapping[str, Iterable[str]]) -> None:
    """Raise ModelError if a classifier lacks what a method needs. The sentence names the methods that do work.

    Args:
        classifier: The classifier.
        method: Name of the method.
        needed: The needs of every method, by its name.
    """
    if missing := lacks(classifier, needed[method]):
        able = [name for name, needs in needed.items() if not lacks(classifier, needs)]
        raise ModelError(
            f"{method} needs {missing}, which '{classifier.name}' does not have; choose {', '.join(able)}."
        )


def choose_method(classifier: Classifier, method: str, needs: Iterable[str]) -> str:
    """A method if a classifier has what it needs, else `FALLBACK`.

    Also `FALLBACK` for a transformer: each token holds parts of the whole picture, so a map of tokens often misses the subject.
    """
    return FALLBACK if classifier.has_tokens or lacks(classifier, needs) else method
