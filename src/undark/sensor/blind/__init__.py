"""Estimate the noise of a photo from its own pixels: `estimate`."""

from undark.sensor.blind.estimate import Estimate, estimate, estimate_noise, with_known_noise

__all__ = ["Estimate", "estimate", "estimate_noise", "with_known_noise"]
