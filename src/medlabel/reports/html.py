"""HTML pages from the templates of this package."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["render", "render_part"]


def render(template: str, **values: object) -> str:
    """A page from one of the package's templates; a value that is missing is an error."""
    environment = Environment(
        loader=PackageLoader("medlabel.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def render_part(template: str, **values: object) -> Markup:
    """A part of a page, which a template inserts as it is."""
    return Markup(render(template, **values))  # noqa: S704  (the template has escaped the values)
