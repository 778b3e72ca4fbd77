"""Every answer names its request and keeps the browser strict."""

import base64
import hashlib
import re

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.template.loader import render_to_string
from django.test import RequestFactory

from models_app.http.middleware import RequestId, SecurityHeaders

rf = RequestFactory()


def answer(request):
    return HttpResponse(getattr(request, "request_id", ""))


@pytest.mark.parametrize("given", ["3f1c9e2a-77aa-4b0e", "trace:0123.abc_9", "a" * 100])
def test_a_sane_request_id_is_kept(given):
    response = RequestId(answer)(rf.get("/", headers={"X-Request-Id": given}))
    assert response["X-Request-Id"] == given == response.content.decode()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "short",
        "a" * 101,
        "<script>alert(1)</script>",
        "two words here",
        "line1\nline2",
        "ünïcödé-id",
    ],
)
def test_another_request_id_is_replaced(given):
    response = RequestId(answer)(rf.get("/", headers={"X-Request-Id": given}))
    assert response["X-Request-Id"] != given
    assert len(response["X-Request-Id"]) == 32


def test_requests_without_id_get_different_ones():
    first, second = (RequestId(answer)(rf.get("/"))["X-Request-Id"] for _ in range(2))
    assert first != second


def test_pages_get_a_policy_without_inline_or_eval():
    response = SecurityHeaders(answer)(rf.get("/"))
    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    for part in (
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ):
        assert part in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]


def test_api_docs_let_in_their_own_style_block_and_no_other():
    page = render_to_string("drf_spectacular/swagger_ui.html", {"script_url": "/s.js"})
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = SecurityHeaders(answer)(rf.get("/api/docs/"))["Content-Security-Policy"]
    assert f"style-src 'self' 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_a_view_may_be_stricter():
    def sandboxed(request):
        return HttpResponse(headers={"Content-Security-Policy": "sandbox; default-src 'none'"})

    response = SecurityHeaders(sandboxed)(rf.get("/"))
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_streams_pass_untouched():
    def stream(request):
        return StreamingHttpResponse(iter([b"a", b"b"]))

    response = RequestId(SecurityHeaders(stream))(rf.get("/"))
    assert response.streaming
    assert response["X-Request-Id"]
    assert b"".join(response) == b"ab"
