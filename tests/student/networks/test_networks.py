import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from medlabel.errors import MedlabelError
from medlabel.student.networks import (
    STUDENTS,
    Cnn,
    Student,
    backbones,
    check_student,
    get_architecture,
    parameter_count,
    parse_cnn,
    without_pretrained_weights,
)

PAPER = sum(
    (
        10 * 1 * 3 * 3 + 10,  # convolution 1 to 10
        20 * 10 * 4 * 4 + 20,  # convolution 10 to 20
        500 * 250 + 250,  # 500 = 20 maps of 5x5
        250 * 50 + 50,
        50 * 2 + 2,
    )
)
SPELLINGS = [
    "cnn:16-32-64",
    "cnn:8",
    "cnn:10-20,kernel=3-4,padding=none,norm=none,pool=2,order=pool-relu,grid=5,linear=250-50,dropout=0.5",
    "cnn:8-8-16-16,kernel=5,norm=group,pool=1-2-1-2,linear=50-50,dropout=0.0",
]


class PapersNetwork(nn.Module):
    """Written from the paper's text alone."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 10, 3), nn.Conv2d(10, 20, 4)
        self.fc1, self.fc2, self.fc3 = nn.Linear(500, 250), nn.Linear(250, 50), nn.Linear(50, 2)

    def forward(self, x):
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2)).flatten(1)
        x = functional.relu(self.fc1(functional.dropout(x, 0.5, self.training)))
        x = functional.relu(self.fc2(functional.dropout(x, 0.5, self.training)))
        return self.fc3(functional.dropout(x, 0.5, self.training))


def first_small(channels, classes):
    """`small` as it was before there was a family."""
    layers = []
    for inputs, outputs in itertools.pairwise((channels, 16, 32, 64)):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, classes))
    return nn.Sequential(*layers[:-1], *end)


# --- The paper's network -------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_paper_student_gives_the_logits_of_the_papers_network(training):
    plain = PapersNetwork().train(training)
    ours = get_architecture("paper")(1, 2).train(training)
    for own, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        own.data.copy_(theirs.data)
    pixels, logits = torch.rand(64, 1, 28, 28) * 2 - 1, []
    for network in (plain, ours):
        torch.manual_seed(0)  # of the dropout
        logits.append(network(pixels))
    torch.testing.assert_close(*logits, rtol=0, atol=1e-6)


def test_paper_student_has_as_many_weights():
    assert parameter_count(get_architecture("paper")(1, 2)) == PAPER == 141_222
    assert parameter_count(PapersNetwork()) == PAPER


def test_paper_students_maps_need_no_pooling_at_28_pixels():
    network = get_architecture("paper")(1, 2)
    shapes = []
    for layer in network:
        if isinstance(layer, torch.nn.AdaptiveAvgPool2d):
            layer.register_forward_hook(lambda _, x, y: shapes.append((x[0].shape, y.shape)))
    network(torch.zeros(1, 1, 28, 28))
    assert shapes == [((1, 20, 5, 5), (1, 20, 5, 5))]


# --- The family ----------------------------------------------------------------------------------


def test_small_student_is_what_old_bundles_hold():
    states = []
    for make in (first_small, get_architecture("small")):
        torch.manual_seed(0)
        states.append(make(3, 4).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(map(torch.equal, states[0].values(), states[1].values()))


@pytest.mark.parametrize("text", SPELLINGS)
def test_spelling_comes_back(text):
    assert str(parse_cnn(text)) == text
    assert parse_cnn(str(parse_cnn(text))) == parse_cnn(text)


def test_named_networks_are_points_of_the_family():
    assert str(STUDENTS["small"]) == "cnn:16-32-64,order=pool-relu"
    assert str(STUDENTS["paper"]) == SPELLINGS[2]


def test_the_order_of_relu_and_pooling_does_not_matter():
    torch.manual_seed(0)
    one, other = (
        parse_cnn(f"cnn:8-16,order={order}")(1, 2) for order in ("relu-pool", "pool-relu")
    )
    assert [type(layer) for layer in other][2:4] == [nn.MaxPool2d, nn.ReLU]
    other.load_state_dict(one.state_dict())
    images = torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(one.eval()(images), other.eval()(images), atol=0, rtol=0)


def test_maps_are_averaged_to_the_grid_unless_they_have_its_size():
    network = parse_cnn("cnn:4,grid=7,pool=2").__call__(1, 2, 14).eval()
    pooled = network[:-3](torch.ones(1, 1, 14, 14)), network[:-3](torch.ones(1, 1, 20, 20))
    assert [maps.shape[-1] for maps in pooled] == [7, 7]


def test_what_is_usual_need_not_be_said():
    said = "cnn:16-32-64,kernel=3-3-3,padding=half,norm=batch,linear=,dropout=0.2,pool=2-2-1"
    assert parse_cnn(said) == Cnn() == parse_cnn("cnn:16-32-64")


@pytest.mark.parametrize("text", SPELLINGS)
@pytest.mark.parametrize("size", [28, 33, 64])
def test_network_takes_images_of_any_size(text, size):
    assert parse_cnn(text)(1, 3, 28).eval()(torch.zeros(2, 1, size, size)).shape == (2, 3)


@pytest.mark.parametrize(("norm", "layer"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)])
def test_convolutions_that_are_normalised_have_no_bias(norm, layer):
    network = parse_cnn(f"cnn:12-20,norm={norm}")(1, 2)
    assert sum(isinstance(part, layer) for part in network) == 2
    assert [part.bias for part in network if isinstance(part, nn.Conv2d)] == [None, None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cnn:", "there has to be a convolution"),
        ("cnn:16-x", "cannot read maps '16-x'"),
        ("cnn:16,colour=red", "cannot read 'colour=red'"),
        ("cnn:16,grid=1,grid=2", "cannot read 'grid=2'"),
        ("cnn:16-0", "maps has to be whole numbers above 0"),
        ("cnn:16-16-16,kernel=3-4", r"one for each convolution \(3\)"),
        ("cnn:16,norm=layer", "norm=layer is unknown"),
        ("cnn:16,dropout=1", "dropout=1.0 is not"),
        ("cnn:16,dropout=nan", "dropout=nan is not"),
        ("cnn:90000-90000", "more than 100,000,000"),
        ("cnn:16,grid=99999", "more than 100,000,000"),
    ],
)
def test_spelling_that_cannot_be_says_what_can(text, reason):
    with pytest.raises(MedlabelError, match=rf"{reason}.*norm=none\|batch\|group"):
        get_architecture(text)


def test_network_that_leaves_no_pixel_is_refused():
    with pytest.raises(MedlabelError, match="28 pixels, none is left after convolution 5"):
        check_student("cnn:8-8-8-8-8,pool=2", 28)
    check_student("cnn:8-8-8-8-8,pool=2", 32)


# --- Networks made for ImageNet ------------------------------------------------------------------


@pytest.fixture
def weights(monkeypatch):
    """Stands for torchvision's server: a thousand classes, other numbers."""
    torch.manual_seed(1)
    state = backbones._torchvision_model("resnet18", 1000).state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: state)
    return state


