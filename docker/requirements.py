"""Print the dependencies of a pyproject.toml, with those of the named extras: `requirements.py FILE EXTRA…`."""

import sys
import tomllib
from pathlib import Path

file, *extras = sys.argv[1:]
project = tomllib.loads(Path(file).read_text(encoding="utf-8"))["project"]
optional = project["optional-dependencies"]
sys.stdout.write("\n".join(sorted({*project["dependencies"], *(line for extra in extras for line in optional[extra])})))
