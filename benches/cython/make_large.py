"""Writes a large Cython module: make_large.py FUNCTIONS FILE. Ten lines to a function, with Python calls between them."""

import sys

FUNCTION = """\
def f{i}(long x):
    cdef long y = x + {i}
    cdef long z = y * 3
    if y > 1000000:
        y -= z
    z ^= y
    y += z >> 2
    z -= x
    return y ^ z

"""

# Found by name: a list that names them all is one expression of thousands of temporaries, which a C compiler needs many
# minutes and gigabytes for.
RUN = """\
FUNCTIONS = [value for name, value in list(globals().items()) if name[:1] == "f" and name[1:].isdigit()]

def run(long x):
    for function in FUNCTIONS:
        x = function(x & 1023)
    return x
"""


def main():
    count, path = int(sys.argv[1]), sys.argv[2]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(FUNCTION.format(i=i) for i in range(count))
        file.write(RUN)


if __name__ == "__main__":
    main()
