"""`python -m caer app`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from preprocessing.errors import UserError


def run(
    data: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Folder of a manifest to review, as scripts/preprocess.sh made it.")
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Folder of trained runs.")] = Path("runs"),
    reports: Annotated[Path, typer.Option(metavar="DIR", help="Folder of comparison reports.")] = Path("reports"),
    library: Annotated[Path | None, typer.Option(metavar="FILE", help="Photo store, as python -m caer index writes it.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    address: Annotated[
        str, typer.Option(help="Where to listen. Beyond 127.0.0.1, everybody who reaches it sees and changes everything.")
    ] = "127.0.0.1",
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Let the tab Predict fetch a photo from a public http(s) address.")
    ] = False,
) -> None:
    """Serve the page: review a manifest, predict on a photo, search a photo store, look at runs."""
    if find_spec("streamlit") is None:
        raise UserError("the page needs Streamlit, which is not installed; run pip install -r requirements-app.txt")
    from caer.web.served import Served
    from caer.web.server import serve

    serve(Served(data, runs, reports, library, allow_urls), address, port)
