"""Comparison of training methods: variants under one budget, with intervals over seeds."""
