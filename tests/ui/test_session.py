"""One visitor's session: its own state, models and files."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from models import load
from ui.session import Session


@dataclass
class Count:
    value: int = 0


def test_every_visitor_has_a_state_of_their_own(session: Session) -> None:
    session.state(Count).value = 3
    assert session.state(Count).value == 3
    other = copy.deepcopy(session)
    assert other.state(Count).value == 0


def test_own_models_come_first_and_are_used(session: Session) -> None:
    own = load("practice_channels")
    session.models["mine"] = own
    assert session.model_choices()[0] == ("mine", "mine")
    assert session.classifier("mine") is own
    assert session.classifier("mobilenet_v2") is load("mobilenet_v2")


def test_files_go_when_the_visitor_goes(session: Session) -> None:
    path = session.file("a.png")
    path.write_bytes(b"x")
    session.close()
    assert not path.parent.exists()
