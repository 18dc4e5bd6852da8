"""The library of the course: the model, losses, updates and indexes of the nomination stage."""

import os
import sys

# torch and Faiss bring an OpenMP runtime each, whose idle threads must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _one_thread() -> None:
    """OpenMP's threads do not live on in a forked process, which would wait for them for ever."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_one_thread)

__version__ = "0.1.0"
