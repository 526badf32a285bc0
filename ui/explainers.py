"""Where explanations are computed: in this process, or in replicas on Ray (ui/ray_explainers.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from core.images import Picture
from explain import Explanation
from explain.api import ExplainSettings
from models import Classifier
from ui import monitor
from ui.runs import stoppable


class Explainers(Protocol):
    """Computes explanations."""

    def stream(
        self, settings: ExplainSettings, picture: Picture, classifier: Classifier, should_stop: Callable[[], bool]
    ) -> Iterator[Explanation]:
        """The intermediate explanations and the last one, see `explain.stream`.

        Args:
            settings: Method, classes and options.
            picture: The picture.
            classifier: The classifier.
            should_stop: Once it is true, the work ends with Stopped.

        Raises:
            UserError: As `explain.stream`.
            Stopped: `should_stop()` was true.
        """
        ...


class LocalExplainers:
    """Computes explanations in this process."""

    def stream(
        self, settings: ExplainSettings, picture: Picture, classifier: Classifier, should_stop: Callable[[], bool]
    ) -> Iterator[Explanation]:
        """See `Explainers`."""
        with monitor.timed_explanation(settings.choose_method(classifier)[0], lambda: "page"):
            yield from settings.stream(picture, stoppable(classifier, should_stop))


_current: Explainers = LocalExplainers()


def use(explainers: Explainers) -> None:
    """Let all tabs and endpoints use these explainers."""
    global _current
    _current = explainers


def stream(
    settings: ExplainSettings, picture: Picture, classifier: Classifier, should_stop: Callable[[], bool]
) -> Iterator[Explanation]:
    """The explanations by the explainers in use. Arguments, results and errors as for `Explainers.stream`."""
    return _current.stream(settings, picture, classifier, should_stop)
