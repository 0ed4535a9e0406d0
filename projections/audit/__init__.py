"""Questions to the record itself: what it holds, what it held, and whether it was touched."""
