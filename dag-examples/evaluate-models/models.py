"""The models. Each learns from `[x, y, label]` and then gives a probability for each class."""

import heapq
import math
from collections import Counter


class Majority:
    """Answers with the shares of the classes, whatever is asked."""

    def __init__(self, train, classes):
        counts = Counter(label for _, _, label in train)
        self.shares = [counts[label] / len(train) for label in range(classes)]

    def probabilities(self, _x, _y):
        return self.shares


class Centroid:
    """The nearer the middle of a class, the likelier the class."""

    def __init__(self, train, classes):
        self.middles = []
        for kind in range(classes):
            own = [(x, y) for x, y, label in train if label == kind]
            self.middles.append((sum(x for x, _ in own) / len(own), sum(y for _, y in own) / len(own)))

    def probabilities(self, x, y):
        return softmax([-((x - a) ** 2 + (y - b) ** 2) for a, b in self.middles])


class Neighbours:
    """The share of each class among the fifteen nearest points."""

    COUNT = 15

    def __init__(self, train, classes):
        self.train, self.classes = train, classes

    def probabilities(self, x, y):
        near = heapq.nsmallest(
            self.COUNT, self.train, key=lambda point: (point[0] - x) ** 2 + (point[1] - y) ** 2
        )
        counts = Counter(label for _, _, label in near)
        return [(counts[kind] + 1) / (self.COUNT + self.classes) for kind in range(self.classes)]


class Logistic:
    """Softmax regression on polar waves, by gradient descent."""

    EPOCHS, RATE = 25, 0.1

    def __init__(self, train, classes):
        rows = [(self.features(x, y), label) for x, y, label in train]
        self.weights = [[0.0] * len(rows[0][0]) for _ in range(classes)]
        for _ in range(self.EPOCHS):
            for row, label in rows:
                for kind, share in enumerate(softmax(self.logits(row))):
                    step = self.RATE * (share - (kind == label))
                    self.weights[kind] = [w - step * f for w, f in zip(self.weights[kind], row)]

    @staticmethod
    def features(x, y):
        radius, angle = math.hypot(x, y), math.atan2(y, x)
        turned = angle - 0.5 * radius  # a guess at the spiral, half as strong as the truth
        return [1.0, x, y, math.cos(turned), math.sin(turned), radius]

    def logits(self, row):
        return [sum(w * f for w, f in zip(weights, row)) for weights in self.weights]

    def probabilities(self, x, y):
        return softmax(self.logits(self.features(x, y)))


def softmax(logits):
    highest = max(logits)
    powers = [math.exp(logit - highest) for logit in logits]
    whole = sum(powers)
    return [power / whole for power in powers]


BY_NAME = {
    "majority": Majority,
    "centroid": Centroid,
    "neighbours": Neighbours,
    "logistic": Logistic,
}
