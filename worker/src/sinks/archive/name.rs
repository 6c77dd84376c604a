//! What an object is called: no two segments have one name, since an epoch has one claimer, who takes each sequence once.

use turbo_core::event::Event;

/// What names a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// Name of the slice.
    pub(crate) slice: &'a str,
    /// Partition within the slice.
    pub(crate) partition: u16,
    /// Epoch of the claim that closes it.
    pub(crate) epoch: u64,
    /// Log sequence of its first event.
    pub(crate) first_seq: u64,
    /// Hours since the Unix epoch, of its first event.
    pub(crate) hour: i64,
}

impl Segment<'_> {
    /// `slice=…/date=…/hour=…/` is read by DuckDB, Spark and Trino as it is.
    pub(crate) fn path(&self, extension: &str) -> String {
        let first = jiff::Timestamp::from_second(self.hour.saturating_mul(3600)).unwrap_or_default();
        format!(
            "slice={}/{}/p{:03}-e{:06}-{:020}.{extension}",
            self.slice,
            first.strftime("date=%Y-%m-%d/hour=%H"),
            self.partition,
            self.epoch,
            self.first_seq,
        )
    }
}

/// The hour under which an event is filed, since the Unix epoch.
pub(crate) fn hour_of(event: &Event) -> i64 {
    event.time_us.div_euclid(3_600_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_fixed_for_good() {
        let segment = Segment { slice: "posts", partition: 7, epoch: 12, first_seq: 345, hour: 495_327 };
        assert_eq!(
            segment.path("parquet"),
            "slice=posts/date=2026-07-04/hour=15/p007-e000012-00000000000000000345.parquet"
        );
    }
}
