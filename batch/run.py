"""Explain the pictures of a batch: here, in worker processes, or on Ray. Each picture is independent of all others."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from batch.inputs import Entry
from batch.journal import Journal, delete_temporary_files, key_of
from core.errors import UserError
from core.files import encode_npy, encode_png, write_atomically
from core.images import Picture, read
from core.workers import Work, work_in_processes, work_on_ray
from explain import render
from explain.api import ExplainSettings
from explain.result import Explanation
from models import Classifier, load
from models.cli import warm_up

CHUNK = 16  # pictures that a worker gets at a time
PART = 256  # pictures of a Parquet file on Ray: the most work that an interruption loses

Task = tuple[Entry, tuple[ExplainSettings, ...]]
"""A picture, and the ways in which it is still to be explained."""


@dataclass(frozen=True)
class BatchRecipe:
    """What each worker needs.

    `opening`: names and values of further arguments of `models.load`. `npy`: also write each heatmap. `parquet`: return tables
    with the maps on their grids in place of files. `started`: the time of the start of this run, in nanoseconds.
    """

    model: str
    settings: tuple[ExplainSettings, ...]
    out: str
    opening: tuple[tuple[str, str], ...] = ()
    colormap: str = render.COLORMAPS[0]
    opacity: float = 0.6
    npy: bool = False
    parquet: bool = False
    started: int = 0

    def key(self, entry: Entry, settings: ExplainSettings) -> int:
        """A number for a picture as it is now on disk, explained in this way."""
        return key_of(entry.path, json.dumps(asdict(settings), default=str), self.fingerprint)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything except pictures and methods that the results depend on; of files, their size and time."""
        facts = asdict(replace(self, out="", started=0, settings=()))
        stats = [
            (name, Path(name).stat().st_size, Path(name).stat().st_mtime_ns)
            for name in (self.model, *dict(self.opening).values())
            if Path(name).is_file()
        ]
        return hashlib.sha256(json.dumps([facts, stats], default=str).encode()).hexdigest()[:16]


class _Explainer:
    """Explains pictures with one classifier. `classifier`: by default it is loaded."""

    def __init__(self, recipe: BatchRecipe, classifier: Classifier | None = None) -> None:
        self._recipe = recipe
        self._out = Path(recipe.out)
        self._journal = Journal(self._out)
        self._classifier = classifier or load(recipe.model, **dict(recipe.opening))  # type: ignore[arg-type]
        if classifier is None:
            warm_up(self._classifier)

    def explain(self, task: Task) -> Iterator[tuple[dict[str, Any], Explanation | None]]:
        """The facts about a picture and its explanation, by each method; the explanation is None where there is a problem."""
        entry, all_settings = task
        picture, problem = Picture(np.zeros((0, 0, 3), np.uint8)), ""
        try:
            picture = read(entry.path)
        except UserError as error:
            problem = str(error)
        for settings in all_settings:
            key = self._recipe.key(entry, settings)
            facts = {"image": entry.path, "method": settings.method, "key": key, "problem": problem}
            explanation = None
            if not problem:
                try:
                    explanation = settings.explain(Picture(picture.pixels), self._classifier)
                    facts |= explanation.to_dict() | {"notes": [*picture.notes, *explanation.notes]}
                except UserError as error:
                    facts["problem"] = str(error)
            if not self._recipe.parquet:
                self._write(entry, picture, explanation, facts)
            yield facts, explanation

    def _write(self, entry: Entry, picture: Picture, explanation: Explanation | None, facts: dict[str, Any]) -> None:
        """Write the overlay and the line about it, in an order such that a kill at any time loses or repeats nothing."""
        if explanation is None:
            self._journal.append(facts)
            return
        overlay = self._out / f"{entry.name}.{explanation.method}.png"
        facts["overlay"] = overlay.relative_to(self._out).as_posix()
        sheet = render.sheet(picture.pixels, explanation, self._recipe.colormap, self._recipe.opacity)
        try:
            if self._recipe.npy:
                heatmap = overlay.with_suffix(".npy")
                write_atomically(heatmap, encode_npy(explanation.heatmap))
                facts["map"] = heatmap.relative_to(self._out).as_posix()
            write_atomically(overlay, encode_png(sheet), before=lambda: self._journal.append(facts))
        except OSError as error:
            raise UserError(f"'{overlay}' cannot be written ({error.strerror}); run the same command again.") from error

    def run(self, tasks: Sequence[Task]) -> int:
        """Explain pictures and write their files; returns how many have a problem. What this run has done is not repeated."""
        failed = 0
        for entry, all_settings in tasks:
            missing = tuple(settings for settings in all_settings if not self._is_done(entry, settings))
            failed += any(explanation is None for _, explanation in list(self.explain((entry, missing))))
        return failed

    def _is_done(self, entry: Entry, settings: ExplainSettings) -> bool:
        """Whether this run has written the file: a worker that died after it."""
        overlay = self._out / f"{entry.name}.{settings.method}.png"
        return overlay.exists() and overlay.stat().st_mtime_ns >= self._recipe.started

    def table(self, tasks: Sequence[Task]) -> bytes:
        """A Parquet file with a row per picture and method: top classes, and the map on its grid."""
        import pyarrow as pa
        import pyarrow.parquet as parquet

        rows = []
        for task in tasks:
            for facts, explanation in self.explain(task):
                raw = np.zeros((0, 0), np.float32) if explanation is None else explanation.raw
                top = () if explanation is None else explanation.top
                rows.append(
                    {
                        "image": facts["image"],
                        "method": facts["method"],
                        "top_labels": [prediction.label for prediction in top],
                        "top_probabilities": [prediction.probability for prediction in top],
                        "map": raw.ravel().tolist(),
                        "rows": raw.shape[0],
                        "columns": raw.shape[1],
                        "notes": list(facts.get("notes", [])),
                        "problem": facts["problem"],
                        "key": str(facts["key"]),
                    }
                )
        kinds = {
            "image": pa.string(), "method": pa.string(), "top_labels": pa.list_(pa.string()),
            "top_probabilities": pa.list_(pa.float32()), "map": pa.list_(pa.float32()), "rows": pa.int32(),
            "columns": pa.int32(), "notes": pa.list_(pa.string()), "problem": pa.string(), "key": pa.string(),
        }  # fmt: skip
        file = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(rows, pa.schema(list(kinds.items()))), file)
        return file.getvalue()


