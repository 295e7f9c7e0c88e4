"""The laboratory: TCP, plain UDP and this project's chat side by side, seen and measured.

Needs what lies beside it: run it from the project's directory, as `python3 -m compare.…`.
"""
