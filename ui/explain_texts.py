"""The texts of the Explain tab: what an explanation shows, and what a method and a model are."""

from __future__ import annotations

from explain import METHODS, Explanation
from explain.result import describe_cost, describe_location
from models import MODELS
from ui.controls import model_title, progress_bar
from ui.plain_text import plain


def describe_explanation(explanation: Explanation) -> str:
    """The target class, where its evidence is, and what the explanation cost; as Markdown."""
    target = f"**{plain(explanation.label)}**, {explanation.probability:.1%}"
    if explanation.against:
        other = f"**{plain(explanation.against.label)}**, {explanation.against.probability:.1%}"
        first = f"{target} (orange), compared with {other} (blue)."
    else:
        first = f"{target}. {describe_location(explanation.heatmap)}"
    method, model = METHODS[explanation.method].title, plain(model_title(explanation.model))
    progress = "" if explanation.progress == 1 else f"{explanation.progress:.0%} done, "
    bar = "" if explanation.progress == 1 else progress_bar(explanation.progress)
    error = "" if explanation.error is None else f", estimated error {explanation.error:.0%}"
    sentences = [f"{method} on {model}: {progress}{describe_cost(explanation)}{error}."]
    if explanation.padding_share >= 0.005:
        share = f"{explanation.padding_share:.0%}"
        sentences.append(f"{share} of the heat is on the padding around the picture, which is not shown.")
    return f"{bar}{first}\n\n{' '.join([*sentences, *map(plain, explanation.notes)])}"


def describe_map(explanation: Explanation) -> str:
    """What the map shows, in a sentence without Markdown, for people who do not see it."""
    method = METHODS[explanation.method].title
    if explanation.against:
        return f"{method} map: evidence for {explanation.label} against {explanation.against.label}."
    return f"{method} map of {explanation.label}. {describe_location(explanation.heatmap)}"


def describe_choice(model: str, method: str) -> str:
    """One line about the chosen method, its cost and its options, and one line about the model; as Markdown."""
    chosen = METHODS[method]
    about = f"**{chosen.title}**: {chosen.summary} Cost: {chosen.cost}."
    if chosen.bounds:
        about += f" Options: {', '.join(f'{name} ({bounds})' for name, bounds in chosen.bounds.items())}."
    if model not in MODELS:
        return f"{about}\n\n**{plain(model)}**: your own model. Only you can see it."
    info = MODELS[model]
    source = "built in" if info.embedded else "downloaded at first use"
    if not info.parameters:
        return f"{about}\n\n**{info.title}**: {info.weights}."
    return f"{about}\n\n**{info.title}**: {info.parameters / 1e6:.1f} million parameters, {info.score}, {source}."


def default_options(method: str) -> str:
    """The options of a method with their default values, as they can be typed."""
    return " ".join(f"{name}={value}" for name, value in METHODS[method].options.items())
