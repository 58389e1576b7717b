"""Result files of others, read as records."""
