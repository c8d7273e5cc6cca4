"""What `medlabel embed` prints."""

from medlabel.cli.embed import _print_summary
from rayjobs.embed import EmbedResult


def test_images_without_a_window_are_mentioned_once(capsys):
    for own_range in (0, 2):
        _print_summary(EmbedResult("phantom", 9, 9, 9, 0, 0, 1.0, 1, own_range))
    said = capsys.readouterr().out
    assert said.count("2 images have more than 8 bits per pixel and no window") == 1
    assert said.count("9 images (9 distinct)") == 2
