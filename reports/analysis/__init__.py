"""From numbers to numbers: all that a report computes, once, into one `Analysis`."""
