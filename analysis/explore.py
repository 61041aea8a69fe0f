"""What is there to be seen? A page on which a run's phase diagram answers a click with the network under it, live.

    python -m analysis.explore [RUN] [--port 5006]

Needs `pip install -e '.[explore]'`. Only this machine sees the page; its address, as it stands in the browser, opens
the same network again. Without RUN there is no diagram, and every network can be dialled.
"""

from __future__ import annotations

import logging
import socket
import sys
import warnings
from argparse import Namespace
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from attractor_jax.config import EVERYTHING
from attractor_jax.parts import TableError
from attractor_jax.systems import drawn
from sweeps.arguments import ArgumentProblem, OneLineParser, answered

if TYPE_CHECKING:
    import pandas as pd
    from bokeh.server.server import Server

HOST = "127.0.0.1"
PORT = 5006
# Two requests at once, each with its portrait and its exponents.
WORKERS = 4


def parser() -> OneLineParser:
    """All options of the command."""
    options = OneLineParser("python -m analysis.explore", "Look at the networks of a run, or at any, on a page.")
    options.add_argument("run", metavar="RUN", type=Path, nargs="?", help="run directory, as the sweep printed it last")
    options.add_argument(
        "--port", metavar="PORT", default=str(PORT), help=f"1024 to 65535, or 0 for any that is free (default: {PORT})"
    )
    return options


def read_port(text: str) -> int:
    """The port that was asked for.

    Raises:
        ArgumentProblem: no number, or none that a person may use.
    """
    port = int(text) if text.isascii() and text.isdigit() else -1
    if port != 0 and not 1024 <= port <= 65535:
        raise ArgumentProblem(f"`--port` must be a number from 1024 to 65535, or 0 for any that is free, got {text!r}")
    return port


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit code (130 once it was stopped, 1 for a run that cannot be read or a port that is
    taken, 2 for bad arguments).
    """
    return answered(lambda: _run(parser().parse_args(argv)))


def _run(arguments: Namespace) -> int:
    # What is wrong with a command line is said before jax and bokeh are loaded.
    port = free_port(read_port(arguments.port))
    if find_spec("bokeh") is None:
        raise ArgumentProblem("the explorer needs bokeh: pip install -e '.[explore]'")
    table = None if arguments.run is None else read_table(arguments.run)
    server, pool = make_server(table, "/".join(arguments.run.parts[-2:]) if arguments.run else "", port)
    print(f"http://{HOST}:{server.port}/  (Ctrl-C ends it)", flush=True)
    try:
        server.io_loop.start()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return 0


def free_port(port: int) -> int:
    """The port, or for 0 one that nobody listens on.

    Raises:
        OSError: somebody does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise OSError(f"`--port` must be one that is free here (0 takes any), got {port}, which is taken") from None
        return int(probe.getsockname()[1])


def read_table(run: Path) -> pd.DataFrame:
    """The cells of a run that has some.

    Raises:
        TableError: it is none, or has none yet.
        ConfigError: its networks were trained, and cannot be turned.
    """
    from attractor_jax.reading import read_run

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = read_run(run)
    for warning in told:
        print(f"warning: {warning.message}", file=sys.stderr)
    if table.empty:
        raise TableError(f"{run} has no finished cells yet")
    drawn(str(table["system"].iloc[0]))
    return table


def make_server(table: pd.DataFrame | None, run: str, port: int) -> tuple[Server, Executor]:
    """A server that listens, and what computes for it. Its event loop is for the caller to start.

    Args:
        table: classified cells; None for a page without a diagram.
        run: what the page calls them.
        port: free.
    """
    from attractor_jax import backend

    devices = backend.start(EVERYTHING)
    from bokeh.document import Document
    from bokeh.server.server import Server
    from bokeh.settings import settings

    from analysis.explorer.page import open_page
    from analysis.explorer.workplace import Workplace, warm

    # A page that is closed while a picture is on its way is nothing to report.
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    settings.resources = "server"  # whatever the environment says: nothing comes from another machine
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="look")
    place = Workplace(table, run, pool, devices)
    pool.submit(warm, place)
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]

    def visited(document: Document) -> None:
        open_page(document, place)

    server = Server({"/": visited}, port=port, address=HOST, allow_websocket_origin=hosts)
    server.start()
    return server, pool


if __name__ == "__main__":
    raise SystemExit(main())
