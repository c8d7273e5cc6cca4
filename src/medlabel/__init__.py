"""medlabel: label medical images without human labour."""

__version__ = "0.1.0"
__all__ = ["__version__"]
