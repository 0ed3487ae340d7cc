"""The second reader of single records, beside the crate whose golden vectors it reads too."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "crates" / "crypto" / "tests"))

from second_reader import *  # noqa: E402, F403
