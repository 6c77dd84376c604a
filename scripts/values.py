#!/usr/bin/env python3
"""Prints the reference of the chart's values, from values.yaml: each key with the comment above it and its default."""

import re
import sys

print("# Values of the chart\n")
print("Made from `charts/turbopipeline/values.yaml`. The chart refuses a value that its schema does not know.\n")
print("| value | default | what |\n|---|---|---|")
path, said = [], None
for line in open(sys.argv[1]).read().splitlines():
    comment, key = re.match(r" *# (.*)", line), re.match(r"( *)([A-Za-z]+):(.*)", line)
    if comment:
        said = comment[1]
        continue
    if not key:
        sys.exit(f"{line}: neither a comment in one line nor a key")
    path[len(key[1]) // 2 :] = [key[2]]
    if value := key[3].strip():
        if not said:
            sys.exit(f"{'.'.join(path)}: no comment is above it")
        print(f"| `{'.'.join(path)}` | `{value}` | {said} |")
    said = None
