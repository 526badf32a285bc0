"""Train a classifier of your own: data sets, embeddings, heads, cross-validation and evaluation.

>>> from training import embed, fit
"""

from __future__ import annotations

from training.cross_validation import TrainingResult, train_and_validate
from training.dataset import Dataset, load_dataset
from training.embeddings import embed
from training.settings import TrainingSettings
from training.trainer import fit

__all__ = ["Dataset", "TrainingResult", "TrainingSettings", "embed", "fit", "load_dataset", "train_and_validate"]