def make_explainer(recipe: BatchRecipe) -> Work:
    """In a worker: a function that explains a chunk of pictures. It returns the number of failures, or a Parquet file."""
    explainer = _Explainer(recipe)
    if recipe.parquet:
        return explainer.table
    return lambda tasks: str(explainer.run(tasks)).encode()


@dataclass(frozen=True)
class BatchResult:
    """How a batch ended: numbers of pictures that were finished before, explained now, and not explained; and the seconds."""

    before: int
    explained: int
    failed: int
    seconds: float


def run_batch(
    recipe: BatchRecipe,
    entries: Sequence[Entry],
    classifier: Classifier,
    *,
    workers: int = 0,
    ray: str | None = None,
    advance: Callable[[int], object] = lambda _: None,
) -> BatchResult:
    """Explain all pictures that are not finished yet.

    Args:
        recipe: How.
        entries: The pictures, see `batch.inputs.find_pictures`.
        classifier: The model of the recipe, for the pictures that are explained in this process.
        workers: The number of processes, or of actors on Ray; 0 means this process.
        ray: The address of a Ray cluster, or "local": writes Parquet files in place of pictures.
        advance: Called with a number of pictures that are finished.

    Returns:
        The counts. `results.jsonl`, or on Ray the Parquet files, name every picture with its result or its error.
    """
    start = time.perf_counter()
    out = Path(recipe.out)
    delete_temporary_files(out)
    recipe = replace(recipe, started=time.time_ns(), parquet=ray is not None)
    finished = _keys_in_parquet(out) if recipe.parquet else Journal(out).finished()
    tasks = [(entry, tuple(s for s in recipe.settings if recipe.key(entry, s) not in finished)) for entry in entries]
    todo = [task for task in tasks if task[1]]
    advance(len(entries) - len(todo))
    size = PART if recipe.parquet else CHUNK
    chunks = [todo[start : start + size] for start in range(0, len(todo), size)]
    first = len(list(out.glob("part-*.parquet")))
    failed = 0

    def put(index: int, content: bytes) -> None:
        nonlocal failed
        if recipe.parquet:
            write_atomically(out / f"part-{first + index:07d}.parquet", content)
            failed += _count_problems(content)
        else:
            failed += int(content)
        advance(len(chunks[index]))

    if ray is not None:
        work_on_ray(make_explainer, recipe, chunks, put, max(1, workers), ray)
    elif workers:
        work_in_processes(make_explainer, recipe, chunks, put, workers)
    else:
        explainer = _Explainer(recipe, classifier)
        for task in todo:
            failed += explainer.run([task])
            advance(1)
    return BatchResult(len(entries) - len(todo), len(todo) - failed, failed, time.perf_counter() - start)


def _keys_in_parquet(out: Path) -> set[int]:
    """The keys of the pictures in the Parquet files of a folder."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:  # the run itself says that Ray is missing
        return set()
    return {
        int(key)
        for path in sorted(out.glob("part-*.parquet"))
        for key in parquet.read_table(path, columns=["key"]).column("key").to_pylist()
    }


def _count_problems(content: bytes) -> int:
    """The number of pictures with a problem in a Parquet file."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(io.BytesIO(content), columns=["image", "problem"]).to_pylist()
    return len({row["image"] for row in rows if row["problem"]})
