# cython: language_level=3, linetrace=True
"""How far words are from each other.

The directive in the first line and the cimport are all that makes the module's functions, lines and exceptions visible.
Nothing is linked, and rmon is not imported.
"""
cimport rmon

cdef enum:
    LONGEST = 64


cdef int least(int a, int b, int c) noexcept:
    if b < a:
        a = b
    return c if c < a else a


def distance(str one, str other):
    """How many letters must be put in, left out or replaced to make one word of the other."""
    cdef int row[LONGEST + 1]
    cdef int i, j, diagonal, above
    if len(one) > LONGEST or len(other) > LONGEST:
        raise ValueError("too long a word")
    for j in range(len(other) + 1):
        row[j] = j
    for i in range(1, len(one) + 1):
        diagonal = row[0]
        row[0] = i
        for j in range(1, len(other) + 1):
            above = row[j]
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (one[i - 1] != other[j - 1]))
            diagonal = above
    return row[len(other)]


def nearest(str word, words, int limit):
    """The words that are not too far away, each with its distance."""
    for candidate in words:
        if abs(len(candidate) - len(word)) > limit:
            continue
        found = distance(word, candidate)
        if found <= limit:
            yield found, candidate
