"""Running an audit: `audit` on pictures in memory, `run_audit` on files, also in worker processes or on Ray.

Both call `Auditor.measure` on shards: short runs of neighbouring pictures. `run_audit` keeps the rows of each finished shard
as one file. It does not measure these shards again, so an interrupted audit can continue. A worker that dies loses only the
work on its current shard.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audit.auditor import Auditor, AuditSettings
from audit.results import Audit
from audit.shards import SHARD_SIZE, DamagedShardError, Measured, Recipe, Store, pack_shard
from audit.summarise import summarise
from audit.workers import make_measurer
from core.workers import work_in_processes, work_on_ray
from models import Classifier

Progress = Callable[[int, int], object]


def audit(
    classifier: Classifier,
    pictures: Sequence[Any],
    labels: Sequence[int | str],
    *,
    subjects: Sequence[np.ndarray | None] | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Audit:
    """Test whether a classifier has learned the subjects of its classes, or a shortcut (a spurious correlation).

    >>> from audit.planted import planted_scenes, train_on_scenes
    >>> scenes = planted_scenes("ground", correlation=1.0, count=8, seed=0)  # tanks in woods, jeeps in the desert
    >>> classifier = train_on_scenes(scenes, "tanks")
    >>> result = audit(
    ...     classifier,
    ...     [scene.image for scene in scenes],
    ...     [scene.vehicle for scene in scenes],
    ...     subjects=[scene.subject for scene in scenes],
    ... )
    >>> result.sentence
    'Shortcut: “tanks” uses the background to recognise tank, jeep.'

    Args:
        classifier: The classifier under test.
        pictures: Whatever `core.images.read` takes; best pictures that the classifier was not trained on.
        labels: The class of each picture, by label or index.
        subjects: For each picture a mask of its subject, bool (H, W), or None. Without masks the audit takes the middle of
            each picture as its subject.
        progress: Called with the number of finished pictures and the number of all pictures.
        settings: Fields of AuditSettings: `method` of the heatmaps (by default "grad-cam"), `sample` (pictures per class
            whose cues are exchanged, by default 24) and `seed` (by default 0).

    Returns:
        The verdicts and figures. Pictures that cannot be read are listed in `excluded`.

    Raises:
        UserError: Unless there are pictures of two classes, with one label each.
    """
    auditor = Auditor(classifier, pictures, labels, subjects=subjects, settings=AuditSettings(**settings))
    return summarise(auditor, measure_shards(auditor, progress))


def measure_shards(auditor: Auditor, progress: Progress | None = None, size: int = SHARD_SIZE) -> Iterator[Measured]:
    """Measure shard after shard, `size` pictures each. To stop the work, close the iterator."""
    total = len(auditor.pictures)
    for start in range(0, total, size):
        yield auditor.measure(range(start, min(start + size, total)))
        if progress:
            progress(min(start + size, total), total)


def run_audit(
    recipe: Recipe,
    *,
    keep: Path | None = None,
    workers: int = 0,
    ray: str | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Run the audit that a recipe describes. The figures do not depend on where it runs, to the last bit.

    Args:
        recipe: The model, the pictures and the options.
        keep: A folder for the shards, from which an interrupted audit can continue. Default: a temporary folder.
        workers: The number of processes, or of actors on Ray; 0 means this process.
        ray: The address of a Ray cluster, or "local".
        progress: Called with the number of finished pictures and the number of all pictures.

    Returns:
        The verdicts and figures. Pictures that cannot be read are listed in `excluded`.

    Raises:
        UserError: Where the model or the pictures cannot be used, or the shards cannot be written.
    """
    auditor = recipe.auditor()  # raises for wrong arguments here, before any worker starts
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(keep or Path(scratch), recipe)
        missing = store.missing(recipe.shards)
        count = len(recipe.pictures)

        def put(shard: int, content: bytes) -> None:
            store.put(shard, content)
            missing.remove(shard)
            if progress:
                progress(count - sum(len(recipe.span(number)) for number in missing), count)

        todo = list(missing)
        if ray is not None:
            work_on_ray(make_measurer, recipe, todo, lambda n, content: put(todo[n], content), max(1, workers), ray)
        elif workers:
            work_in_processes(make_measurer, recipe, todo, lambda n, content: put(todo[n], content), workers)
        else:
            for shard in todo:
                put(shard, pack_shard(auditor.measure(recipe.span(shard))))

        def read_or_repair(shard: int) -> Measured:
            try:
                return store.get(shard)
            except DamagedShardError:
                store.put(shard, pack_shard(auditor.measure(recipe.span(shard))))
                return store.get(shard)

        return summarise(auditor, map(read_or_repair, range(recipe.shards)))
