"""Health and figures of the server."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from core.images import read
from explain.api import ExplainSettings
from models import Classifier
from ui import warm
from ui.explainers import LocalExplainers
from ui.monitor import Monitor


def client(metrics: bool = True) -> TestClient:
    answer = Route(
        "/{path:path}",
        lambda request: PlainTextResponse("", 404 if "missing" in request.url.path else 200),
        methods=["GET", "POST"],
    )
    return TestClient(Monitor(Starlette(routes=[answer]), metrics=metrics))


def figures(visitor: TestClient) -> dict[str, float]:
    lines = visitor.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_healthy_means_that_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = client()
    monkeypatch.setattr(warm.READY, "is_set", lambda: False)
    assert visitor.get("/healthz").status_code == 503
    assert visitor.get("/healthz").json() == {"status": "starting"}
    monkeypatch.setattr(warm.READY, "is_set", lambda: True)
    assert visitor.get("/healthz").status_code == 200
    assert visitor.get("/healthz").json() == {"status": "ok"}


def test_figures_are_not_public_by_default() -> None:
    assert client(metrics=False).get("/metrics").text == ""


def test_requests_are_counted_by_kind_and_not_by_name() -> None:
    visitor = client()
    before = figures(visitor)
    for name in ("a", "b", "c"):
        visitor.get(f"/gradio_api/file=/tmp/gradio/{name}/secret.jpg")
    visitor.post("/gradio_api/queue/join")
    visitor.get("/missing")
    after = figures(visitor)
    rows = {
        'thumbscope_requests_total{place="file=",status="200"}': 3,
        'thumbscope_requests_total{place="queue/join",status="200"}': 1,
        'thumbscope_requests_total{place="other",status="404"}': 1,
    }
    for row, more in rows.items():
        assert after[row] - before.get(row, 0) == more
    assert "secret" not in visitor.get("/metrics").text


def test_explanations_are_timed(mobilenet: Classifier, cat: Path) -> None:
    visitor = client()
    row = 'thumbscope_explanation_seconds_count{method="grad-cam",where="page"}'
    before = figures(visitor)
    *_, explanation = LocalExplainers().stream(ExplainSettings(), read(cat), mobilenet, lambda: False)
    after = figures(visitor)
    assert after[row] - before.get(row, 0) == 1
    assert after["thumbscope_explanations_running"] == before["thumbscope_explanations_running"]
    seconds = row.replace("_count", "_sum")
    assert after[seconds] - before.get(seconds, 0) >= explanation.seconds
