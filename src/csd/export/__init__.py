"""Dense student, MINDIR, AIR and ONNX, and the checks of what was written."""
