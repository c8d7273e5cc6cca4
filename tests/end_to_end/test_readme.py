"""The README's Python, as it stands there, in a fresh interpreter without Ray."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHOUT_RAY = """
import sys

class NoRay:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("ray", "rayjobs", "serving"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, NoRay())
"""


def blocks(language):
    """The fenced blocks under "From Python" that are marked so."""
    section = (ROOT / "README.md").read_text().split("## From Python\n")[1].split("\n## ")[0]
    fenced = [block.partition("\n") for block in section.split("```")[1::2]]
    return [text for mark, _, text in fenced if mark == language]


def test_the_python_of_the_readme_runs_without_ray(small_teacher, tmp_path):
    code = "\n".join(blocks("python"))
    (tmp_path / "readme.py").write_text(WITHOUT_RAY + code + "\nassert 'ray' not in sys.modules\n")
    done = subprocess.run(
        [sys.executable, "-W", "error", "readme.py"],
        cwd=tmp_path,
        env={**os.environ, "MEDLABEL_HOME": str(small_teacher)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed, (stated,) = done.stdout.split(), blocks("")
    for word in ("label", "confidence", "decision", "review_reasons", "accuracy", "recall_chest"):
        assert word in printed
        assert word in stated
    accuracy = float(printed[printed.index("accuracy") + 1])
    assert accuracy > 0.9
