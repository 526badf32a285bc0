"""The texts of the Compare tab: the result of a comparison and of a sanity check."""

from __future__ import annotations

import numpy as np

from explain import METHODS
from explain.compare import Graded, sort_graded
from explain.metrics.sanity import Stage
from ui.plain_text import plain

HIGH_CORRELATION = 0.7  # a map that is still this close to its original does not depend on the network


def describe_comparison(graded: list[Graded], count: int, errors: list[str], prefix: str = "") -> str:
    """The result of a comparison, in a sentence or two.

    Args:
        graded: the finished maps.
        count: of the methods that were chosen.
        errors: a sentence for each method that could not explain.
        prefix: text before the first sentence.
    """
    if not graded:
        return f"{prefix}There is no map yet. {' '.join(errors)}"
    first = graded[0].explanation
    best = sort_graded(graded, "insertion - deletion")[0].explanation
    finished = f"{len(graded)} of {count}" if len(graded) < count else str(count)
    return (
        f"{prefix}**{plain(first.label)}**, {first.probability:.1%}: {finished} method{'s' if count != 1 else ''}. "
        f"Most faithful map: **{METHODS[best.method].title}** (highest insertion - deletion). {' '.join(errors)}\n\n"
        "Insertion and stability: higher is better. Deletion: lower is better."
    )


def describe_sanity(method: str, stages: list[Stage]) -> str:
    """The verdict of the parameter-randomisation test, in a sentence. It uses the last three stages."""
    correlation = float(np.mean([stage.spearman for stage in stages[-3:]]))
    end = f"mean rank correlation {correlation:.2f} in the last three stages"
    if correlation > HIGH_CORRELATION:
        return (
            f"**{method}** fails: the map of a random network is nearly the same ({end}). "
            "The map depends on the picture, not on the model."
        )
    return f"**{method}** passes: the map changes when the weights are random ({end}). The map depends on the model."
