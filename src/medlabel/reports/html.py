"""HTML pages from the templates of this package."""

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["render"]


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
