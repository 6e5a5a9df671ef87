//! Latency histograms: 20 buckets from about 50 µs to about 100 s, out of the workers' 112.
//!
//! A bucket's bound is always one of the workers' own bounds, so that every count is exact; that is why the bounds are not quite
//! round (0.000096 s instead of 0.0001 s).

use forebay_core::metrics::{
    BUCKETS, EndpointBlock, Histogram, HistogramSum, TargetBlock, bucket_upper_bound,
};

/// A histogram with its name.
pub(super) struct Family<B> {
    /// Without the prefix `forebay_` and the suffix `_seconds`.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) read: fn(&B) -> &Histogram,
}

/// Per endpoint (dimensions ProxyName, EndpointName).
pub(super) const ENDPOINT: &[Family<EndpointBlock>] = &[
    Family {
        name: "query_response_latency",
        help: "Time from a request in to its response out (QueryResponseLatency).",
        read: |block| &block.query_response_latency,
    },
    Family {
        name: "query_database_response_latency",
        help: "Time the database took for a request (QueryDatabaseResponseLatency).",
        read: |block| &block.query_database_response_latency,
    },
    Family {
        name: "database_connections_borrow_latency",
        help: "Time a session waited for its database connection (DatabaseConnectionsBorrowLatency).",
        read: |block| &block.database_connections_borrow_latency,
    },
    Family {
        name: "session_pin_duration",
        help: "How long pins that ended had lasted.",
        read: |block| &block.pin_duration,
    },
];

/// Per target: the same figure as the endpoint's, under a name of its own because a sum over both would count twice.
pub(super) const TARGET: &[Family<TargetBlock>] = &[Family {
    name: "target_query_database_response_latency",
    help: "Time the database took for a request, by target (QueryDatabaseResponseLatency).",
    read: |block| &block.query_database_response_latency,
}];

/// Upper bounds in microseconds, the last one for everything above left out.
const BOUNDS_MICROS: [u64; 20] = [
    48,
    96,
    256,
    512,
    1_024,
    2_560,
    5_120,
    10_240,
    24_576,
    49_152,
    98_304,
    262_144,
    524_288,
    1_048_576,
    2_621_440,
    5_242_880,
    10_485_760,
    25_165_824,
    50_331_648,
    100_663_296,
];

/// Microseconds as seconds.
pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Upper bounds in seconds with the count of each bucket alone; the last bound is infinite.
pub(super) fn buckets(sum: &HistogramSum) -> Vec<(f64, u64)> {
    let mut buckets = Vec::with_capacity(BOUNDS_MICROS.len() + 1);
    let mut fine = 0;
    for bound in BOUNDS_MICROS {
        let mut count = 0;
        while fine < BUCKETS && bucket_upper_bound(fine) <= bound {
            count += sum.buckets[fine];
            fine += 1;
        }
        buckets.push((seconds(bound), count));
    }
    buckets.push((f64::INFINITY, sum.buckets[fine..].iter().sum()));
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_a_bound_of_the_fine_buckets() {
        let fine: Vec<u64> = (0..BUCKETS).map(bucket_upper_bound).collect();
        for bound in BOUNDS_MICROS {
            assert!(fine.contains(&bound), "{bound}");
        }
    }

    #[test]
    fn a_value_is_counted_under_the_first_bound_above_it() {
        let table = [
            (0, 0),
            (47, 0),
            (48, 1),
            (100, 2),
            (1_500, 5),
            (200_000_000, 20),
        ];
        for (micros, bucket) in table {
            let histogram = Histogram::default();
            histogram.record(micros);
            let mut sum = HistogramSum::default();
            histogram.add_to(&mut sum);
            let counts: Vec<u64> = buckets(&sum).iter().map(|(_, count)| *count).collect();
            let mut expected = [0; BOUNDS_MICROS.len() + 1];
            expected[bucket] = 1;
            assert_eq!(counts, expected, "{micros}");
        }
    }
}
