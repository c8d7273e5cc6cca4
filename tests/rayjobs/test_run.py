import numpy as np
import pytest

from medlabel.data.tasks import parse_task
from medlabel.errors import MedlabelError
from medlabel.phantoms import LOOKS, draw_look
from medlabel.student.recipes import get_recipe
from rayjobs.run import RunConfig, _check, _judge
from rayjobs.scoring import TeacherScores


def test_scores_of_the_users_own_have_a_verdict_whatever_the_classes_are_called(tmp_path):
    task = parse_task("pneumonia=a.npz,chest=b.npz")  # ambiguous for a teacher that reads names
    scores = tmp_path / "scores.csv"
    scores.write_text("")
    config = RunConfig(task, "out", get_recipe("adam"), tmp_path, scores=scores)
    _check(config)
    images = draw_look(LOOKS["chestmnist"], 40, seed=3)[0]
    probabilities = np.tile(np.float32([[0.9, 0.1], [0.1, 0.9]]), (20, 1))
    teacher = TeacherScores(probabilities, None, "scores", {})
    ids = [str(row) for row in range(40)]
    verdict = _judge(config, ids, images, teacher, lambda *_: None)
    assert verdict.level != "read"
    assert verdict.estimate is None
    with pytest.raises(MedlabelError, match="pneumonia"):
        _check(RunConfig(task, "out", get_recipe("adam"), tmp_path))
