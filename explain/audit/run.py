"""Running an audit: here, in worker processes, or on Ray. All three call `Auditor.measure` on the same shards.

A shard is a run of neighbouring pictures; its rows are kept as one file as soon as they are known. What is kept is not
measured again, so an audit that was interrupted goes on, and a worker that dies loses its shard's work and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from explain.audit.measure import SAMPLE, Auditor, Rows
from explain.audit.result import Audit, summarise
from models import Classifier, UserError, load
from models.engine import cores, write_atomically
from models.picture import read

SHARD = 32
TRIES = 3  # deaths of the pool in a row, without a shard in between, until an audit gives up
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
FORMAT = 1

Measured = tuple[Rows, list[tuple[int, str]]]
Progress = Callable[[int, int], object]


def audit(
    classifier: Classifier,
    pictures: Sequence[Any],
    labels: Sequence[int | str],
    *,
    subjects: Sequence[np.ndarray | None] | None = None,
    method: str = "grad-cam",
    sample: int = SAMPLE,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Whether a classifier has learned its classes' subjects or a shortcut.

    `pictures`: whatever `models.picture.read` takes, best not those it was trained on; `labels`: the class of each, by label
    or index. `subjects`: where the subject is, bool (H, W) or None for each; without it the test of backgrounds takes the
    middle for the subject. `method`: of explain.METHODS. `sample`: pictures a class whose cues are exchanged. `progress` is
    called with the pictures done and all. Pictures that cannot be read are named in `refused`. Raises UserError unless there
    are two classes.
    """
    auditor = Auditor(classifier, pictures, labels, subjects=subjects, method=method, sample=sample, seed=seed)
    return summarise(auditor, shards(auditor, progress))


def shards(auditor: Auditor, progress: Progress | None = None, size: int = SHARD) -> Iterator[Measured]:
    """What is measured, shard after shard; closing the iterator ends the work."""
    total = len(auditor.pictures)
    for start in range(0, total, size):
        yield auditor.measure(range(start, min(start + size, total)))
        if progress:
            progress(min(start + size, total), total)


@dataclass(frozen=True)
class Recipe:
    """All that another process needs to make the same auditor: a model's name or file, and paths."""

    model: str
    pictures: tuple[str, ...]
    labels: tuple[str, ...]
    subjects: tuple[str | None, ...] | None = None
    method: str = "grad-cam"
    sample: int = SAMPLE
    seed: int = 0
    shard: int = SHARD

    def auditor(self) -> Auditor:
        """The auditor; raises UserError where model or pictures cannot be had."""
        masks = None if self.subjects is None else Masks(self.subjects)
        return Auditor(
            load(self.model), self.pictures, self.labels, subjects=masks,
            method=self.method, sample=self.sample, seed=self.seed,
        )  # fmt: skip

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-len(self.pictures) // self.shard)

    def span(self, shard: int) -> range:
        """The pictures of a shard."""
        return range(shard * self.shard, min((shard + 1) * self.shard, len(self.pictures)))

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that the figures depend on; of files their names, sizes and times."""
        files = [self.model, *self.pictures, *(name for name in self.subjects or () if name)]
        stats = [
            (name, Path(name).stat().st_size, Path(name).stat().st_mtime_ns) for name in files if Path(name).exists()
        ]
        content = json.dumps([FORMAT, asdict(self), stats])
        return hashlib.sha256(content.encode()).hexdigest()


class Masks(Sequence):
    """Masks read from pictures when they are asked for: True where a picture is bright."""

    def __init__(self, paths: Sequence[str | None]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        path = self._paths[index]
        return None if path is None else read(path).pixels.mean(-1) > 127


def folder(model: str, directory: Path, subjects: Path | None = None, **how: Any) -> tuple[Recipe, list[str]]:
    """A recipe for class folders, at any depth, and which folders were left out because the model has no such class.

    `subjects`: a folder laid out in the same way, with masks as PNG. Raises UserError where there is nothing to audit.
    """
    if not directory.is_dir():
        raise UserError(f"There is no folder '{directory}'; name a folder of class folders.")
    labels = set(load(model).labels)
    files = sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES)
    known = [path for path in files if path.parent.name in labels]
    strange = sorted({path.parent.name for path in files} - labels)
    if len({path.parent.name for path in known}) < 2:
        some = ", ".join(sorted(labels)[:5])
        raise UserError(f"'{directory}' has no two folders named as classes of {model} are ({some}, ...); rename them.")
    masks = None
    if subjects is not None:
        beside = [subjects / path.relative_to(directory).with_suffix(".png") for path in known]
        masks = tuple(str(path) if path.exists() else None for path in beside)
        if not any(masks):
            raise UserError(f"'{subjects}' has no masks; lay it out as '{directory}', with a PNG for each picture.")
    names = tuple(path.parent.name for path in known)
    return Recipe(model, tuple(map(str, known)), names, masks, **how), strange


class Store:
    """Shards on disk. Those of another audit, told by its fingerprint, are deleted when it is opened."""

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        self._directory = directory
        mark = directory / "audit-of"
        if mark.exists() and mark.read_text(encoding="utf-8") != recipe.fingerprint:
            for path in directory.glob("*.npz"):
                path.unlink()
        write_atomically(mark, recipe.fingerprint.encode())

    def path(self, shard: int) -> Path:
        """Where a shard is kept."""
        return self._directory / f"{shard:07d}.npz"

    def missing(self, count: int) -> list[int]:
        """The shards that are not there."""
        there = {path.name for path in self._directory.glob("*.npz")}
        return [shard for shard in range(count) if self.path(shard).name not in there]

    def put(self, shard: int, content: bytes) -> None:
        """Keep what `packed` made, whole or not at all."""
        write_atomically(self.path(shard), content)

    def get(self, shard: int) -> Measured:
        """What was measured."""
        with np.load(self.path(shard), allow_pickle=False) as file:
            rows = {name: file[name] for name in file.files if name != "refused"}
            return rows, [(int(index), why) for index, why in json.loads(str(file["refused"]))]


def packed(measured: Measured) -> bytes:
    """A shard's rows as the bytes of an .npz."""
    file = io.BytesIO()
    rows, refused = measured
    np.savez(file, refused=np.array(json.dumps(refused)), **rows)  # type: ignore[arg-type]
    return file.getvalue()


