"""How a device computes: every condition on the device and its precision lives in here."""
