"""The web page: an image in, before and after beside each other, a file to download."""
