"""Go's database/sql with go-sql-driver: text and prepared statements, transactions, pools."""

import json
import shutil
import subprocess
from pathlib import Path

from stories import Place, Seen

SOURCE = Path(__file__).parent / "go"
BUILD_SECONDS = 600
RUN_SECONDS = 300


def build(folder: Path) -> Path:
    """Compile the program; Go is a prerequisite of the project."""
    go = shutil.which("go")
    assert go is not None, "go is not installed"
    program = folder / "story"
    done = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return program


def tell(program: Path, place: Place) -> Seen:
    where = f"{place.user}:{place.password}@tcp({place.host}:{place.port})/{place.database}"
    done = subprocess.run(
        [str(program)], input=where, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return [tuple(pair) for pair in json.loads(done.stdout)]
