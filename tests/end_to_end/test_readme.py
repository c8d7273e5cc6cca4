"""The README's Python, as it stands there, in a fresh interpreter without Ray."""

import os
import re
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


def section():
    """The text under "From Python"."""
    return (ROOT / "README.md").read_text().split("## From Python\n")[1].split("\n## ")[0]


def test_the_python_of_the_readme_runs_without_ray(small_teacher, tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", section(), re.DOTALL))
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
    printed, stated = done.stdout.split(), re.findall(r"```\n(.*?)```", section(), re.DOTALL)[-1]
    for word in ("label", "confidence", "decision", "review_reasons", "accuracy", "recall_chest"):
        assert word in printed
        assert word in stated
    accuracy = float(printed[printed.index("accuracy") + 1])
    assert accuracy > 0.9
