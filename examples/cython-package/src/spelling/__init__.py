"""Suggests words for misspelt ones."""

from spelling._distance import distance, nearest

__all__ = ["Dictionary", "distance"]


class Dictionary:
    """Some words that are spelt right."""

    def __init__(self, words):
        self.words = sorted(set(words))

    def suggest(self, word, limit=2):
        """The words that at most `limit` changes of a letter make of `word`, the nearest first."""
        return [candidate for _, candidate in sorted(nearest(word, self.words, limit))]
