"""What `/metrics` says, as numbers: OpenMetrics text read into {name: {labels: value}}.

Names are without `forebay_` and without `_total`, as CloudWatch's are in snake case (`docs/ledger/metrics.md`).
"""

import re

SAMPLE = re.compile(r"^forebay_([a-z_]+?)(_total)?(?:\{(.*)\})? ([^ ]+)$")
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


class Metrics:
    """One scrape."""

    def __init__(self, text):
        self.samples = {}
        for line in text.splitlines():
            if match := SAMPLE.match(line):
                labels = dict(LABEL.findall(match[3] or ""))
                self.samples.setdefault(match[1], []).append((labels, float(match[4])))
        self.whole = text.endswith("# EOF\n")

    def value(self, name, **labels):
        """The sum of the samples that have these labels; None when there is none."""
        found = [v for have, v in self.samples.get(name, []) if labels.items() <= have.items()]
        return sum(found) if found else None

    def count(self, histogram, **labels):
        """How many values a histogram has."""
        return self.value(f"{histogram}_seconds_count", **labels)

    def sum(self, histogram, **labels):
        """The sum of a histogram's values in seconds."""
        return self.value(f"{histogram}_seconds_sum", **labels)

    def buckets(self, histogram, **labels):
        """Cumulative counts by upper bound, smallest first."""
        found = {}
        for have, value in self.samples.get(f"{histogram}_seconds_bucket", []):
            if labels.items() <= have.items():
                bound = float(have["le"].replace("+Inf", "inf"))
                found[bound] = found.get(bound, 0) + value
        return sorted(found.items())
