"""medlabel: label medical images without human labour.

A teacher (a CLIP model) scores images by the names of the classes; a student (a small CNN) is
trained on these noisy scores, labels images, and decides which labels a person should review.

    import medlabel as ml

    images = ml.load_images("scans/")
    proba = ml.Teacher.from_pretrained("phantom").predict_proba(images, ["chest", "breast"])
    student = ml.Student(recipe="robust", seed=0).fit(images, proba)
    student.decide(images)

| name | what it does |
| --- | --- |
| `load_images`, `Images` | images of files, MedMNIST sets or arrays, in memory |
| `Teacher` | a CLIP model: probabilities of classes by their captions |
| `Student` | a CNN that is trained on them: a scikit-learn classifier of images |
| `evaluate` | metrics and the confusion matrix, given true labels |
| `run`, `label`, `annotate` | the jobs of the command line; they start Ray |
| `Run`, `Annotations`, `Evaluation` | what `run`, `label` and `annotate`, and `evaluate` return |
| `MedlabelError` | raised for a user's mistake, with a message of one line |

torch, pandas and Ray are imported when they are first used: `import medlabel` takes milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medlabel.errors import MedlabelError

if TYPE_CHECKING:
    from medlabel.data.images import Images, load_images
    from medlabel.evaluation.evaluate import Evaluation, evaluate
    from medlabel.jobs import Annotations, Run, annotate, label, run
    from medlabel.student.estimator import Student
    from medlabel.teacher.classifier import Teacher
else:
    _MODULE_OF = {
        "Annotations": "medlabel.jobs",
        "Evaluation": "medlabel.evaluation.evaluate",
        "Images": "medlabel.data.images",
        "Run": "medlabel.jobs",
        "Student": "medlabel.student.estimator",
        "Teacher": "medlabel.teacher.classifier",
        "annotate": "medlabel.jobs",
        "evaluate": "medlabel.evaluation.evaluate",
        "label": "medlabel.jobs",
        "load_images": "medlabel.data.images",
        "run": "medlabel.jobs",
    }

    def __getattr__(name: str) -> Any:
        """Import what is asked for (PEP 562)."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'medlabel' has no attribute {name!r}")
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"
__all__ = [
    "Annotations",
    "Evaluation",
    "Images",
    "MedlabelError",
    "Run",
    "Student",
    "Teacher",
    "__version__",
    "annotate",
    "evaluate",
    "label",
    "load_images",
    "run",
]
