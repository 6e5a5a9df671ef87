//! The text of `/metrics`: every figure of [`forebay_core::metrics`], added up over the workers, in OpenMetrics form.
//!
//! | module | answers |
//! | --- | --- |
//! | `families` | names, meanings and sources of the figures: the tables to extend |
//! | `latency` | histograms with few buckets from the workers' fine ones |
//!
//! Names are CloudWatch's per-proxy metrics of RDS Proxy in snake case, with labels for its dimensions; its target group is always the only
//! one of its proxy and has no label.

mod families;
mod latency;

use families::{Family, Kind, ReasonFamily};
use forebay_core::event::EventSink;
use forebay_core::metrics::{EndpointBlock, HistogramSum, Registry, TargetBlock, WorkerBlock};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry as Exposition, Unit};
use std::fmt::{self, Error};
use std::sync::Arc;

/// Media type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that `/metrics` shows.
#[derive(Debug)]
pub(crate) struct Metrics {
    exposition: Exposition,
}

impl Metrics {
    /// Metrics read from `registry`; `events` tells how many events were dropped.
    pub(crate) fn new(registry: Arc<Registry>, events: EventSink) -> Metrics {
        let mut exposition = Exposition::with_prefix("forebay");
        exposition.register_collector(Box::new(Reader { registry, events }));
        Metrics { exposition }
    }

    /// All figures as of now.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.exposition).expect("writing to a string does not fail");
        text
    }
}

/// Reads the workers' blocks at each scrape.
#[derive(Debug)]
struct Reader {
    registry: Arc<Registry>,
    events: EventSink,
}

impl Collector for Reader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let endpoints = endpoint_groups(&self.registry);
        let targets = target_groups(&self.registry);
        let workers = worker_groups(&self.registry);
        encode_families(&mut encoder, families::ENDPOINT, &endpoints)?;
        for family in families::BY_REASON {
            encode_reasons(&mut encoder, family, &endpoints)?;
        }
        encode_latencies(&mut encoder, latency::ENDPOINT, &endpoints)?;
        encode_families(&mut encoder, families::TARGET, &targets)?;
        encode_latencies(&mut encoder, latency::TARGET, &targets)?;
        encode_families(&mut encoder, families::WORKER, &workers)?;
        encode_process(&mut encoder, &self.events)
    }
}

