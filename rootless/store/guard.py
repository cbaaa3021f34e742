"""The lock that keeps additions and removals of images apart.

Who adds an image takes it shared for the last step only: look whether all blobs and layers are
(still) there (`images.missing`), then set the name. Who removes takes it exclusively from the
question what is still referred to until the last file is gone. So downloads never wait for a
removal, and a removal never takes a blob from under an image that is about to get its name.
"""

from __future__ import annotations

from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


def adding(paths: Paths) -> files.Lock:
    """A context manager: nothing is removed meanwhile; others may add."""
    if paths.additional:
        # Whose images may be all that there is, without a store of one's own.
        files.make_dirs(paths.locks)
    return files.Lock(f"{paths.locks}/store", shared=True)


def removing(paths: Paths) -> files.Lock:
    """A context manager: nobody else adds or removes meanwhile."""
    return files.Lock(f"{paths.locks}/store")
