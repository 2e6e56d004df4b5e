"""Charts as SVG, with the standard library alone: lines over categories, and stacked bars."""

from html import escape

COLOURS = ["#2c6fbb", "#d1572c", "#3a923a", "#8a4bb0", "#8c6d31", "#c2457e", "#4d4d4d"]
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 48, 56


def nice_steps(top):
    """Round values from 0 to at least `top`, five or so."""
    if top <= 0:
        return [0, 1]
    step = 10.0 ** len(str(int(top)))
    while top / step < 4:
        step /= 2 if str(step)[0] != "5" else 2.5
    count = int(top / step) + 1
    return [i * step for i in range(count + 1)]


class Chart:
    def __init__(self, title, unit, categories, top):
        self.parts = []
        self.categories = categories
        self.steps = nice_steps(top)
        self.scale = (HEIGHT - TOP - BOTTOM) / self.steps[-1]
        self.slot = (WIDTH - LEFT - RIGHT) / max(len(categories), 1)
        self.text(LEFT, 22, title, size=15, weight="bold")
        self.text(LEFT, 39, unit, size=11, fill="#555")
        for value in self.steps:
            y = self.y(value)
            self.add(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" '
                     'stroke="#ddd"/>')
            self.text(LEFT - 8, y + 4, f"{value:g}", anchor="end", size=11)
        for i, name in enumerate(categories):
            self.text(self.x(i), HEIGHT - BOTTOM + 18, name, anchor="middle", size=11)

    def x(self, i):
        return LEFT + (i + 0.5) * self.slot

    def y(self, value):
        return HEIGHT - BOTTOM - value * self.scale

    def add(self, part):
        self.parts.append(part)

    def text(self, x, y, text, anchor="start", size=12, fill="#222", weight="normal"):
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
                 f'fill="{fill}" font-weight="{weight}">{escape(str(text))}</text>')

    def legend(self, i, name):
        y = TOP + 14 + 18 * i
        self.add(f'<rect x="{WIDTH - RIGHT + 16}" y="{y - 10}" width="12" height="12" '
                 f'fill="{COLOURS[i % len(COLOURS)]}"/>')
        self.text(WIDTH - RIGHT + 34, y, name, size=11)

    def done(self):
        body = "\n".join(self.parts)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                f'font-family="sans-serif">\n<rect width="{WIDTH}" height="{HEIGHT}" '
                f'fill="white"/>\n{body}\n</svg>\n')


def lines(title, unit, categories, series):
    """`series`: name to a value for each category, None where there is none."""
    top = max((v for values in series.values() for v in values if v is not None), default=1)
    chart = Chart(title, unit, categories, top)
    for i, (name, values) in enumerate(series.items()):
        points = [(chart.x(k), chart.y(v)) for k, v in enumerate(values) if v is not None]
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        chart.add(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in points:
            chart.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        chart.legend(i, name)
    return chart.done()


def stacked(title, unit, categories, series):
    """The same, one bar a category, the series on top of each other."""
    sums = [sum(values[k] for values in series.values()) for k in range(len(categories))]
    chart = Chart(title, unit, categories, max(sums, default=1))
    base = [0.0] * len(categories)
    for i, (name, values) in enumerate(series.items()):
        for k, value in enumerate(values):
            x = chart.x(k) - 0.35 * chart.slot
            chart.add(f'<rect x="{x:.1f}" y="{chart.y(base[k] + value):.1f}" '
                      f'width="{0.7 * chart.slot:.1f}" height="{value * chart.scale:.1f}" '
                      f'fill="{COLOURS[i % len(COLOURS)]}"/>')
            base[k] += value
        chart.legend(i, name)
    return chart.done()
