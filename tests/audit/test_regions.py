"""Text and faces are found where they are."""

from __future__ import annotations

import cv2
import numpy as np

from audit.regions import find_faces, find_text
from samples import ROOT
from tests.audit.known_cues import SIZE


def test_text_and_faces_are_found_where_they_are() -> None:
    page = np.full((*SIZE, 3), 90, np.uint8)
    assert not find_text(page).any()
    cv2.putText(page, "SEVEN DAYS", (60, 90), cv2.FONT_HERSHEY_DUPLEX, 0.9, (250, 250, 250), 2, cv2.LINE_AA)
    ink = (page > 200).all(-1)
    assert find_text(page)[ink].mean() > 0.9
    assert find_text(page).mean() < 0.2
    photo = cv2.imread(str(ROOT / "photos" / "astronaut.jpg"))[..., ::-1]
    assert find_faces(np.ascontiguousarray(photo)).any()
    assert not find_faces(page).any()
