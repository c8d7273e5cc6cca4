import pytest
import torch

from medlabel.errors import MedlabelError
from medlabel.students import STUDENTS, Student, parameter_count, student_named

PAPER = sum(
    (
        10 * 1 * 3 * 3 + 10,  # convolution 1 to 10
        20 * 10 * 4 * 4 + 20,  # convolution 10 to 20
        500 * 250 + 250,  # 500 = 20 maps of 5x5
        250 * 50 + 50,
        50 * 2 + 2,
    )
)


def test_paper_student_is_the_papers_network():
    assert parameter_count(student_named("paper")(1, 2)) == PAPER == 141_222


def test_paper_students_maps_need_no_pooling_at_28_pixels():
    network = student_named("paper")(1, 2)
    shapes = []
    for layer in network:
        if isinstance(layer, torch.nn.AdaptiveAvgPool2d):
            layer.register_forward_hook(lambda _, x, y: shapes.append((x[0].shape, y.shape)))
    network(torch.zeros(1, 1, 28, 28))
    assert shapes == [((1, 20, 5, 5), (1, 20, 5, 5))]


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 64])
def test_every_student_gives_a_logit_for_each_class(name, channels, size):
    student = Student(name, channels, ["a", "b", "c"], size).eval()
    pixels = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    assert student(pixels).shape == (2, 3)


def test_pixels_are_normalised_inside():
    student = Student("small", 1, ["a", "b"]).eval()
    seen = []
    student.members[0][1].register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    student(torch.tensor([0, 255], dtype=torch.uint8).repeat(1, 1, 28, 14))
    assert (seen[0].min(), seen[0].max()) == (-1, 1)


def test_members_probabilities_are_averaged():
    student = Student("small", 1, ["a", "b"], members=3).eval()
    pixels = torch.rand(4, 1, 28, 28) * 255
    alone = torch.stack([member(pixels).softmax(dim=1) for member in student.members])
    torch.testing.assert_close(student(pixels).softmax(dim=1), alone.mean(dim=0))


def test_unknown_student_is_one_line_that_lists_what_there_is():
    with pytest.raises(MedlabelError, match="'resnet': choose from paper, small"):
        student_named("resnet")
