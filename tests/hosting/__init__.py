"""A room that outlives its machines: real commands on machines of their own.

- `machines` are network namespaces on a network that can fall apart, with a person on each.
- `losses` are the ways in which a room loses its host.
"""
