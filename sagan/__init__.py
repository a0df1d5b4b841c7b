"""A reproducible benchmark for small GANs: does this ingredient help, by how much, how surely, at what cost?"""

__version__ = "0.1.0"
