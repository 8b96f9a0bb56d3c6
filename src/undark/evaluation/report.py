"""`report.html`: the results of an evaluation in one self-contained file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template

from undark.engine.card import Card
from undark.evaluation.curves import Curve, chart, legend
from undark.evaluation.data import Data
from undark.evaluation.evaluate import BRIGHT, Score
from undark.evaluation.gallery import Entry, Gallery, Views
from undark.evaluation.methods import AMPLIFIED, DENOISED
from undark.evaluation.protocols import PROTOCOLS, TITLES
from undark.evaluation.published import Figure, published
from undark.evaluation.summary import ALL, Means, means
from undark.evaluation.tables import photo_table, score_table
from undark.files.output import write_atomically

HTML = "report.html"


@dataclass(frozen=True)
class Evaluation:
    """The content of a report."""

    data: Data
    card: Card
    scores: Sequence[Score]
    gallery: Gallery
    problems: Sequence[str]

    @property
    def network(self) -> str:
        return self.card.name


def write_report(folder: Path, found: Evaluation) -> None:
    """Write `HTML` atomically; an older one is replaced. Raises `OutputError`."""
    template = Template((files("undark.evaluation") / "report.html").read_text("utf-8"))
    averages = {protocol: means(found.scores, protocol) for protocol in PROTOCOLS}
    figures = published(found.data.camera)
    charts = {p: _curves(found, averages[p], _of(figures, p)) for p in PROTOCOLS if averages[p]}
    styles = {
        "published" if curve.style == "published" else curve.name: curve.style
        for curves in charts.values()
        for curve in curves
    }
    parts = {
        "title": escape(f"{found.network} on {found.data.folder.absolute().name}"),
        "network": escape(found.network),
        "intro": _intro(found),
        "facts": _facts(found, averages),
        "left_out": _left_out(found.problems),
        "photos": _photos(found),
        "legend": legend(styles),
        "charts": "".join(_chart(TITLES[p], curves) for p, curves in charts.items()),
        "tables": "".join(
            score_table(p, found.scores, found.network, _of(figures, p))
            for p in PROTOCOLS
            if averages[p]
        ),
        "every": photo_table(found.scores, found.network),
    }
    write_atomically(folder / HTML, template.substitute(parts).encode("utf-8", "replace"))


def _of(figures: list[Figure], protocol: str) -> list[Figure]:
    return [figure for figure in figures if figure.protocol == protocol]


def _intro(found: Evaluation) -> str:
    photos, camera = len({score.photo for score in found.scores}), found.data.camera
    methods = len({score.method for score in found.scores}) - 1
    text = (
        f"<p>{photos} dark photo{'s' * (photos != 1)} restored by <b>{escape(found.network)}</b> "
        f"and, for comparison, by {methods} classical method{'s' * (methods != 1)}, each compared "
        "with its bright photo.</p>"
    )
    if camera:
        text += (
            f"<p>Data: the test split of SID (“Learning to See in the Dark”), {camera.title()}. "
            f"Left out because known to be misaligned: {found.data.left_out}.</p>"
        )
    return text


def _facts(found: Evaluation, averages: dict[str, Means]) -> str:
    """The network's means, and their difference to those of the noisy input."""
    tiles = []
    for protocol, mean in ((p, averages[p]) for p in PROTOCOLS if averages[p]):
        ours, noisy = mean[found.network][ALL], mean[AMPLIFIED][ALL]
        tiles.append(
            f"<li><small>{TITLES[protocol]}</small><b>{ours.psnr:.2f} <span>dB</span></b>"
            f"<small>{ours.psnr - noisy.psnr:+.1f} dB over amplified<br>"
            f"SSIM {ours.ssim:.3f}</small></li>"
        )
    return "".join(tiles)


def _left_out(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    lines = "".join(f"<li><code>{escape(problem)}</code></li>" for problem in problems)
    return f"<h3>Left out: {len(problems)}</h3><ul>{lines}</ul>"


def _photos(found: Evaluation) -> str:
    ends = (("Worst", found.gallery.worst), ("Best", found.gallery.best))
    return "".join(
        f"<h3>{title}</h3>" + "".join(_entry(entry, found.network) for entry in entries)
        for title, entries in ends
        if entries
    )


def _entry(entry: Entry, network: str) -> str:
    score = entry.score
    return (
        f'<figure class="wipe" style="--at: 50; --edge: 50"><figcaption>{escape(score.photo)}'
        f' <span class="soft">×{score.amplification:.3g}, {score.psnr:.2f} dB, '
        f'SSIM {score.ssim:.3f}</span></figcaption><div class="views">'
        + _stage(entry.frames, network)
        + _stage(entry.details, network)
        + '</div><input type="range" min="0" max="200" value="50" '
        'aria-label="dark, restored, bright">'
        '<div class="sides"><span>dark, amplified</span><span>restored</span>'
        "<span>bright</span></div></figure>"
    )


def _stage(views: Views, network: str) -> str:
    layers = (("dark", AMPLIFIED), ("restored", network), ("bright", BRIGHT))
    images = "".join(
        f'<img class="{layer}" alt="{layer}" '
        f'src="data:image/jpeg;base64,{b64encode(views.jpegs[name]).decode()}">'
        for layer, name in layers
    )
    return (
        f'<div class="stage" style="--width: {views.width}; --height: {views.height}">{images}'
        '<span class="left"></span><span class="right"></span></div>'
    )


def _curves(found: Evaluation, averages: Means, figures: list[Figure]) -> list[Curve]:
    """Curves of the network, the classical methods, and figures published by amplification."""
    tones = [name for name in averages if name != found.network and not name.endswith(DENOISED)]

    def style(method: str) -> str:
        if method == found.network:
            return "network"
        hue = 1 + tones.index(method.removesuffix(DENOISED))
        return f"h{hue}" + " tone" * (method in tones)

    ours = [
        Curve(method, style(method), [(r, m.psnr) for r, m in by_ratio.items() if r is not None])
        for method, by_ratio in averages.items()
    ]
    by_method = groupby(
        (figure for figure in figures if figure.amplification), lambda figure: figure.method
    )
    return ours + [
        Curve(
            f"{method} (published)",
            "published",
            [(figure.amplification or 1, figure.psnr) for figure in chosen],
        )
        for method, chosen in by_method
    ]


def _chart(title: str, curves: list[Curve]) -> str:
    return f"<figure><figcaption>{title}, dB</figcaption>{chart(curves, title)}</figure>"
