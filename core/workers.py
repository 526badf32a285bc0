"""Work in processes of this machine or on Ray. Each worker is made once and then does one task after the other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2

from core.errors import UserError
from core.resources import available_cores

MAX_DEATHS = 3  # deaths of the pool in a row, without a finished task in between, after which the work fails

Work = Callable[[Any], bytes]
"""What a worker does with a task. Tasks can be pickled."""
MakeWork = Callable[[Any], Work]
"""Makes a worker from a recipe; both can be pickled. It runs in the process of the worker."""

_worker: dict[str, Work] = {}  # of a worker process


def _start_worker(make: MakeWork, recipe: Any, threads: int) -> None:
    """In a worker: make it. `threads`: the worker's share of the cores.

    Ctrl-C in a terminal reaches the workers too. The main process ends them; they print nothing themselves.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["THUMBSCOPE_THREADS"] = str(threads)
    cv2.setNumThreads(threads)
    _worker["work"] = make(recipe)


def _do(task: Any) -> bytes:
    """In a worker: do one task."""
    return _worker["work"](task)


def work_in_processes(
    make: MakeWork, recipe: Any, tasks: Sequence[Any], put: Callable[[int, bytes], None], workers: int
) -> None:
    """Do tasks in processes. When a process is killed, a new pool does the tasks that are left.

    Args:
        make: Makes a worker from the recipe.
        recipe: What a worker needs.
        tasks: The tasks.
        put: Called with the index of each finished task and what the worker returned.
        workers: The number of processes.

    Raises:
        BrokenProcessPool: After MAX_DEATHS deaths in a row.
    """
    context = multiprocessing.get_context("spawn")  # LiteRT's threads do not survive a fork
    threads = max(1, available_cores() // workers)
    left, deaths = dict.fromkeys(range(len(tasks))), 0
    while left:
        try:
            with ProcessPoolExecutor(workers, context, _start_worker, (make, recipe, threads)) as pool:
                waiting: dict[Future[bytes], int] = {}
                queue = iter(list(left))
                while left:
                    for index in queue:  # two tasks per worker at most, so that memory stays constant
                        waiting[pool.submit(_do, tasks[index])] = index
                        if len(waiting) >= 2 * workers:
                            break
                    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        index = waiting.pop(future)
                        put(index, future.result())
                        del left[index]
                        deaths = 0
        except BrokenProcessPool:
            deaths += 1
            if deaths >= MAX_DEATHS:
                raise


def work_on_ray(
    make: MakeWork, recipe: Any, tasks: Sequence[Any], put: Callable[[int, bytes], None], workers: int, address: str
) -> None:
    """Do tasks through Ray Data, in a pool of actors with one worker each. Ray restarts actors that die.

    Args:
        make, recipe, tasks, put: As for `work_in_processes`.
        workers: The number of actors.
        address: Address of the cluster, or "local" to start Ray here.

    Raises:
        UserError: Where Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError("Ray is not installed. Run: pip install -r requirements-ray.txt") from error

    if not tasks:
        return
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    ray.init(
        address=None if address == "local" else address,
        include_dashboard=False,
        log_to_driver=False,
        ignore_reinit_error=True,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    try:
        shared = ray.put(list(tasks))

        class Worker:
            def __init__(self) -> None:
                _start_worker(make, recipe, 1)  # Ray gives an actor one core
                self.tasks = ray.get(shared)

            def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
                return {"index": batch["index"], "result": [_do(self.tasks[int(index)]) for index in batch["index"]]}

        rows = [{"index": index} for index in range(len(tasks))]
        items = ray.data.from_items(rows, override_num_blocks=len(rows))
        pool = ray.data.ActorPoolStrategy(size=workers)
        for row in items.map_batches(Worker, batch_size=1, compute=pool).iter_rows():
            put(int(row["index"]), bytes(row["result"]))
    finally:
        ray.shutdown()
