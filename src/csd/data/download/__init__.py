"""Data sets and VGG weights from their servers."""
