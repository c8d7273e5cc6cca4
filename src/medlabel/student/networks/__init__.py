"""The students: networks by name, and the module that a bundle holds.

| name | what it is |
| --- | --- |
| `small` | three convolutions, then a global mean: little room to learn wrong labels by heart |
| `paper` | the paper's: two convolutions, three linear layers, dropout 0.5 |
| `cnn:16-32-64,kernel=3,...` | any network of the family that both belong to, see `cnn.py` |
| `resnet18`, `vgg11`, `alexnet`, `timm:NAME` | networks made for ImageNet, see `backbones.py` |
| `resnet18+pretrained` | the same, from published weights |
"""

from medlabel.student.networks.backbones import Backbone, blank
from medlabel.student.networks.cnn import Cnn, parse_cnn
from medlabel.student.networks.named import STUDENTS, Architecture, student_named
from medlabel.student.networks.student import Student, check_student, parameter_count

__all__ = [
    "STUDENTS",
    "Architecture",
    "Backbone",
    "Cnn",
    "Student",
    "blank",
    "check_student",
    "parameter_count",
    "parse_cnn",
    "student_named",
]
