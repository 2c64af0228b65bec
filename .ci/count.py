#!/usr/bin/env python3
"""Counts the tests in what cargo nextest, cargo test and our own scripts print (on standard input).

Prints "PASSED FAILED".
"""
import re
import sys

passed = failed = 0
for line in sys.stdin:
    # nextest: "Summary [   1.2s] 12 tests run: 11 passed (1 slow), 1 failed, 0 skipped"
    if match := re.match(r"\s*Summary \[.*\] +\d+(?:/\d+)? tests? run: (.*)", line):
        counts = match[1]
    # cargo test: "test result: ok. 3 passed; 0 failed; 0 ignored; …"
    elif match := re.match(r"test result: \w+\. (.*)", line):
        counts = match[1]
    # ours: "3 passed, 0 failed"
    elif match := re.fullmatch(r"(\d+ passed, \d+ failed)\s*", line):
        counts = match[1]
    else:
        continue
    for number, word in re.findall(r"(\d+) (passed|failed|timed out|exec failed)", counts):
        if word == "passed":
            passed += int(number)
        else:
            failed += int(number)
print(passed, failed)
