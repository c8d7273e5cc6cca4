"""medlabel: label medical images without human labour.

A teacher, a CLIP, scores images by the names of the classes; a student, a small CNN, learns from
its noisy scores, labels images, and says which of them a person should look at.

    import medlabel as ml

    images = ml.load_images("scans/")
    proba = ml.Teacher.from_pretrained("phantom").predict_proba(images, ["chest", "breast"])
    student = ml.Student(recipe="robust", seed=0).fit(images, proba)
    student.decide(images)

| name | what it does |
| --- | --- |
| `load_images`, `Images` | images of files, MedMNIST sets or arrays, in memory |
| `Teacher` | a CLIP: probabilities of classes by their captions |
| `Student` | a CNN that learns from them: a scikit-learn classifier |
| `evaluate` | metrics and the confusion matrix, given true labels |
| `run`, `label`, `annotate` | the jobs of the command line, on Ray |
| `MedlabelError` | what is raised for a mistake of the user's, in one line |

Nothing heavy is imported before it is used: `import medlabel` takes some milliseconds.
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
