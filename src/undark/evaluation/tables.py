"""The report's tables: means with published figures, and the scores of every photo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from undark.evaluation.evaluate import Score
from undark.evaluation.protocols import PROTOCOLS, SRGB, TITLES
from undark.evaluation.published import Figure, raw_pairs
from undark.evaluation.summary import ALL, Mean, Means, means

Ratio = float | None
"""An amplification, or `ALL`."""


def score_table(
    protocol: str, scores: Sequence[Score], network: str, figures: Sequence[Figure]
) -> str:
    """One row per method and one column per amplification; published figures below."""
    averages = means(scores, protocol)
    found = {r for by_ratio in averages.values() for r in by_ratio if r is not ALL}
    given = {float(f.amplification) for f in figures if f.amplification}
    ratios: list[Ratio] = [*sorted(found | given), ALL]
    rows = [_method_row(name, averages, ratios, "network" * (name == network)) for name in averages]
    listed = means(_listed(scores), protocol) if given else {}
    if listed:
        title = f"{network}, {listed[network][ALL].photos} of the 129 pairs"
        rows.append(_method_row(title, {title: listed[network]}, ratios, "network first"))
    rows += _published(figures, ratios)
    head = "".join(f"<th>{_column(ratio, averages)}</th>" for ratio in ratios)
    return (
        f"<h3>{TITLES[protocol]}</h3>"
        + _table(["method"], head, rows)
        + _sources(protocol, figures)
    )


def photo_table(scores: Sequence[Score], network: str) -> str:
    """One row per photo, lowest PSNR first, with the network's scores by every protocol."""
    photos: dict[str, dict[str, Score]] = {}
    for score in scores:
        if score.method == network:
            photos.setdefault(score.photo, {})[score.protocol] = score
    rows = [
        f"<tr><th>{escape(name)}</th><td>{found[SRGB].amplification:.3g}</td>"
        + "".join(f"<td>{_cell(found.get(protocol))}</td>" for protocol in PROTOCOLS)
        + "</tr>"
        for name, found in sorted(photos.items(), key=lambda item: item[1][SRGB].psnr)
    ]
    head = "".join(f"<th>{protocol}</th>" for protocol in PROTOCOLS)
    return _table(["photo", "×"], head, rows)


def _table(first: Iterable[str], head: str, rows: Iterable[str]) -> str:
    names = "".join(f"<th>{name}</th>" for name in first)
    return (
        f'<div class="scroll"><table><thead><tr>{names}{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _column(ratio: Ratio, averages: Means) -> str:
    count = max((by[ratio].photos for by in averages.values() if ratio in by), default=0)
    name = "all" if ratio is None else f"×{ratio:g}"
    return f"{name}<br><small>{count or '–'}</small>"


def _method_row(name: str, averages: Means, ratios: Sequence[Ratio], kind: str) -> str:
    """A row of means; a cell with the highest PSNR of its column is marked."""

    def cell(ratio: Ratio) -> str:
        mean = averages[name].get(ratio)
        others = [by[ratio].psnr for by in averages.values() if ratio in by]
        best = mean is not None and len(others) > 1 and mean.psnr == max(others)
        return f'<td class="{"best" * best}">{_cell(mean)}</td>'

    cells = "".join(map(cell, ratios))
    return f'<tr class="{kind}"><th>{escape(name)}</th>{cells}</tr>'


def _published(figures: Sequence[Figure], ratios: Sequence[Ratio]) -> list[str]:
    methods = dict.fromkeys(figure.method for figure in figures)
    rows = []
    for number, method in enumerate(methods):
        by_ratio: dict[Ratio, Figure] = {f.amplification: f for f in figures if f.method == method}
        cells = "".join(f"<td>{_cell(by_ratio.get(ratio))}</td>" for ratio in ratios)
        first = " first" * (number == 0)
        rows.append(
            f'<tr class="published{first}"><th>{escape(method)}'
            f'<span class="tag">published</span></th>{cells}</tr>'
        )
    return rows


def _cell(value: Score | Mean | Figure | None) -> str:
    if value is None:
        return "–"
    ssim = "–" if value.ssim is None else f"{value.ssim:.3f}"
    return f"{value.psnr:.2f} / {ssim}"


def _listed(scores: Sequence[Score]) -> list[Score]:
    """Scores of the photos over which published RAW figures are averaged."""
    return [score for score in scores if Path(score.photo).stem in raw_pairs()]


def _sources(protocol: str, figures: Sequence[Figure]) -> str:
    if not figures:
        return ""
    over = (
        "the test split"
        if protocol == SRGB
        else "129 pairs of the test and the validation split (this evaluation: of the test split)"
    )
    sources = "; ".join(dict.fromkeys(figure.source for figure in figures))
    return (
        f'<p class="soft"><small>Published: means over {over}, as stated in the papers. '
        f"Sources: {escape(sources)}.</small></p>"
    )
