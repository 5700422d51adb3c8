"""Compares roots and proofs with those of the Python package pymerkle.

Reads what dagbook computed as JSON from standard input; prints the first difference and ends
with status 1 if there is one. Shares no code with dagbook: trees, hashes and inclusion proofs
are pymerkle's, and the order of a consistency proof is written down here from RFC 6962,
section 2.1.2.
"""

import json
import sys

from pymerkle import InmemoryTree, verify_consistency, verify_inclusion

given = json.load(sys.stdin)
leaves = [bytes.fromhex(leaf) for leaf in given["leaves"]]
roots = {}


def fail(text):
    print(text)
    sys.exit(1)


def root(start, end):
    if (start, end) not in roots:
        tree = InmemoryTree(algorithm="sha256")
        for leaf in leaves[start:end]:
            tree.append_entry(leaf)
        roots[(start, end)] = tree.get_root()
    return roots[(start, end)]


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def subproof(m, start, end, whole):
    n = end - start
    if m == n:
        return [] if whole else [root(start, end)]
    k = split(n)
    if m <= k:
        return subproof(m, start, start + k, whole) + [root(start + k, end)]
    return subproof(m - k, start + k, end, False) + [root(start, start + k)]


tree = InmemoryTree(algorithm="sha256")
for leaf in leaves:
    tree.append_entry(leaf)

checked = 0
for case in given["roots"]:
    theirs = tree.get_root(case["size"])
    if theirs.hex() != case["root"]:
        fail(f"root over {case['size']}: pymerkle {theirs.hex()}, dagbook {case['root']}")
    checked += 1

for case in given["inclusion"]:
    index, size = case["index"], case["size"]
    proof = tree.prove_inclusion(index + 1, size)
    # Its path begins with the leaf's own hash.
    path = [hash.hex() for hash in proof.path]
    verify_inclusion(proof.path[0], bytes.fromhex(case["root"]), proof)
    if path != [case["leaf"]] + case["proof"]:
        fail(f"inclusion of {index} in {size}: pymerkle {path}, dagbook {case['proof']}")
    checked += 1

for case in given["consistency"]:
    older, newer = case["older"], case["newer"]
    proof = tree.prove_consistency(older, newer)
    verify_consistency(bytes.fromhex(case["older_root"]), bytes.fromhex(case["newer_root"]), proof)
    theirs = [hash.hex() for hash in subproof(older, 0, newer, True)]
    if theirs != case["proof"]:
        fail(f"consistency of {older} and {newer}: {theirs}, dagbook {case['proof']}")
    checked += 1

print(f"checked {checked}")
