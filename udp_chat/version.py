"""The version of the chat: pyproject.toml reads it here."""

__version__ = "0.3.0"
