"""PixelMed's `DicomSRValidator` over many files in one Java machine: it takes ten seconds to get ready, and its own command one file.

python -m harness.pixelmed FILE...      prints what it says of each, as a JSON list of texts
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

JARS = [Path("/usr/share/java/pixelmed.jar"), Path("/usr/share/java/slf4j-api.jar")]
SOON_WARM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g"]
NO_XPATH_LIMITS = [f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("ExprGrp", "ExprOp", "TotalOp")]

FALSE_MESSAGES = {
    'Code (71651007,SCT,"Mammography") not found in context group 100': (
        "TID 1500 takes the reported procedure from CID 100 as a baseline, so another code is legal; CID 100 has none of mammography."
    ),
}
"""What it wrongly objects to, by a part of the message, and why it is wrong."""


def said_by_pixelmed(paths: Sequence[Path]) -> list[str]:
    """What it says of each file, in order. It runs in a process of its own: a Java machine handles signals as it likes."""
    command = [sys.executable, "-m", "harness.pixelmed", *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    return list(json.loads(run.stdout.splitlines()[-1]))


def objections(said: str) -> list[str]:
    """The lines that find fault and are not known to be false."""
    faults = [line for line in said.splitlines() if "Error" in line or "illegal relationship" in line]
    return [line for line in faults if not any(part in line for part in FALSE_MESSAGES)]


def main() -> None:
    """Validate the files that are named on the command line."""
    import jpype  # noqa: PLC0415 - only this process has a Java machine

    jpype.startJVM(*SOON_WARM, *NO_XPATH_LIMITS, classpath=[str(jar) for jar in JARS])
    validator = jpype.JClass("com.pixelmed.validate.DicomSRValidator")()
    said = [str(validator.validate(path)) for path in sys.argv[1:]]
    sys.stdout.write(f"\n{json.dumps(said)}\n")


if __name__ == "__main__":
    main()
