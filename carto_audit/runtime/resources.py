"""Resources: where templates and shipped policies live: inside the package in a wheel, beside it in an editable install."""

from pathlib import Path


def resource_folder(name: str) -> Path:
    """The folder `templates` or `policies`, whichever way the project is installed."""
    package = Path(__file__).resolve().parents[1]
    inside, beside = package / name, package.parent / name
    return inside if inside.is_dir() else beside
