"""Links into the Explain tab: `/?sample=coffee&method=saliency` opens that sample with that method.

Only samples have links. A visitor's own picture never leaves the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from explain import METHODS
from models import DEFAULT, MODELS, load
from samples import SAMPLES, Sample
from ui.controls import PREDICTED

NO_CLASS = "none"  # no class to compare with
VIEWS = ("overlay", "side", "only", "contours", "original")
ORDER: tuple[Sample, ...] = tuple(sorted(SAMPLES, key=lambda sample: sample.kind != "thumbnail"))
"""The samples as the page shows them: thumbnails first."""
EXAMPLE = next(sample for sample in SAMPLES if sample.path.stem == "crumb-1")
"""What the page opens with: a thumbnail whose map is easy to read."""


class Link(NamedTuple):
    """What a link opens. `target` and `against` are labels, PREDICTED and NO_CLASS without one. `view`: "" for the default."""

    sample: Sample = EXAMPLE
    model: str = DEFAULT
    method: str = next(iter(METHODS))
    target: str = PREDICTED
    against: str = NO_CLASS
    view: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Link:
        """The link with this query; what is missing or unknown has its default. A model that must be downloaded is unknown."""
        names = {sample.path.stem: sample for sample in SAMPLES}
        model = query.get("model", "")
        model = model if model in MODELS and MODELS[model].embedded else DEFAULT
        labels = {label.casefold(): label for label in load(model).labels}
        target = labels.get(query.get("target", "").casefold(), PREDICTED)
        against = labels.get(query.get("against", "").casefold(), NO_CLASS)
        return cls(
            names.get(query.get("sample", ""), EXAMPLE),
            model,
            query["method"] if query.get("method") in METHODS else cls().method,
            target,
            against if against != target else NO_CLASS,
            query["view"] if query.get("view") in VIEWS else "",
        )


def sample_name(path: str | None) -> str:
    """The name of the sample with the content of this file, as in a link; "" if there is none."""
    if path is None:
        return ""
    file = Path(path)
    sample = next((sample for sample in SAMPLES if sample.path.name == file.name), None)
    if sample is None or sample.path.stat().st_size != file.stat().st_size:
        return ""
    return sample.path.stem if sample.path.read_bytes() == file.read_bytes() else ""


# Puts the link of what is shown on the clipboard. The button says what happened.
COPY_JS = f"""(model, method, target, against) => {{
  const root = document.querySelector("#viewer .viewer"), button = document.querySelector("#copy-link");
  const parts = {{ sample: root?.dataset.sample, model, method, target, against, view: root?.dataset.view }};
  const skip = ["{PREDICTED}", "{NO_CLASS}", "overlay"];
  const query = new URLSearchParams(Object.entries(parts).filter(([, value]) => value && !skip.includes(value)));
  const link = `${{location.origin}}${{location.pathname}}?${{query}}`;
  const say = (text) => {{
    const before = button.dataset.text ??= button.textContent;
    button.textContent = text;
    clearTimeout(window.copyTimer);
    window.copyTimer = setTimeout(() => (button.textContent = before), 2500);
  }};
  if (!parts.sample) return say("Only samples have a link");
  button.dataset.link = link;
  navigator.clipboard.writeText(link).then(() => say("Link copied"), () => say(link));
}}"""
