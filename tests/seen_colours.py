"""How colours look: to eyes with each kind of colour blindness, and against what they stand on."""

import numpy as np

# Machado, Oliveira & Fernandes (2009), severity 1: what linear RGB looks like with each kind of colour blindness
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    "none": np.eye(3),
}


def linear(rgb):
    """Linear RGB of sRGB between 0 and 1."""
    rgb = np.asarray(rgb, dtype=float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def cielab(linear_rgb):
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    f = np.cbrt(np.clip(linear_rgb, 0, 1) @ np.transpose(to_xyz) / [0.95047, 1.0, 1.08883])
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def seen(rgb, blindness):
    """CIELAB of colours as they are seen, shape (n, 3)."""
    return cielab(linear(rgb) @ np.transpose(BLINDNESS[blindness]))


def least_distance(lab):
    """Between the two colours that are most alike; 2 can just be seen."""
    return np.linalg.norm(lab[:, None] - lab, axis=2)[np.triu_indices(len(lab), 1)].min()


def contrast(rgb, ground):
    """Contrast ratios of WCAG, of colours on a ground."""
    light, dark = linear(rgb) @ [0.2126, 0.7152, 0.0722] + 0.05, linear(ground) @ [0.2126, 0.7152, 0.0722] + 0.05
    return np.maximum(light, dark) / np.minimum(light, dark)
