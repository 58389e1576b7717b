"""What there is on this machine to run and report with, and the commands that get what there is not."""
