"""The int8 engine for CPUs: a C++ library, compiled when the package is installed, and its Python interface."""
