"""Bars for who waits: the rate that they tell is of what was done meanwhile."""

import pytest

from medlabel.cli.shared import StageBars, _Rate


@pytest.fixture
def clocked():
    """Bars by a clock that stands until it is set."""
    bars, now = StageBars(), [0.0]
    bars._progress.get_time = lambda: now[0]

    def advance(stage, done, total, at):
        now[0] = at
        bars.advance(stage, done, total)
        return _Rate().render(bars._progress.tasks[-1]).plain

    return advance


def test_a_rate_is_of_the_whole_stage_however_its_steps_came(clocked):
    assert clocked("embedding", 0, 3000, at=0) == ""
    assert clocked("embedding", 2000, 3000, at=10) == "200 images/s"
    assert clocked("embedding", 3000, 3000, at=10.01) == "300 images/s"


def test_what_was_there_before_is_no_work(clocked):
    assert clocked("embedding", 2000, 3000, at=0) == ""
    assert clocked("embedding", 3000, 3000, at=10) == "100 images/s"


def test_stages_of_other_steps_have_no_rate(clocked):
    clocked("fitting", 0, 10, at=0)
    assert clocked("fitting", 5, 10, at=1) == ""
