"""What running and reporting agree on: vocabulary, cards, cells and records. No torch, no pandas, and nothing of the
rooms above."""
