"""The Explain tab without a browser: which run gives results, and what an explanation records."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from capture import quad_from_corners
from core.errors import UserError
from core.stopping import Stopped
from explain.metrics.faithfulness import Curve
from explain.metrics.quick_trust import SHARES, QuickTrust
from samples import ROOT, SAMPLES
from samples.photographs import Scene
from tests.cue_network import classifier as cue_classifier
from tests.cue_network import to_network_size
from tests.ui.conftest import write_picture
from ui import controls, explain_tab, screen
from ui.explain_state import ExplainState
from ui.explain_texts import default_options
from ui.proof import PENDING, render_proof
from ui.session import Session


def test_an_explanation_keeps_the_corners_of_its_own_run(session: Session, scene: Scene, tmp_path: Path) -> None:
    """Also where another picture is looked at before the run ends."""
    path = write_picture(tmp_path / "screen.png", scene.pixels)
    settings = ("mobilenet_v2", "occlusion", "patch=96 stride=96", "224", "", explain_tab.NO_CLASS)
    screen.prepare_picture(session, path)
    run = explain_tab.explain_new(session, path, *settings)
    next(run)
    screen.prepare_picture(session, str(ROOT / "photos" / "cat.jpg"))
    for _ in run:
        pass
    explanation = session.state(ExplainState).explanation
    assert explanation is not None
    assert explanation.parameters["screen"]["photograph"] == [720, 1280]


def test_a_run_that_was_overtaken_looks_at_nothing(session: Session) -> None:
    runs = session.state(ExplainState).runs
    given: dict[str, list] = {}

    def explained(name: str) -> None:
        settings = ("mobilenet_v2", "grad-cam", "", "224", "", explain_tab.NO_CLASS)
        given[name] = list(explain_tab.explain_new(session, str(ROOT / "photos" / name), *settings))

    threads = [threading.Thread(target=explained, args=[name]) for name in ("cat.jpg", "coffee.jpg")]
    with runs.turn():
        for count, thread in enumerate(threads, 2):
            thread.start()
            while runs.started < count:
                time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert given["cat.jpg"] == [explain_tab.SKIP]
    assert given["coffee.jpg"]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_run_that_is_overtaken_before_its_first_map_changes_nothing(
    session: Session, cat: Path, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any result Gradio would empty the tab, perhaps after the map of the newer run."""

    def overtake(*_: Any) -> Iterator[str]:
        session.state(ExplainState).runs.started += 1
        if stopped:
            raise Stopped("Stopped.")
        yield "a map"

    monkeypatch.setattr(explain_tab.explainers, "stream", overtake)
    values = ("mobilenet_v2", "cam", "", next(iter(explain_tab.CANVASES)), "", explain_tab.NO_CLASS)
    assert list(explain_tab.explain_picture(session, str(cat), controls.PREDICTED, *values)) == [explain_tab.SKIP]


