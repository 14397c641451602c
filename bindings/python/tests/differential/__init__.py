"""rmon against CPython's own implementation of its Monitoring C API, and both against one naive model.

rules.py        where they may differ: each difference by name
model.py        what both do, said as simply as possible
operations.py   lists of operations, and how they are made up
subjects.py     CPython and rmon, as what runs a list
emitter.c       scopes and fires, by CPython's names
run.py          the comparison, as a command
"""
