"""The style of the course's plots: legible on a light page and a dark one, whoever draws."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from matplotlib.image import imread

from labkit.course import notebooks
from labkit.views import plots
from tests.servers.kernels import kernel
from tests.views.test_timeline import contrast

BARS = """
import labkit
import matplotlib.pyplot as plt

plt.style.use(labkit.PLOTS)
figure, axes = plt.subplots()
axes.bar(["ada", "bob"], [1, 2])
axes.set(xlabel="who", ylabel="how many", title="bars")
"""


def test_text_and_colours_are_legible_on_white_and_on_the_dark_page():
    for page in ("#ffffff", "#111111"):
        assert contrast(plots.TEXT, page) > 4
        assert contrast(plots.Y_LABELS, page) > 3.9
        for colour in plots.PALETTE:
            assert contrast(colour, page) >= 2.5, f"{colour} on {page}"
            assert contrast(colour, "#000000") > 4.5, "black numbers on a bar"


def test_a_plot_in_a_notebook_has_no_background_and_jupyter_paints_none_behind_it():
    pictures: list[dict] = []

    def collect(message: dict) -> None:
        if "image/png" in message["content"].get("data", {}):
            pictures.append(message["content"])

    with kernel() as k:
        k.client.execute_interactive(BARS, output_hook=collect, timeout=60)
    (picture,) = pictures
    assert "needs_background" not in picture["metadata"]
    image = imread(io.BytesIO(base64.b64decode(picture["data"]["image/png"])))
    assert image[0, 0, 3] == 0, "the corner is transparent"
    drawn = image[image[..., 3] == 1][:, :3]
    assert len(drawn) > 500
    assert np.all((drawn > 0.02).any(axis=1)), "nothing black, which a dark page would hide"
    assert np.all((drawn < 0.98).any(axis=1)), "nothing white, which would glare on it"


def test_every_notebook_that_plots_uses_the_style():
    plotting = [
        (path.name, source)
        for path in notebooks.every_notebook()
        if "pyplot" in (source := "\n".join(c.source for c in notebooks.read(path).cells))
    ]
    assert plotting
    for name, source in plotting:
        assert re.search(r"^plt\.style\.use\(labkit\.PLOTS\)$", source, re.MULTILINE), name
