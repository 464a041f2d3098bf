"""Names that are the same whenever the same thing is made again."""

import hashlib
import uuid

__all__ = ["log_id", "token"]


def token(*parts: str | int) -> str:
    """32 hex digits, as nuScenes' tokens, from what the record is."""
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def log_id(*parts: str | int) -> str:
    """A UUID, as Argoverse 2 names its logs."""
    return str(uuid.UUID(token(*parts)))
