"""What a cell has learnt, brought into formats that others read: peft's, plain transformers', and our own."""
