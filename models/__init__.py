"""Classifiers: `load("mobilenet_v2")` gives one by its name.

- `catalogue`: the list of models, and `load`.
- `open`: `open_model`, a classifier from any model file (`keras_file`, `keras_graph`, `keras_clues`, `tflite_file`).
- `labels`, `preprocessing`: labels in files; how pixels are scaled, and how that is found out.
- `capabilities`: what a classifier can do, and which methods need it.
- `classifier`: `Classifier`, the interface that every other folder uses.
- `geometry`: where a picture lies on the canvas of a network, and the way back.
- `engine`, `litert`: forward passes, through TensorFlow and through LiteRT.
- `gradients`, `head`: gradients of the network, and of the part behind its features.
- `embedded`: the two ImageNet networks with weights in this repository.
- `applications`: the networks of keras.applications.
- `from_keras`, `keras_copy`: any other Keras model as a `Classifier`.
- `trained_head`: classifiers whose head was trained here.
- `randomised`: copies with randomised weights.
- `cli`: what commands that load a model share.

`train`, `evaluate` and `thumbnails` are old names of commands; they print the new names.
"""

from __future__ import annotations

from models.catalogue import DEFAULT, MODELS, Model, load
from models.classifier import Classifier, Prediction
from models.open import open_model

__all__ = ["DEFAULT", "MODELS", "Classifier", "Model", "Prediction", "load", "open_model"]
