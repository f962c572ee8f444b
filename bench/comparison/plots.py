"""Bar charts as SVG, readable on light and on dark pages."""

from html import escape

from scenarios import shown

WIDTH, LABEL, BAR, GAP, TOP = 720, 150, 26, 10, 46
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .note { fill: #59636e; font-size: 12px; }
  .bar { fill: #8c959f; }
  .own { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note { fill: #9198a1; }
    .bar { fill: #656c76; }
    .own { fill: #4493f8; }
  }
"""


def bars(title, note, unit, values):
    """A bar for each `(name, value)`; the numbers stand beside them, so no axis is needed."""
    values = [(name, value) for name, value in values if value is not None]
    most = max((value for _, value in values), default=0) or 1
    height = TOP + len(values) * (BAR + GAP) + GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="16">{escape(title)}</text>',
        f'<text class="note" x="0" y="34">{escape(note)}</text>',
    ]
    room = WIDTH - LABEL - 130
    for place, (name, value) in enumerate(values):
        y = TOP + place * (BAR + GAP)
        length = max(room * max(value, 0) / most, 1)
        kind = "bar own" if name.startswith("tidings") else "bar"
        middle = y + BAR * 0.7
        lines += [
            f'<text x="{LABEL - 10}" y="{middle:.0f}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"/>',
            f'<text x="{LABEL + length + 8:.1f}" y="{middle:.0f}">{shown(value)} {escape(unit)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
