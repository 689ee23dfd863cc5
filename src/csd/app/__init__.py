"""The web page: a photograph in, before and after beside each other, a file to download."""
