"""What is done with uploaded files: their type is found, images are made anew, lengths are read."""