/// Labels, and the blocks of all workers under them.
struct Group<B> {
    labels: Vec<(&'static str, String)>,
    blocks: Vec<Arc<B>>,
}

fn endpoint_groups(registry: &Registry) -> Vec<Group<EndpointBlock>> {
    grouped(registry.endpoints(), |labels| {
        vec![
            ("proxy", labels.proxy.to_string()),
            ("endpoint", labels.endpoint.to_string()),
        ]
    })
}

fn target_groups(registry: &Registry) -> Vec<Group<TargetBlock>> {
    grouped(registry.targets(), |labels| {
        vec![
            ("proxy", labels.proxy.to_string()),
            ("target", labels.target.to_string()),
            ("role", labels.role.as_str().to_owned()),
        ]
    })
}

fn worker_groups(registry: &Registry) -> Vec<Group<WorkerBlock>> {
    grouped(registry.workers(), |labels| {
        vec![
            ("worker", labels.worker.to_string()),
            ("driver", labels.driver.to_owned()),
        ]
    })
}

/// Puts blocks with the same labels together, in the order of their labels so that two scrapes list them alike.
fn grouped<L, B>(
    blocks: Vec<(L, Arc<B>)>,
    name: impl Fn(&L) -> Vec<(&'static str, String)>,
) -> Vec<Group<B>> {
    let mut groups: Vec<Group<B>> = Vec::new();
    for (labels, block) in blocks {
        let labels = name(&labels);
        match groups.iter_mut().find(|group| group.labels == labels) {
            Some(group) => group.blocks.push(block),
            None => groups.push(Group {
                labels,
                blocks: vec![block],
            }),
        }
    }
    groups.sort_by(|one, other| one.labels.cmp(&other.labels));
    groups
}

fn encode_families<B>(
    encoder: &mut DescriptorEncoder<'_>,
    families: &[Family<B>],
    groups: &[Group<B>],
) -> Result<(), Error> {
    for family in families {
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge | Kind::Shared(_) => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
        for group in groups {
            let values = group.blocks.iter().map(|block| (family.read)(block));
            if let Kind::Shared(shown) = family.kind {
                if let Some(figure) = shown(values.max().unwrap_or(0)) {
                    metric.encode_family(&group.labels)?.encode_gauge(&figure)?;
                }
                continue;
            }
            let mut metric = metric.encode_family(&group.labels)?;
            match family.kind {
                Kind::Gauge => metric.encode_gauge(&gauge(values))?,
                _ => encode_counter(&mut metric, values.fold(0, u64::wrapping_add))?,
            }
        }
    }
    Ok(())
}

/// The sum of what the workers hold. A connection that moves between two reads may be missing from both for an instant: a sum below zero
/// is shown as zero.
fn gauge(values: impl Iterator<Item = u64>) -> i64 {
    values.fold(0, u64::wrapping_add).cast_signed().max(0)
}

fn encode_counter(metric: &mut MetricEncoder<'_>, value: u64) -> Result<(), Error> {
    metric.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

/// A figure for each of several reasons.
fn encode_reasons(
    encoder: &mut DescriptorEncoder<'_>,
    family: &ReasonFamily,
    groups: &[Group<EndpointBlock>],
) -> Result<(), Error> {
    let kind = match family.is_gauge {
        true => MetricType::Gauge,
        false => MetricType::Counter,
    };
    let unit = family.unit.as_ref();
    let mut metric = encoder.encode_descriptor(family.name, family.help, unit, kind)?;
    let reasons = (family.reasons)();
    for group in groups {
        for (index, reason) in reasons.iter().enumerate() {
            let mut labels = group.labels.clone();
            labels.push(("reason", (*reason).to_owned()));
            let values = group.blocks.iter();
            let values = values.map(|block| (family.read)(block, index));
            let mut metric = metric.encode_family(&labels)?;
            if family.is_gauge {
                metric.encode_gauge(&gauge(values))?;
            } else if unit.is_some() {
                let seconds = latency::seconds(values.fold(0, u64::wrapping_add));
                metric.encode_counter::<NoLabelSet, f64, u64>(&seconds, None)?;
            } else {
                encode_counter(&mut metric, values.fold(0, u64::wrapping_add))?;
            }
        }
    }
    Ok(())
}

fn encode_latencies<B>(
    encoder: &mut DescriptorEncoder<'_>,
    families: &[latency::Family<B>],
    groups: &[Group<B>],
) -> Result<(), Error> {
    for family in families {
        let mut metric = encoder.encode_descriptor(
            family.name,
            family.help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for group in groups {
            let mut sum = HistogramSum::default();
            for block in &group.blocks {
                (family.read)(block).add_to(&mut sum);
            }
            metric
                .encode_family(&group.labels)?
                .encode_histogram::<NoLabelSet>(
                    latency::seconds(sum.sum),
                    sum.count(),
                    &latency::buckets(&sum),
                    None,
                )?;
        }
    }
    Ok(())
}

fn encode_process(encoder: &mut DescriptorEncoder<'_>, events: &EventSink) -> Result<(), Error> {
    let help = "Events that were not logged because the log could not keep up.";
    let mut metric =
        encoder.encode_descriptor("events_dropped", help, None, MetricType::Counter)?;
    encode_counter(&mut metric, events.dropped())?;
    let help = "The version of this process.";
    let mut metric = encoder.encode_descriptor("build", help, None, MetricType::Info)?;
    metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

#[cfg(test)]
mod tests;
