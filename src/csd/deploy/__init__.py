"""From a checkpoint to a file that runs elsewhere: dense student, MINDIR / AIR / ONNX, checks."""
