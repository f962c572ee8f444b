from __future__ import annotations

import os
from pathlib import Path


class FileStore:
    """Keeps the cursor in a file, which is replaced as a whole.

    It is not flushed to the disk each time: after a power failure, some events come once more.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> str | None:
        try:
            return self.path.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def save(self, cursor: str) -> None:
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            beside.write_text(f"{cursor}\n", encoding="utf-8")
            beside.replace(self.path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
