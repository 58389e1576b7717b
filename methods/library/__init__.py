"""Methods of other libraries, by a bridge."""
