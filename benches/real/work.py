# Objects, strings, dictionaries, sorting, big numbers, generators.
class Node:
    def __init__(self, key):
        self.key, self.left, self.right = key, None, None

    def add(self, key):
        side = "left" if key < self.key else "right"
        child = getattr(self, side)
        if child is None:
            setattr(self, side, Node(key))
        else:
            child.add(key)

    def __iter__(self):
        if self.left:
            yield from self.left
        yield self.key
        if self.right:
            yield from self.right


x, root, words = 1, Node(500), {}
for i in range(6000):
    x = (x * 1103515245 + 12345) % 2**31
    root.add(x % 100000)
    word = "w%d" % (x % 997)
    words[word] = words.get(word, 0) + len(word)
keys = list(root)
assert keys == sorted(keys)
print(len(keys), sum(words.values()), sorted(words.items(), key=lambda p: (-p[1], p[0]))[:3])
print(sum(int(c) for c in str(3**4000)), sum(a * b for a, b in zip(range(100000), range(100000, 0, -1))))
print(" ".join(sorted({w[::-1].upper() for w in words})[:5]))
