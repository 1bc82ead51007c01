"""OHIF in a headless Chromium, as a radiologist's workstation in front of a PACS with DICOMweb.

OHIF is served from where `deploy/bootstrap.sh test` unpacks it; what it asks of ``/dicom-web`` goes on to Orthanc.
"""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, sync_playwright

OHIF = Path(sys.prefix) / "share" / "ohif" / "dist"
CHROMIUM = shutil.which("chromium")
PATIENCE_MILLISECONDS = 90_000.0
DRAWING = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox")
SIZE = (1600, 1000)
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}

CONFIGURATION = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "pacs",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "pacs",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "pacs",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "wadoUriRoot": "/dicom-web",
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "omitQuotationForMultipartRequest": True,
                "bulkDataURI": {"enabled": True},
            },
        }
    ],
}


class Ohif:
    """The viewer with one study open: `open_series` shows a series as a double click on its thumbnail does."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self._url = page, url

    def open_study(self, study_instance_uid: str) -> None:
        """Open a study and wait until its series are listed."""
        self.page.goto(f"{self._url}/viewer?StudyInstanceUIDs={study_instance_uid}")
        self.page.locator("[data-cy^=study-browser-thumbnail]").first.wait_for(timeout=PATIENCE_MILLISECONDS)
        self._settle()

    def series(self) -> list[str]:
        """What the list of series says of each."""
        return [" ".join(each.split()) for each in self.page.locator("[data-cy^=study-browser-thumbnail]").all_inner_texts()]

    def open_series(self, description: str) -> Locator:
        """Show the series of that description; the viewport it is shown in."""
        self.page.locator("[data-cy^=study-browser-thumbnail]", has_text=description).first.dblclick()
        self._settle()
        return self.viewport

    @property
    def viewport(self) -> Locator:
        """The one viewport that fills the middle of the page."""
        return self.page.locator("[data-cy=viewport-grid]")

    def place(self) -> tuple[float, float, float, float]:
        """Where on the page images are shown: left, top, width, height."""
        box = self.page.locator("svg.svg-layer, [data-cy=viewport-grid]").first.bounding_box()
        assert box is not None
        return box["x"], box["y"], box["width"], box["height"]

    def polylines(self) -> list[list[tuple[float, float]]]:
        """The outlines that are drawn over the image, in pixels of the page."""
        self.page.locator("svg.svg-layer polyline").first.wait_for(state="attached")
        left, top, _, _ = self.place()
        drawn = [line.get_attribute("points") or "" for line in self.page.locator("svg.svg-layer polyline").all()]
        return [[(left + float(x), top + float(y)) for x, y in (point.split(",") for point in _points(line))] for line in drawn]

    def on_page(self, points: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
        """Where points of an image (column, row) are on the page: the image stands in the middle, as large as fits."""
        left, top, width, height = self.place()
        scale = min(width / columns, height / rows)
        middle = np.array([left + width / 2, top + height / 2])
        return middle + scale * (points - np.array([columns / 2, rows / 2]))

    def _settle(self) -> None:
        """Wait until nothing is loaded any more, and the dialogs that greet a newcomer are gone."""
        self.page.wait_for_load_state("networkidle", timeout=PATIENCE_MILLISECONDS)
        self.page.wait_for_timeout(2000)


def _points(line: str) -> list[str]:
    """``1.5, 2.5 3, 4`` as one word for each point."""
    return line.replace(", ", ",").split()


@contextmanager
def ohif(pacs_http_port: int) -> Iterator[Ohif]:
    """OHIF over the DICOMweb of a PACS on this machine."""
    server = _Server(pacs_http_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(DRAWING))
            page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.set_default_timeout(PATIENCE_MILLISECONDS)
            page.add_locator_handler(page.get_by_text("Skip all"), lambda skip: skip.click())
            yield Ohif(page, f"http://127.0.0.1:{server.server_address[1]}")
            browser.close()
    finally:
        server.shutdown()
        server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    """Knows where the PACS is."""

    def __init__(self, pacs_http_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pacs_http_port = pacs_http_port


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(OHIF))

    def do_GET(self) -> None:
        if self.path.startswith("/dicom-web"):
            self._from_pacs()
        elif self.path == "/app-config.js":
            self._answer(200, {"Content-Type": "text/javascript"}, f"window.config = {json.dumps(CONFIGURATION)};".encode())
        else:
            # A single-page application: what is no file is a place within it.
            if not Path(self.translate_path(self.path)).is_file():
                self.path = "/index.html"
            super().do_GET()

    def _from_pacs(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.pacs_http_port, timeout=60)
        connection.request("GET", self.path, headers={"Accept": self.headers.get("Accept", "*/*"), "Host": self.headers["Host"]})
        answer = connection.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
        self._answer(answer.status, kept, answer.read())
        connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        for name, value in ISOLATION.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
