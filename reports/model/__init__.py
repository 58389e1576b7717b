"""What a report is made of before it is rendered: blocks, running text, numbers as written, references, topics."""
