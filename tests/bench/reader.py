"""Reads files over and over and says how fast; in a container, where it has nothing but Python.

A command a line on standard input, its outcome, a number, a line on standard output:

    pin CPU,CPU…           run on these CPUs only
    loop COUNT FILE        microseconds for open, read and close, one after the other
    apart COUNT FILE       the same, the median of single ones with pauses between them
    many COUNT FILE        files read in a second by COUNT processes at once
"""

from __future__ import annotations

import os
import sys
import time

# Longer than any answer of the view is kept, and than LXCFS keeps attributes.
PAUSE = 0.02
SECONDS = 1.0


def read(path):
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 65536)
    os.close(fd)


def pin(_, cpus):
    os.sched_setaffinity(0, map(int, cpus.split(",")))
    return 0


def loop(count, path):
    begin = time.perf_counter()
    for _ in range(count):
        read(path)
    return (time.perf_counter() - begin) / count * 1e6


def apart(count, path):
    taken = []
    for _ in range(count):
        time.sleep(PAUSE)
        taken.append(loop(1, path))
    return sorted(taken)[count // 2]


def count_for_a_while(path):
    count = 0
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        read(path)
        count += 1
    return count / SECONDS


def many(processes, path):
    ends = []
    for _ in range(processes):
        read_end, write_end = os.pipe()
        if os.fork() == 0:
            os.write(write_end, b"%f" % count_for_a_while(path))
            os._exit(0)
        os.close(write_end)
        ends.append(read_end)
    total = sum(float(os.read(end, 100)) for end in ends)
    for end in ends:
        os.close(end)
        os.wait()
    return total


COMMANDS = {"pin": pin, "loop": loop, "apart": apart, "many": many}
for line in sys.stdin:
    name, count, what = line.split()
    print(COMMANDS[name](int(count), what), flush=True)
