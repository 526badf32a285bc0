"""Explanations in replicas on Ray Serve (https://docs.ray.io/en/latest/serve/), behind one page.

Each replica is a process with its own models. Ray starts more of them when many explanations run, on all machines of its
cluster, and replaces a replica that dies. The page asks again where a replica died. What Ray cannot do, the page does in its
own process: models of visitors, which only the page has, and everything while Ray is full or gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import cv2

from core.errors import UserError
from core.images import Picture
from core.resources import keep_freed_memory
from core.stopping import Stopped, check_stop
from explain import Explanation
from explain.api import ExplainSettings
from models import MODELS, Classifier, load
from ui import monitor
from ui.explainers import LocalExplainers
from ui.runs import stoppable

log = logging.getLogger(__name__)

APPLICATION, DEPLOYMENT = "thumbscope", "Explainer"
ATTEMPTS = 2  # on Ray; then this process computes the explanation
ONGOING = 8  # explanations at a time in one replica; those that arrive together share forward passes
TARGET = 3  # explanations at a time in each replica, above which Ray starts another one
QUEUED = 64  # that wait for a replica; the next ones are computed by the page


class Replica:
    """One process that explains pictures with the embedded models. `threads`: of each forward pass."""

    def __init__(self, threads: int = 1) -> None:
        os.environ["THUMBSCOPE_THREADS"] = str(threads)
        cv2.setNumThreads(threads)
        keep_freed_memory()
        for name, model in MODELS.items():
            if model.embedded:
                load(name)

    async def stream(
        self, model: str, settings: ExplainSettings, picture: Picture
    ) -> AsyncIterator[Explanation | UserError]:
        """The explanations. A mistake of the visitor is the last value: Ray would add a traceback to an exception."""
        cancelled = False
        maps = settings.stream(picture, stoppable(load(model), lambda: cancelled))
        try:
            while (explanation := await asyncio.to_thread(_next, maps)) is not None:
                yield explanation
        except UserError as error:
            yield error
        finally:  # also where the page asks for no more
            cancelled = True


def _next(maps: Iterator[Explanation]) -> Explanation | None:
    """The next explanation; None at the end and after a stop. An iterator's StopIteration cannot leave a thread."""
    try:
        return next(maps, None)
    except Stopped:
        return None


class RayExplainers:
    """Computes explanations on Ray, and in this process what Ray cannot do.

    Args:
        handle: Of the deployment of `Replica`.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle.options(stream=True, method_name="stream")
        self._local = LocalExplainers()

    def stream(
        self, settings: ExplainSettings, picture: Picture, classifier: Classifier, should_stop: Callable[[], bool]
    ) -> Iterator[Explanation]:
        """See `Explainers`."""
        model = MODELS.get(classifier.name)
        shared = bool(model and model.embedded and not model.is_file) and classifier is load(classifier.name)
        if shared:
            plain = Picture(picture.pixels, picture.notes)  # what a tab adds to it stays here
            for _ in range(ATTEMPTS):
                try:
                    with monitor.timed_explanation(settings.choose_method(classifier)[0], lambda: "ray"):
                        yield from self._on_ray(settings, plain, classifier.name, should_stop)
                    return
                except (Stopped, UserError, GeneratorExit):
                    raise
                except Exception as error:  # noqa: BLE001  (a replica died, Ray is full or gone: it raises many types)
                    log.warning("Ray did not finish an explanation: %s", type(error).__name__)
            monitor.fallbacks.inc()
        yield from self._local.stream(settings, picture, classifier, should_stop)

    def _on_ray(
        self, settings: ExplainSettings, picture: Picture, model: str, should_stop: Callable[[], bool]
    ) -> Iterator[Explanation]:
        """The explanations of one attempt. Raises UserError, Stopped, and what Ray raises."""
        response = self._handle.remote(model, settings, picture)
        finished = False
        try:
            for value in response:
                if isinstance(value, UserError):
                    raise value
                check_stop()
                if should_stop():
                    raise Stopped("Stopped.")
                yield value
                finished = value.progress >= 1
        finally:
            if not finished:
                response.cancel()
        if not finished:
            raise ConnectionError("the replica sent no final map")


def connect(address: str = "local", replicas: tuple[int, int] = (1, 2), threads: int = 1) -> RayExplainers:
    """Start the replicas, or join those that another page has started.

    Args:
        address: Of a Ray cluster, such as "auto" or "ray-head:6379"; "local" starts Ray in this machine.
        replicas: The smallest and the largest number of replicas.
        threads: Of each forward pass; a replica occupies as many cores.

    Returns:
        The explainers.

    Raises:
        UserError: Ray is not installed, or it does not start.
    """
    # Without this, a request after the end of the cluster would start another one here.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise UserError("Ray is not installed. Run: pip install -r requirements-ray.txt") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    on_sigterm = signal.getsignal(signal.SIGTERM)  # Ray replaces it
    try:
        ray.init(
            address=None if address == "local" else address,
            include_dashboard=False,
            log_to_driver=False,
            ignore_reinit_error=True,
            namespace=APPLICATION,
            runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"}},
        )
        deployment = serve.deployment(
            Replica,
            name=DEPLOYMENT,
            autoscaling_config={
                "min_replicas": replicas[0], "max_replicas": replicas[1], "target_ongoing_requests": TARGET,
                "upscale_delay_s": 3, "downscale_delay_s": 60,
            },
            max_ongoing_requests=ONGOING,
            max_queued_requests=QUEUED,
            health_check_period_s=2,
            health_check_timeout_s=10,
            graceful_shutdown_timeout_s=5,
            ray_actor_options={"num_cpus": threads},
        )  # fmt: skip
        serve.start(proxy_location="Disabled")  # the page asks the replicas itself
        handle = serve.run(deployment.bind(threads), name=APPLICATION, route_prefix=None)
    except (ConnectionError, RuntimeError, TimeoutError) as error:
        raise UserError(
            f"Ray does not start at '{address}': {type(error).__name__}. Is the cluster running?"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)
    return RayExplainers(handle)


def disconnect() -> None:
    """Leave the cluster, or end the Ray that `connect` has started here."""
    import ray

    ray.shutdown()