@pytest.fixture
def no_network(monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fail)


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "timm:test_resnet", "timm:test_vit"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 64)])
def test_imagenets_networks_take_small_images(name, channels, size):
    student = Student(name, channels, ["a", "b", "c"], size).eval()
    pixels = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    assert student(pixels).shape == (2, 3)


@pytest.mark.parametrize(("size", "kernel"), [(28, (3, 3)), (64, (7, 7))])
def test_resnet_looks_closer_at_small_images(size, kernel):
    front, network = get_architecture("resnet18")(1, 2, size)
    assert network.conv1.kernel_size == kernel
    assert network.conv1.in_channels == 1
    assert front(torch.zeros(1, 1, size, size)).shape[-1] == (28 if size == 28 else 112)


def test_published_weights_are_taken_but_for_the_last_layer(weights):
    _, network = get_architecture("resnet18+pretrained")(1, 3)
    state = network.state_dict()
    assert state.pop("fc.weight").shape == (3, 512)
    del state["fc.bias"]
    assert all(torch.equal(value, weights[key]) for key, value in state.items())


def test_weights_of_another_network_are_refused(weights):
    del weights["layer1.0.conv1.weight"]
    with pytest.raises(MedlabelError, match="the weights of resnet18 are not those"):
        get_architecture("resnet18+pretrained")(1, 3)


def test_pretrained_networks_see_grey_as_three_equal_colours(weights):
    grey, colour = (Student("resnet18+pretrained", c, ["a", "b"]).eval() for c in (1, 3))
    grey.load_state_dict(colour.state_dict())
    pixels = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(grey(pixels), colour(pixels.expand(-1, 3, -1, -1)))


def test_pretrained_networks_see_pixels_as_in_their_training():
    front = backbones.InputAdapter(1, statistics=backbones._IMAGENET)
    seen = front(torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2)).squeeze()
    mean, deviation = map(torch.tensor, backbones._IMAGENET)
    torch.testing.assert_close(seen, torch.stack([-mean / deviation, (1 - mean) / deviation]).T)


def test_timms_weights_are_taken_but_for_the_last_layer(monkeypatch, tmp_path):
    import timm

    create, path = timm.create_model, tmp_path / "weights.pth"
    state = create("test_resnet").state_dict()
    torch.save(state, path)
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda *a, **k: create(*a, **k, pretrained_cfg_overlay={"file": str(path)}),
    )
    _, network = get_architecture("timm:test_resnet+pretrained")(1, 3)
    torch.testing.assert_close(network.conv1[0].weight, state["conv1.0.weight"])
    assert network.fc.out_features == 3


@pytest.mark.parametrize("name", ["resnet18", "timm:test_resnet"])
def test_missing_network_is_one_line_that_says_what_to_do(no_network, name):
    with pytest.raises(MedlabelError, match=rf"no route to host.*write {name} to start") as raised:
        check_student(f"{name}+pretrained")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["resnet18", "timm:test_resnet"])
def test_blank_networks_need_no_network(no_network, name, tmp_path):
    with without_pretrained_weights():
        student = Student(f"{name}+pretrained", 1, ["a", "b"]).eval()
    student.save_pretrained(tmp_path)
    pixels = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(Student.from_pretrained(tmp_path)(pixels), student(pixels))


# --- Names and the student -----------------------------------------------------------------------


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


def test_a_network_of_one_s_own_gets_a_name(monkeypatch):
    monkeypatch.setitem(STUDENTS, "mine", Cnn((4,)))
    assert parameter_count(Student("mine", 1, ["a", "b"])) == 9 * 4 + 2 * 4 + 4 * 2 + 2


def test_checking_draws_no_random_number():
    before = torch.get_rng_state()
    check_student("small")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet", "'resnet': choose from paper, small, cnn:16-32-64 .*, alexnet, .* timm:NAME"),
        ("small+pretrained", "there are no published weights"),
        ("timm:resnet1", r"no model 'resnet1' \(names like it: resnet18"),
        ("timm:hf-hub:owner/name", "no model"),
        ("timm:resnet200+pretrained", "write timm:resnet200, without"),
    ],
)
def test_name_that_is_none_is_one_line_that_lists_what_there_is(name, reason):
    with pytest.raises(MedlabelError, match=reason):
        get_architecture(name)
