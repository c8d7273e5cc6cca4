"""Networks by name, and the `Student` module that a bundle holds.

| name | what it is |
| --- | --- |
| `small` | three convolutions and a global mean: too small to memorise many wrong labels |
| `paper` | the paper's network: two convolutions, three linear layers, dropout 0.5 |
| `cnn:16-32-64,kernel=3,...` | any small CNN; both of the above are such networks, see `cnn.py` |
| `resnet18`, `vgg11`, `alexnet`, `timm:NAME` | networks designed for ImageNet, see `backbones.py` |
| `resnet18+pretrained` | the same, with published weights |
"""

from medlabel.student.networks.backbones import Backbone, without_pretrained_weights
from medlabel.student.networks.cnn import Cnn, parse_cnn
from medlabel.student.networks.named import STUDENTS, Architecture, get_architecture
from medlabel.student.networks.student import Student, check_student, parameter_count

__all__ = [
    "STUDENTS",
    "Architecture",
    "Backbone",
    "Cnn",
    "Student",
    "check_student",
    "get_architecture",
    "parameter_count",
    "parse_cnn",
    "without_pretrained_weights",
]
