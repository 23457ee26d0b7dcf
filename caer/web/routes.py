"""What the page serves beside Streamlit's own addresses: pictures of samples, decisions, reports. No address holds a path.

Enters: requests. Leaves: bytes of files that a manifest or a listing names, and answers to decisions as JSON.
"""

import json
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from caer.web.bench import Bench
from caer.web.report_list import Reports
from preprocessing.errors import UserError

MAX_DECISION = 4096
"""Bytes of a decision at most."""
LASTING = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
"""Headers of a picture; its address changes with the manifest."""

REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox allow-popups; frame-ancestors 'self'"
"""A report shows its own pictures and styles; it runs nothing, sends nothing and does not share the page's origin."""


def review_routes(bench: Bench) -> list[Route]:
    """Addresses of the review: `/review/face/ID.jpg`, `/review/photo/ID.jpg`, and `/review/decisions` to write to."""

    def picture(request: Request) -> Response:
        file = bench.picture(request.path_params["kind"], request.path_params["sample"])
        if file is None:
            return PlainTextResponse("no such picture", 404)
        return FileResponse(file, media_type="image/jpeg", headers=LASTING)

    async def decide(request: Request) -> Response:
        refusal = foreign(request)
        if refusal:
            return JSONResponse({"error": refusal}, 403)
        content = await request.body() if int(request.headers.get("content-length", MAX_DECISION + 1)) <= MAX_DECISION else b""
        return await run_in_threadpool(_decided, bench, content)

    return [
        Route("/review/{kind}/{sample}.jpg", picture, methods=["GET"]),
        Route("/review/decisions", decide, methods=["POST"]),
    ]


def report_routes(reports: Reports) -> list[Route]:
    """The address `/reports/KEY` of each report page."""

    def report(request: Request) -> Response:
        file = reports.file(request.path_params["key"])
        if file is None:
            return PlainTextResponse("no such report", 404)
        return FileResponse(file, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": REPORT_POLICY})

    return [Route("/reports/{key}", report, methods=["GET"])]


def foreign(request: Request) -> str:
    """Why a request to write did not come from this page; empty where it did.

    Another site can make a browser send a plain form here, but neither JSON nor this header.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return "the request comes from another site"
    if request.headers.get("content-type", "") != "application/json" or request.headers.get("x-caer-page") != "review":
        return "the request does not come from the page"
    return ""


def _decided(bench: Bench, content: bytes) -> Response:
    try:
        fields = json.loads(content)
    except ValueError:
        fields = None
    if not isinstance(fields, Mapping):
        return JSONResponse({"error": f"expected a decision as JSON of at most {MAX_DECISION} bytes"}, 400)
    try:
        return JSONResponse(bench.decide({str(key): value for key, value in fields.items()}))
    except UserError as error:
        return JSONResponse({"error": str(error)}, 400)
    except OSError as error:
        return JSONResponse({"error": f"{bench.folder}: cannot be written ({error.strerror}); nothing was saved"}, 507)
