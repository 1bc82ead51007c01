"""The README's two pictures, from what the viewer test has kept in ``build/viewer``: ``make pictures``."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
SHOTS, PICTURES = REPOSITORY / "build" / "viewer", REPOSITORY / "deploy" / "pictures"
WIDTH, COLOURS, LARGEST = 1280, 128, 200_000


def main() -> None:
    """The first region series and the summary of the positive study, small enough for a page."""
    region = min(SHOTS.glob("region-*.png"))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for shot, name in ((region, "region.png"), (SHOTS / "summary-positive.png", "summary.png")):
        picture = Image.open(shot).convert("RGB")
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
        picture.quantize(COLOURS).save(PICTURES / name, optimize=True)
        size = (PICTURES / name).stat().st_size
        sys.stdout.write(f"{PICTURES / name}: {size} bytes\n")
        assert size < LARGEST, name


if __name__ == "__main__":
    main()
