"""One thread for factorizations: their parallel parts are so small that waiting costs more than a second core brings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import scipy.linalg  # noqa: F401  (loads the library that is limited)
from threadpoolctl import ThreadpoolController


@contextmanager
def one_lapack_thread() -> Iterator[None]:
    """Within it the OpenBLAS of SciPy's wheels, which does SciPy's LU, QR and SVD, has one thread; NumPy's, which multiplies, keeps all.

    OpenBLAS threads spin while they wait, and know no OMP_WAIT_POLICY: beside another busy process they take several times as long.
    Where SciPy and NumPy share one library (conda, MKL) nothing is limited."""
    found = ThreadpoolController().info()
    own = [
        library["filepath"] for library in found if library["internal_api"] == "openblas" and _of_scipy(Path(library["filepath"]))
    ]
    with ThreadpoolController().select(filepath=own).limit(limits=1):
        yield


def _of_scipy(library: Path) -> bool:
    """scipy.libs/ beside the package on Linux and Windows, scipy/.dylibs/ within it on macOS."""
    return library.parent.name == "scipy.libs" or library.parent.parts[-2:] == ("scipy", ".dylibs")
