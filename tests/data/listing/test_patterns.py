import pytest

from medlabel.data.listing.patterns import Pattern


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("*.png", ["a.png"], ["x/a.png", "a.PNG", "a.pngx"]),
        ("**/*.png", ["a.png", "x/y/a.png"], ["a.jpg"]),
        ("**", ["a", "x/y/a"], []),
        ("x/**/y/*", ["x/y/a", "x/z/z/y/a"], ["x/a", "y/a"]),
        ("w?rd[12]/*", ["ward1/a"], ["ward3/a", "ward1/x/a", "ward1"]),
    ],
)
def test_paths_fit_as_in_a_shell(pattern, fitting, others):
    wanted = Pattern(tuple(pattern.split("/")))
    assert [path for path in [*fitting, *others] if wanted.fits(path)] == fitting
    for path in fitting:
        folders = path.split("/")[:-1]
        assert all(wanted.leads_to("/".join(folders[: n + 1])) for n in range(len(folders)))


def test_folders_in_which_nothing_fits_are_not_entered():
    assert not Pattern(("*.png",)).leads_to("x.png")
    assert not Pattern(("ward*", "*.png")).leads_to("other")
    assert not Pattern(("ward*", "*.png")).leads_to("ward1/deep")
