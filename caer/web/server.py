"""Starts the page: Streamlit's server with our addresses beside its own, for this machine only unless told otherwise.

Enters: what to serve, an address and a port. Leaves: a running page, until Ctrl-C.
"""

import ipaddress
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

import caer
from caer.report.style import COLOURS
from caer.web.guard import OwnOnly
from caer.web.routes import report_routes, review_routes
from caer.web.served import Served, serve_from
from preprocessing.errors import UserError

MAX_UPLOAD_MB = 20
PAGE = Path(__file__).with_name("page.py")


def serve(served: Served, address: str, port: int) -> None:
    """Serve the page until it is stopped.

    Raises:
        UserError: something named is not there, or the address is taken or no address of this machine.
    """
    served.check()
    check_address(address, port)
    serve_from(served)
    routes = report_routes(served.report_list)
    if served.bench is not None:
        routes += review_routes(served.bench)
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=trusted_hosts(address), www_redirect=False),
        Middleware(OwnOnly),
    ]
    shown = f"[{address}]" if ":" in address else address

    @asynccontextmanager
    async def announce(_: streamlit.App) -> AsyncIterator[dict[str, Any]]:
        print(f"page: http://{shown}:{port} (Ctrl-C ends it)", flush=True)
        yield {}

    # Streamlit puts the folder of the running script on the import path: the project's root is harmless, caer/ is not.
    sys.argv = [str(Path(caer.__file__).parent)]
    streamlit.App(PAGE, routes=routes, middleware=guards, lifespan=announce).run(config=settings(address, port))


def settings(address: str, port: int) -> dict[str, object]:
    """Streamlit's settings; they outrank its files and environment variables."""
    return {
        "server.address": address,
        "server.port": port,
        "server.headless": True,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.allowedHosts": trusted_hosts(address),
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.maxUploadSize": MAX_UPLOAD_MB,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": True,
        "runner.magicEnabled": False,
        "theme.primaryColor": COLOURS["face"],
        "ui.hideTopBar": True,
    }


def trusted_hosts(address: str) -> list[str]:
    """Names under which a browser may ask: a foreign name that was pointed at this machine is not among them."""
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        return ["*"]
    # Starlette compares an IPv6 address with its brackets, Streamlit without them.
    own = [str(ip)] if ip.version == 4 else [f"[{ip}]", str(ip)]
    return ["127.0.0.1", "localhost", "[::1]", *own] if ip.is_loopback else own


def check_address(address: str, port: int) -> None:
    """Raise a `UserError` unless a server can listen there."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        raise UserError(f"--address {address}: no IP address; expected 127.0.0.1 or another one of this machine") from None
    with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise UserError(f"{address}, port {port}: {error.strerror}; choose another --port or --address") from None
