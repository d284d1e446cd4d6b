"""The version, in a module that imports nothing: most rooms name it, and the package itself names most rooms."""

__version__ = "0.1.0"
