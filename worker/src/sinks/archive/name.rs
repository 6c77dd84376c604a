//! What an object is called: no two segments have one name, since an epoch has one claimer, who takes each sequence once.

use super::Format;
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

/// What the name of an object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Partition within the slice.
    pub(crate) partition: u16,
    /// Epoch of the claim that closed it.
    pub(crate) epoch: u64,
    /// Log sequence of its first event.
    pub(crate) first_seq: u64,
}

/// What names begin with of the objects of a slice.
pub(crate) fn below(slice: &str) -> String {
    format!("slice={slice}/")
}

/// Reads the name of an object; `None` where it is none that [`Segment::path`] gives.
pub(crate) fn named(path: &str) -> Option<Named> {
    let name = path.rsplit('/').next()?;
    let (partition, rest) = name.strip_prefix('p')?.split_once("-e")?;
    let (epoch, rest) = rest.split_once('-')?;
    let (first_seq, extension) = rest.split_once('.')?;
    let written = |text: &str, least: usize| text.len() >= least && text.bytes().all(|byte| byte.is_ascii_digit());
    let ours = [Format::Parquet, Format::Jsonl].iter().any(|format| format.extension() == extension);
    if !ours || !written(partition, 3) || !written(epoch, 6) || !written(first_seq, 20) {
        return None;
    }
    let (partition, epoch) = (partition.parse().ok()?, epoch.parse().ok()?);
    Some(Named { partition, epoch, first_seq: first_seq.parse().ok()? })
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

    #[test]
    fn a_name_says_what_it_was_made_of_and_others_say_nothing() {
        let segment = Segment { slice: "posts", partition: 1007, epoch: 1_200_012, first_seq: 1 << 63, hour: 495_327 };
        let says = Named { partition: 1007, epoch: 1_200_012, first_seq: 1 << 63 };
        for format in [Format::Parquet, Format::Jsonl] {
            let path = segment.path(format.extension());
            assert!(path.starts_with(&below("posts")));
            assert_eq!(named(&path), Some(says));
        }
        for other in [
            "slice=posts/p007-e000012-00000000000000000345.parquet.partial",
            "slice=posts/p007-e000012-00000000000000000345.csv",
            "slice=posts/p7-e000012-00000000000000000345.parquet",
            "slice=posts/p007-e+00012-00000000000000000345.parquet",
            "slice=posts/p007-e000012-99999999999999999999.parquet",
            "slice=posts/.p007-e000012-00000000000000000345.parquet.1.partial",
            "_turbo_owner",
            "",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
