"""The library of the course: the real model, losses, updates and ANN code of the nomination stage."""

import os

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # torch and Faiss each bring an OpenMP runtime; idle threads must not spin

__version__ = "0.1.0"