def test_the_first_map_does_not_wait_for_the_search_of_a_screen(
    session: Session, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole photograph is explained, then the screen in it: as soon as the search has found it."""
    settings = ("mobilenet_v2", "grad-cam", "", "224", "", explain_tab.NO_CLASS)
    path = write_picture(tmp_path / "screen.png", scene.pixels)
    with monkeypatch.context() as patch:
        patch.setattr(screen, "search", lambda pixels: pytest.fail("the map waits for a search"))
        list(explain_tab.explain_new(session, path, *settings))
    state = session.state(ExplainState)
    assert state.explanation is not None
    assert "screen" not in state.explanation.parameters
    count, box, *_ = screen.find_screen(session, path, 3)
    assert count == 4  # this change starts the next explanation
    assert box.visible
    list(explain_tab.explain_picture(session, path, controls.PREDICTED, *settings))
    assert state.explanation.parameters["screen"]["photograph"] == [720, 1280]
    again, *_ = screen.find_screen(session, path, 4)
    assert isinstance(again, dict)  # nothing changed


def test_a_file_to_download_is_written_on_the_click(session: Session, cat: Path) -> None:
    with pytest.raises(UserError, match="Choose a picture first"):
        explain_tab.write_download("png", session)
    settings = ("mobilenet_v2", "grad-cam", "", "224", "", explain_tab.NO_CLASS)
    list(explain_tab.explain_new(session, str(cat), *settings))
    assert list(session.file("x").parent.iterdir()) == []
    facts = json.loads(Path(explain_tab.write_download("json", session)).read_text())
    assert facts["target"]["label"] == "Egyptian cat"
    raw = np.load(explain_tab.write_download("npy", session))
    explanation = session.state(ExplainState).explanation
    assert explanation is not None
    assert np.array_equal(raw, explanation.raw)
    picture = Image.open(explain_tab.write_download("png", session))
    assert (picture.width, picture.height > 300) == (451, True)


def test_the_proof_is_right_for_planted_evidence(session: Session, tmp_path: Path) -> None:
    """A classifier that knows channels by their badge depends on the map of its class, and not on that of another one."""
    badge = next(sample.path for sample in SAMPLES if sample.kind == "thumbnail")
    path = write_picture(tmp_path / "badge.png", to_network_size(np.asarray(Image.open(badge).convert("RGB"))))
    session.models["cues"] = cue_classifier()
    settings = ("cues", "grad-cam", "", "224", "", explain_tab.NO_CLASS)
    first, *_ = explain_tab.explain_new(session, path, *settings)
    assert (len(first[1]["maps"]), first[4]) == (1, PENDING), "the map does not wait for it"
    assert 'data-verdict="found"' in explain_tab.prove(session)
    state = session.state(ExplainState)
    assert state.explanation is not None
    again = explain_tab.prove(session)
    assert again == gr.skip(), "a map is checked once"

    state.explanation = replace(state.explanation, raw=-state.explanation.raw)  # marks everything but the badge
    state.unchecked = state.runs.started
    assert 'data-verdict="little"' in explain_tab.prove(session)


def test_a_newer_run_ends_the_proof(session: Session, cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("mobilenet_v2", "grad-cam", "", "224", "", explain_tab.NO_CLASS)
    list(explain_tab.explain_new(session, str(cat), *settings))
    state, passes = session.state(ExplainState), []
    forward = explain_tab.stoppable

    def stoppable(classifier: Any, should_stop: Any) -> Any:
        def count() -> bool:
            passes.append(1)
            state.runs.started += 1  # as a click on another class does
            return should_stop()

        return forward(classifier, count)

    monkeypatch.setattr(explain_tab, "stoppable", stoppable)
    assert explain_tab.prove(session) == gr.skip()
    assert len(passes) == 1, "it ended before its first pass"


def test_names_in_the_proof_are_text() -> None:
    check = QuickTrust(
        0.9, *[Curve(np.array([0, *SHARES, 1]), np.full(5, 0.5))] * 4, 20, (np.zeros((2, 2, 3), np.uint8),) * 2
    )
    shown = render_proof(check, "<img src=x onerror=alert(1)>")
    assert "<img src=x" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt; goes from 90% to 50%" in shown


def test_the_same_question_is_answered_once(session: Session, cat: Path) -> None:
    """A menu that is opened and closed without a choice asks again. After Stop the visitor can."""
    state = session.state(ExplainState)

    def ask(method: str, canvas: str = "224", path: Path = cat) -> list:
        settings = ("mobilenet_v2", method, default_options(method), canvas, "", explain_tab.NO_CLASS)
        return list(explain_tab.explain_picture(session, str(path), controls.PREDICTED, *settings))

    assert len(ask("grad-cam")) > 1
    first = state.explanation
    assert ask("grad-cam") == [explain_tab.SKIP]
    assert state.explanation is first
    assert len(ask("grad-cam", "448")) > 1
    assert len(ask("grad-cam")) > 1, "another question came between"
    run = explain_tab.explain_picture(
        session, str(cat), controls.PREDICTED, "mobilenet_v2", "rise", "samples=2000", "224", "", explain_tab.NO_CLASS
    )
    next(run)
    state.runs.stop()
    assert "Stopped" in list(run)[-1][2]
    assert len(ask("grad-cam")) > 1
    corners = quad_from_corners([(5, 5), (90, 8), (88, 70), (6, 66)], (300, 400))
    session.state(screen.Screen).use(corners)
    assert len(ask("grad-cam")) > 1, "other corners are in use"
    coffee = ROOT / "photos" / "coffee.jpg"
    assert len(ask("grad-cam", path=coffee)) > 1
    session.state(screen.Screen).use(corners)
    assert len(ask("grad-cam", path=coffee)) > 1, "corners of another picture that are the same numbers"
