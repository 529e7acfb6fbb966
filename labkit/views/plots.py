"""One style for every plot of the course, legible on a light page and on a dark one.

`plt.style.use(labkit.PLOTS)` gives it to plots that a notebook draws itself; labkit's own pictures
have it already. It has no background, grey text, and the colours of Okabe and Ito, which people
who can't tell red from green can still tell apart: https://jfly.uni-koeln.de/color/
"""

TEXT = "#7b7b7b"  # contrast about 4.2 to white and 4.5 to JupyterLab's dark page
PALETTE = ("#0a85c7", "#d98e00", "#00a078", "#c86a9a", "#4fa9dd", "#d55e00")

# Jupyter looks at the tick labels of a picture without a background. If all of them are dark, it
# paints the dark page white behind the picture; if all are light, it paints the light page black.
# Its border is at 50 %. This grey lies just above it and TEXT just below, so it paints nothing.
Y_LABELS = "#808080"

PLOTS = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "ytick.labelcolor": Y_LABELS,
    "axes.prop_cycle": f"cycler('color', {list(PALETTE)})",
}
