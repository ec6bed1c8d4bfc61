"""Whether the worker's directory can be used, known before the worker has begun."""

from pathlib import Path
from tempfile import TemporaryFile

from schemas.errors import ConfigError


def require_data_dir(path: Path) -> None:
    """Raises ConfigError if a worker could not write there. One that is not there yet is made in the one above it."""
    try:
        with TemporaryFile(dir=path if path.exists() else path.parent):
            return
    except OSError as error:
        raise ConfigError(
            f"worker.data_dir = {path}: {error.strerror}; allowed: a directory in which the worker may write, "
            "or a new one below a directory that is there"
        ) from error
