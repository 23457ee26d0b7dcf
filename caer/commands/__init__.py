"""One file a command of `python -m caer`: file name = command name (`_` reads `-`).

A file exposes `run`: its annotated parameters are the options, its docstring the help, an int that it returns the exit code.
Imports of the library happen inside `run`, so that `--help` answers at once.
"""
