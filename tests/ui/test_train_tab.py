"""The Train tab without a browser: what it shows and offers where no picture can be held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.training.test_splits import frames, others
from ui import train_tab
from ui.class_boxes import MAX_CLASSES
from ui.session import Session
from ui.train_tab import HEADS, MODEL_NAME, TrainState


def test_without_a_held_out_part_there_is_a_model_but_no_figure(tmp_path: Path, session: Session) -> None:
    frames(tmp_path / "empty", 0, 6)
    others(tmp_path / "street", 6)
    galleries = [[(str(path), None) for path in sorted((tmp_path / name).iterdir())] for name in ("empty", "street")]
    names = ["empty", "street", *[""] * (MAX_CLASSES - 2)]
    run = train_tab.run_training(session, next(iter(HEADS)), 0, 2, 2, *names, *galleries, *[None] * (MAX_CLASSES - 2))
    *_, last = run
    assert "There is no held-out figure" in last[0]
    assert last[3].visible is False
    assert session.state(TrainState).evaluation is None
    use, head, html, _ = train_tab.write_head_and_report(session)
    assert (use.interactive, head.interactive, html.interactive) == (True, True, False)
    assert np.isfinite(session.models[MODEL_NAME].predict(np.zeros((90, 160, 3), np.uint8), 1)[0].probability)
    session.close()
