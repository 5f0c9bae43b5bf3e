"""What all tests share: one thread per process, so that they run the same beside others."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
