"""Explain folders of pictures: recursively, in several processes or on Ray, and with continuing after an interruption."""

from batch.command import add_batch_options, explain_batch
from batch.inputs import find_pictures, is_batch
from batch.run import BatchRecipe, run_batch

__all__ = ["BatchRecipe", "add_batch_options", "explain_batch", "find_pictures", "is_batch", "run_batch"]
