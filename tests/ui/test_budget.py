"""What one line of options may cost: refused before it starts, or ended at the deadline."""

from __future__ import annotations

import resource
import time

import gradio as gr
import pytest

from core.errors import UserError
from core.stopping import Stopped, check_stop, must_stop, stop_by
from explain import METHODS
from samples import ROOT
from ui import budget, endpoints, explain_tab
from ui.budget import Deadline, check_passes, estimate_passes
from ui.explain_state import ExplainState
from ui.session import Session

CAT = str(ROOT / "photos" / "cat.jpg")
WILD = [  # each ended or filled the process
    ("lime", "segments=100000000"), ("lime", "segments=1000 samples=20000"), ("integrated-gradients", "steps=40000"),
    ("integrated-gradients", f"baseline={'black,' * 20_000}black"),
    ("rise", "cells=20000 samples=4"), ("rise", "cells=64 samples=100000"), ("rise", "samples=1000000"),
    ("rise", "samples=-5"), ("rise", "samples=99999"), ("rise", "until=nan"), ("occlusion", "patch=1 stride=1"),
    ("occlusion", "patch=0 stride=0"), ("occlusion", "patch=4 stride=1"), ("smoothgrad", "seed=-1"),
    ("smoothgrad", "noise=inf"), ("smoothgrad", "noise=nan"), ("smoothgrad", "samples=100000"),
    ("smoothgrad", "seed=4294967296"), ("smoothgrad", f"seed={'9' * 4900}"), ("kernel-shap", "cells=64 samples=9999"),
    ("sobol", "cells=64"), ("sobol", "cells=40 rows=1000"), ("hsic", "samples=100000"), ("hsic", "cells=64 samples=3000"),
    ("finite-differences", "grid=100000"), ("finite-differences", "grid=256"), ("finite-differences", "nudge=inf"),
    ("blur-ig", "sigma=1e9"), ("blur-ig", "steps=1e9"), ("extremal", "steps=100000"), ("extremal", "cells=100000"),
    ("layer-cam", f"layers={'a,' * 2000}a"), ("layer-cam", "layers=" + "x" * 4000), ("score-cam", "channels=99999999"),
    ("guided-ig", "fraction=0"), ("consensus", "methods=" + ",".join(["rise"] * 5000)), ("consensus", "methods=" + "x" * 4000),
]  # fmt: skip


@pytest.mark.parametrize(("method", "options"), WILD, ids=lambda text: text[:40])
def test_wild_options_are_a_sentence_at_once(session: Session, method: str, options: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    settings = ("mobilenet_v2", method, options, "224", "", explain_tab.NO_CLASS)
    *_, last = explain_tab.explain_new(session, CAT, *settings)
    assert last[2].startswith("⚠️ ")
    assert last[2].endswith((".", "?"))
    assert len(last[2]) < 400
    assert session.state(ExplainState).explanation is None
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("name", METHODS)
def test_defaults_and_passes(name: str) -> None:
    method = METHODS[name]
    check_passes(name, method.options, 672)
    passes = estimate_passes(method, method.options)
    assert passes == pytest.approx(method.forward_passes + method.backward_passes, rel=0.05)


def test_passes_follow_the_options() -> None:
    rise, occlusion = METHODS["rise"], METHODS["occlusion"]
    assert estimate_passes(rise, {**rise.options, "samples": 3000}) == pytest.approx(3 * 1001)
    assert estimate_passes(occlusion, {**occlusion.options, "stride": 4}) == pytest.approx(16 * 200)
    xrai = METHODS["xrai"]  # two baselines
    assert estimate_passes(xrai, {**xrai.options, "baseline": "black"}) == pytest.approx(67 / 2)
    with pytest.raises(UserError, match="passes"):
        check_passes("rise", {**rise.options, "samples": 5000}, 448)


def test_a_run_ends_at_its_deadline(session: Session) -> None:
    """In the middle of a method. The command line, which sets no deadline, has none."""
    settings = ("mobilenet_v2", "rise", "samples=5000", "224", "", explain_tab.NO_CLASS)
    with stop_by(Deadline(lambda: 0.3).check):
        *_, last = explain_tab.explain_new(session, CAT, *settings)
    assert last[2].startswith("Stopped after 0 s, which is the limit here.")
    with stop_by(Deadline(lambda: 0.1).check), pytest.raises(gr.Error, match="limit"):
        endpoints.explain_upload(CAT, method="rise")


def test_there_is_time_to_show_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    limit, left = [10.0], [False]
    deadline = Deadline(lambda: limit[0], lambda: left[0])
    with stop_by(deadline.check):
        assert not must_stop()
        now[0] = 11
        with pytest.raises(Stopped, match="Stopped after 10 s"):
            check_stop()
        assert not must_stop()
        now[0] = 11.1 + budget.GRACE
        assert must_stop()
        assert must_stop()
    other = Deadline(lambda: limit[0], lambda: left[0])
    with stop_by(other.check):
        now[0] += 9
        assert not must_stop()
        limit[0] = 5  # others wait now
        assert must_stop()
        left[0] = True
        assert must_stop()


def test_slow_runs_are_known_before_they_start() -> None:
    quick = {name for name in METHODS if not budget.is_slow(name)}
    assert {"grad-cam", "saliency", "layer-cam", "recipro-cam", "smoothgrad"} <= quick
    assert not {"rise", "lime", "kernel-shap", "occlusion", "extremal", "consensus"} & quick
    assert budget.is_slow("smoothgrad", "samples=500")
    assert budget.is_slow("smoothgrad", "", "672")
    for wild in (None, [], {"a": 1}, "x", 3, "rise\0"):
        assert not budget.is_slow(wild, wild, wild)
        assert not budget.is_slow("grad-cam", wild, wild)
        assert not budget.needs_download(wild)
    assert budget.needs_download("vgg16")
