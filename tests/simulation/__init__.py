"""Whether verdicts keep what they promise, tried on made-up suites whose truth is known."""