def run(
    recipe: Recipe,
    *,
    keep: Path | None = None,
    workers: int = 0,
    ray: str | None = None,
    progress: Progress | None = None,
) -> Audit:
    """The audit of a recipe. `keep`: a folder for the shards, so that an audit can go on where it was interrupted.

    `workers`: processes, or Ray's actors; 0 for none but this. `ray`: a cluster's address, or "local". All ways give the
    same figures to the last bit.
    """
    auditor = recipe.auditor()  # what is wrong with the arguments is found here and not in a worker
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(keep or Path(scratch), recipe)
        missing = store.missing(recipe.shards)
        count = len(recipe.pictures)

        def put(shard: int, content: bytes) -> None:
            store.put(shard, content)
            missing.remove(shard)
            if progress:
                progress(count - sum(len(recipe.span(each)) for each in missing), count)

        todo = list(missing)
        if ray is not None:
            _on_ray(recipe, todo, put, max(1, workers), ray)
        elif workers:
            _in_processes(recipe, todo, put, workers)
        else:
            for shard in todo:
                put(shard, packed(auditor.measure(recipe.span(shard))))
        return summarise(auditor, (store.get(shard) for shard in range(recipe.shards)))


_mine: dict[str, Any] = {}


def _begin(recipe: Recipe, threads: int) -> None:
    """In a worker: get ready, with so many threads that the workers do not get in each other's way."""
    os.environ["THUMBSCOPE_THREADS"] = str(threads)
    cv2.setNumThreads(threads)
    _mine["recipe"], _mine["auditor"] = recipe, recipe.auditor()


def _work(shard: int) -> bytes:
    """In a worker: measure a shard."""
    return packed(_mine["auditor"].measure(_mine["recipe"].span(shard)))


def _in_processes(recipe: Recipe, todo: list[int], put: Callable[[int, bytes], None], workers: int) -> None:
    """Shards in processes of their own; when one is killed the pool is made anew for what is left."""
    context = multiprocessing.get_context(
        "spawn"
    )  # a forked child would share LiteRT's threads, which do not survive it
    threads = max(1, cores() // workers)
    deaths = 0
    while todo:
        try:
            with ProcessPoolExecutor(workers, context, _begin, (recipe, threads)) as pool:
                waiting: dict[Future[bytes], int] = {}
                queue = iter(list(todo))
                while todo:
                    for shard in queue:  # no more on their way than there are hands: memory stays flat
                        waiting[pool.submit(_work, shard)] = shard
                        if len(waiting) >= 2 * workers:
                            break
                    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        shard = waiting.pop(future)
                        put(shard, future.result())
                        todo.remove(shard)
                        deaths = 0
        except BrokenProcessPool:
            deaths += 1
            if deaths >= TRIES:
                raise


def _on_ray(recipe: Recipe, todo: list[int], put: Callable[[int, bytes], None], workers: int, address: str) -> None:
    """Shards through Ray Data: a pool of actors, one model each; Ray restarts those that die."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError("Ray is not installed; pip install -r requirements-ray.txt.") from error

    class Worker:
        def __init__(self) -> None:
            _begin(recipe, 1)  # Ray gives an actor one core

        def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
            return {"shard": batch["shard"], "npz": [_work(int(shard)) for shard in batch["shard"]]}

    if not todo:
        return
    root = str(Path(__file__).parents[2])
    ray.init(
        address=None if address == "local" else address,
        include_dashboard=False,
        log_to_driver=False,
        ignore_reinit_error=True,
        runtime_env={"env_vars": {"PYTHONPATH": root}},
    )
    try:
        items = ray.data.from_items([{"shard": shard} for shard in todo], override_num_blocks=len(todo))
        for row in items.map_batches(
            Worker, batch_size=1, compute=ray.data.ActorPoolStrategy(size=workers)
        ).iter_rows():
            put(int(row["shard"]), bytes(row["npz"]))
    finally:
        ray.shutdown()


def table(recipe: Recipe, keep: Path) -> Any:
    """Every picture as a row of an Arrow table: file, class, prediction and the shares of its heat; needs pyarrow."""
    import pyarrow as pa

    from explain.audit.measure import REGIONS

    store, names = Store(keep, recipe), load(recipe.model).labels
    columns: dict[str, list[Any]] = {name: [] for name in ("file", "label", "predicted", "logits", "heat", *REGIONS)}
    for shard in range(recipe.shards):
        rows, _ = store.get(shard)
        for at, index in enumerate(rows["index"].tolist() if rows else ()):
            columns["file"].append(recipe.pictures[index])
            columns["label"].append(recipe.labels[index])
            columns["predicted"].append(names[int(rows["logits"][at].argmax())])
            columns["logits"].append(rows["logits"][at].tolist())
            columns["heat"].append(rows["heat"][at].ravel().tolist())
            for number, region in enumerate(REGIONS):
                columns[region].append(float(rows["share"][at, number]))
    return pa.table(columns)
