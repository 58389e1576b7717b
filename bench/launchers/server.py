"""Imported by the fork server before all else, for what it does there: the server must not outlive the scheduler."""

from __future__ import annotations

import os
import signal

from bench.lifeline import die_with

# Set by the scheduler for its server, and taken away here, so that nothing that a plugin starts inherits them.
SCHEDULER = "BENCH_SCHEDULER"
SAFE_PATH = "PYTHONSAFEPATH"

# The server's, also in the workers that are forked from it.
PID = os.getpid()

if scheduler := os.environ.pop(SCHEDULER, None):
    die_with(int(scheduler))
    os.environ.pop(SAFE_PATH, None)
    # Ctrl-C reaches every process of a terminal. It is the scheduler's to answer: workers ignore it from their fork on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
