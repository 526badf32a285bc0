"""Measuring shards in worker processes or on Ray. Each worker makes its own auditor from the recipe."""

from __future__ import annotations

from audit.shards import Recipe, pack_shard
from core.workers import Work


def make_measurer(recipe: Recipe) -> Work:
    """In a worker: a function that measures a shard, by its number, and packs it."""
    auditor = recipe.auditor()
    return lambda shard: pack_shard(auditor.measure(recipe.span(shard)))
